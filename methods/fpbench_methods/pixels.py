"""A baseline: the nearest training image in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import FitContext, MethodCard, Variant
from fpbench_methods.bases.calibration import fit_temperature, softmax
from fpbench_methods.bases.sampling import at_most_per_source
from fpbench_methods.bases.saved import Arrays, Facts, SavedMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMOKE_IMAGES = 64


class Pixels(SavedMethod):
    """Attributes an image to the source of its nearest training image, found exactly.

    Probabilities are softmax(−d_k / τ) with d_k the distance to the nearest training image of
    source k and τ fitted on validation images; the highest belongs to the nearest image.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="pixels",
        title="Baseline: nearest neighbour in pixels",
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
        variants={"nearest": Variant("one neighbour, Euclidean distance", deterministic=True)},
        min_size=1,
        baseline=True,
        faithful=(
            "No paper's method: Yu et al. (2019) and Frank et al. (2020) use nearest neighbours "
            "in pixels as a sanity baseline, with k chosen from a grid; here k = 1.",
        ),
        different=("Budget smoke keeps at most 64 training images per source.",),
    )

    def __init__(self) -> None:
        self._images: NDArray[np.uint8] | None = None
        self._labels: NDArray[np.int64] = np.zeros(0, np.int64)
        self._temperature = 1.0

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Keep the training images; fit the temperature on validation images."""
        if context.budget == "smoke":
            train = at_most_per_source(train, _SMOKE_IMAGES)
        self._sources = train.sources
        self._images, self._labels = train.pixels, train.labels
        known = np.isin(validation.labels, self._present)
        if known.any() and len(self._present) > 1:
            distances = self.distances(validation.select(known))[:, self._present]
            columns = np.searchsorted(self._present, validation.labels[known])
            self._temperature = fit_temperature(-distances, columns)
        return self

    @property
    def _present(self) -> NDArray[np.int64]:
        return np.unique(self._labels)

    def distances(self, images: ImageSet) -> NDArray[np.float64]:
        """Distances (N, K) to the nearest training image of each source, in grey levels.

        Infinite for a source without training images.

        Raises:
            ValueError: If the method is not fitted, or was fitted on images of another size.
        """
        from fpbench.compute.neighbors import ExactNeighbors

        kept = self.fitted(self._images)
        if kept.shape[1:3] != images.size:
            raise ValueError(
                f"images of {images.size[0]}x{images.size[1]} cannot be compared with training "
                f"images of {kept.shape[1]}x{kept.shape[2]}, pixel by pixel"
            )
        found = np.full((len(images), len(self._sources)), np.inf)
        if len(images):
            for k in self._present:
                nearest, _ = ExactNeighbors(kept[self._labels == k]).search(images.pixels, k=1)
                found[:, k] = nearest[:, 0]
        return found

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """The pixels in [0, 1], shape (N, H·W·3)."""
        h, w = images.size
        flat = images.pixels.reshape(len(images), h * w * 3).astype(np.float32)
        flat /= 255
        return flat

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """softmax(−d_k / τ) of shape (N, K)."""
        if not len(images):
            return np.empty((0, len(self._sources)), np.float32)
        return softmax(-self.distances(images) / self._temperature)

    def parameter_count(self) -> int | None:
        """Nothing is learned."""
        return 0

    def state(self) -> tuple[Arrays, Facts]:
        """The training images, their labels and the temperature."""
        arrays: Arrays = {"images": self.fitted(self._images), "labels": self._labels}
        return arrays, {"temperature": self._temperature}

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take them back."""
        self._images, self._labels = arrays["images"], arrays["labels"]
        self._temperature = facts["temperature"]
