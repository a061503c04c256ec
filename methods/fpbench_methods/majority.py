"""A baseline: the shares of the sources among the training images, whatever the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import FitContext, MethodCard, Variant
from fpbench_methods.bases.saved import Arrays, Facts, SavedMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Majority(SavedMethod):
    """Gives every image the training shares of the sources; the commonest source wins."""

    card: ClassVar[MethodCard] = MethodCard(
        name="majority",
        title="Baseline: the commonest source",
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
        variants={"shares": Variant("training shares as probabilities", deterministic=True)},
        min_size=1,
        baseline=True,
        faithful=("No paper's method: what can be done without looking at an image.",),
        blind="It gives every image the same answer, by design.",
    )

    def __init__(self) -> None:
        self._shares: NDArray[np.float32] | None = None

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Count the labels."""
        counts = np.bincount(train.labels, minlength=len(train.sources)).astype(np.float64)
        self._sources = train.sources
        self._shares = (counts / counts.sum()).astype(np.float32)
        return self

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Zeros of shape (N, 1): no image differs from another."""
        return np.zeros((len(images), 1), np.float32)

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """The training shares, once per image."""
        return np.tile(self.fitted(self._shares), (len(images), 1))

    def parameter_count(self) -> int | None:
        """One share per source."""
        return None if self._shares is None else len(self._shares)

    def state(self) -> tuple[Arrays, Facts]:
        """The shares."""
        return {"shares": self.fitted(self._shares)}, {}

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """The shares again."""
        self._shares = arrays["shares"]
