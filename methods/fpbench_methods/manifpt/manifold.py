"""The estimated data manifold: real images, and the nearest of them in a space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from fpbench_methods.manifpt.spaces import SPACES, Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench_methods.manifpt.vectors import VectorSpace


class Manifold:
    """Real reference images, searched exactly for the nearest ones.

    The reference set shares no image with those projected onto it, so no artifact is zero
    because an image found itself.

    Args:
        reference: Real images, uint8 of shape (R, H, W, 3).
        space: The space T_s of the artifacts: a name of `SPACES`, or a map to vectors.
        search: ``own`` searches in `space` (the paper's definition), ``rgb`` in pixels (as the
            released code does for every space).
        k: Number of neighbours whose mean is the projection; the paper uses 1.

    Raises:
        ValueError: If there are fewer than `k` reference images.
    """

    def __init__(
        self,
        reference: NDArray[np.uint8],
        space: str | VectorSpace,
        search: Literal["own", "rgb"] = "own",
        k: int = 1,
    ) -> None:
        from fpbench.compute.neighbors import ExactNeighbors
        from fpbench.compute.shared import SHARED, digest

        if len(reference) < k:
            raise ValueError(f"k={k} neighbours cannot be found among {len(reference)} images")
        self.reference = reference
        self.k = k
        self._transform: Transform = SPACES[space] if isinstance(space, str) else space
        self._searches_pixels = space == "rgb" or search == "rgb"
        # Pixels are cheap to map again; spectra and features are not, so theirs are kept.
        self._mapped = None if space == "rgb" else self._transform(reference)
        mapped = reference if self._mapped is None else self._mapped
        searched = reference if self._searches_pixels else mapped
        own = space if isinstance(space, str) else space.kind
        kind = "rgb" if self._searches_pixels else own
        self._neighbors = SHARED.built("exact neighbours", searched, ExactNeighbors)
        self._kind = ("nearest real images", kind, k, digest(reference))

    def nearest(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Indices of the nearest reference images, shape (N, k), nearest first."""
        from fpbench.compute.shared import SHARED

        return SHARED.rows(self._kind, pixels, self._search)

    def _search(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        queries = pixels if self._searches_pixels else self._transform(pixels)
        _, indices = self._neighbors.search(queries, k=self.k)
        return np.asarray(indices, np.int64)

    def artifacts(
        self, pixels: NDArray[np.uint8], nearest: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Deviations T(x) − mean over the k nearest of T(x*): (N, H, W, 3), or vectors (N, D)."""
        mapped = self._transform(pixels)
        for column in nearest.T:
            chosen = (
                self._transform(self.reference[column])
                if self._mapped is None
                else self._mapped[column]
            )
            mapped -= chosen / np.float32(self.k)
        return mapped

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one artifact: (H, W, 3), or (D,)."""
        return (self.reference if self._mapped is None else self._mapped).shape[1:]
