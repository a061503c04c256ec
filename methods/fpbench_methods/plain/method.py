"""A baseline: how bright, contrasted, smooth and clipped an image is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from fpbench.method import Budget, MethodCard, Variant
from fpbench_methods.bases.choice import LogisticOrForest
from fpbench_methods.bases.classifiers import Classifier
from fpbench_methods.bases.features import FeatureMethod
from fpbench_methods.plain.statistics import plain_statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GRID = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""Inverse strengths of the penalty of logistic regression, chosen from on validation images."""

TREES = 500


class Plain(FeatureMethod):
    """Seven statistics of each channel, and logistic regression or a random forest.

    What does not stand above it has not read a fingerprint: it reads how images look on average.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="plain",
        title="Baseline: plain statistics of pixels",
        authors="The fpbench maintainers",
        year=2026,
        citation=(
            "@misc{fpbench,\n"
            "  title = {fpbench: a benchmark suite for fingerprints of generative models},\n"
            "  author = {{The fpbench maintainers}},\n"
            "  year = {2026}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "statistics": Variant(
                "21 numbers; logistic regression or a random forest, by validation"
            ),
        },
        min_size=3,
        baseline=True,
        faithful=(
            "No paper's method: mean, standard deviation, mean absolute horizontal and vertical "
            "differences, mean absolute Laplacian, and the shares of pixels at 0 and at 255, of "
            "each channel.",
            "C of logistic regression is chosen by validation log-loss from 0.01 to 1000; it or "
            "500 trees, whichever has the higher balanced accuracy on validation images, decides.",
        ),
        different=("Budget smoke keeps 64 training images per source, C = 1 and 50 trees.",),
    )

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
        """The 21 numbers of each image."""
        return plain_statistics(pixels)

    def make_classifier(self, budget: Budget) -> Classifier:
        """Logistic regression or a forest."""
        if budget == "smoke":
            return LogisticOrForest((1.0,), trees=50)
        return LogisticOrForest(GRID, trees=TREES)
