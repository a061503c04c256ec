"""A baseline: logistic regression on the log-cosine spectrum of the grey image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from fpbench.method import Budget, MethodCard, Range, Variant
from fpbench_methods.bases.classifiers import Classifier, LogisticRegression
from fpbench_methods.bases.features import FeatureMethod
from fpbench_methods.bases.grey import luminance

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LogDCT(FeatureMethod):
    """log(|DCT2| + 1e-12) of the grey image, standardised, and a linear classifier.

    What a method gains over this it does not owe to spectra alone.

    Args:
        c: Inverse strength of the L2 penalty.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="logdct",
        title="Baseline: logistic regression on the log-cosine spectrum",
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
        variants={"grey": Variant("grey image, fixed penalty", deterministic=True)},
        min_size=2,
        baseline=True,
        faithful=("No paper's method: what spectra alone give.",),
        different=("frank is the published relative: colour, a network, early stopping.",),
    )

    def __init__(self, *, c: Annotated[float, Range(above=0, most=1e9)] = 0.01) -> None:
        self.c = c

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
        """The H·W logarithms of each image."""
        from fpbench.compute.spectra import log_dct

        grey = luminance(pixels) / np.float32(255)
        return log_dct(grey, device=self._device).reshape(len(pixels), -1)

    def make_classifier(self, budget: Budget) -> Classifier:
        """Multinomial logistic regression."""
        return LogisticRegression((self.c,))
