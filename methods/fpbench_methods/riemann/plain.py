"""Projections that know no real image, beside which those of real images are to be judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn


class Projector(Protocol):
    """What an image's projection, and so its deviation from it, is computed by."""

    @property
    def models(self) -> Sequence[nn.Module]:
        """The networks that it has learned."""

    def artifacts(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Deviations of images (N, H, W, 3), in units of [0, 1]."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What has to be saved of it."""


class Blurred:
    """Deviations x − x* from x blurred by a Gaussian, or from nothing at all.

    Args:
        sigma: Standard deviation of the Gaussian in pixels; None leaves the image as it is,
            x* = 0. Beyond its edges an image is continued by its mirror image.
    """

    models: tuple[nn.Module, ...] = ()
    """Networks that the projection has learned: none."""

    def __init__(self, sigma: float | None) -> None:
        self.sigma = sigma

    def artifacts(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Deviations of images (N, H, W, 3), in units of [0, 1]."""
        from scipy.ndimage import gaussian_filter

        scaled = pixels.astype(np.float32) / np.float32(255)
        if self.sigma is None:
            return scaled
        deviations: NDArray[np.float32] = scaled - gaussian_filter(
            scaled, sigma=(0, self.sigma, self.sigma, 0)
        )
        return deviations

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Nothing has to be saved but the parameters."""
        return {}
