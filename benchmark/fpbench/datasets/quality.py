"""How close a source's images come to the real ones, and sheets to look at them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.png import encode_png
from fpbench.files import write_bytes
from fpbench.metrics.frechet import frechet_of_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 16
_DIMENSIONS = 32
_SHEET = 6


class PixelFeatures:
    """Principal components of small pixels: a feature that needs no pretrained network.

    Images are reduced to 16x16 by area mean, scaled to [0, 1], and projected onto the 32 leading
    principal components of the real images. It sees layout, colour and contrast, not fine
    texture; distances compare the sources of one dataset and nothing else.

    Args:
        small: Real images as `thumbnails` makes them.
    """

    def __init__(self, small: NDArray[np.float32]) -> None:
        self._mean = small.mean(axis=0)
        _, _, components = np.linalg.svd(small - self._mean, full_matrices=False)
        self._components = components[:_DIMENSIONS]

    def __call__(self, small: NDArray[np.float32]) -> NDArray[np.float64]:
        """Features (N, D) of thumbnails."""
        features: NDArray[np.float64] = (small - self._mean).astype(np.float64) @ self._components.T
        return features


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images (N, H, W, 3) reduced to 16x16 by area mean, scaled to [0, 1], shape (N, 768).

    They are small enough to keep for every image of a source.
    """
    count, height, width, channels = images.shape
    # Sides that 16 does not divide lose the pixels beyond the last whole tile.
    tile = max(1, min(height, width) // _SIDE)
    high, wide = height // tile, width // tile
    cut = images[:, : high * tile, : wide * tile]
    tiles = cut.reshape(count, high, tile, wide, tile, channels)
    small: NDArray[np.float32] = tiles.mean(axis=(2, 4), dtype=np.float32).reshape(count, -1)
    return small / np.float32(255)


def kernel_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Unbiased squared MMD with the kernel ``(x·y / D + 1)^3`` (Bińkowski et al. 2018).

    Args:
        a: Features (N, D), scaled so that the real ones have unit variance overall.
        b: Features (M, D).
    """

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = (x @ y.T / x.shape[1] + 1) ** 3
        return result

    n, m = len(a), len(b)
    within_a, within_b = kernel(a, a), kernel(b, b)
    return float(
        (within_a.sum() - np.trace(within_a)) / (n * (n - 1))
        + (within_b.sum() - np.trace(within_b)) / (m * (m - 1))
        - 2 * kernel(a, b).mean()
    )


def quality(
    features: PixelFeatures, real: NDArray[np.float32], images: NDArray[np.float32]
) -> dict[str, float]:
    """Distances of images to real images.

    Args:
        features: Fitted to real images.
        real: Thumbnails of N real images.
        images: Thumbnails of M images.

    Returns:
        ``frechet`` and ``kernel``: 0 for equal distributions, larger for worse.
    """
    a, b = features(real), features(images)
    scale = np.sqrt(np.mean((a - a.mean(axis=0)) ** 2))
    return {
        "frechet": round(frechet_of_samples(a, b), 4),
        "kernel": round(kernel_distance(a / scale, b / scale), 4),
    }


def yardsticks(
    features: PixelFeatures, real: NDArray[np.float32], count: int
) -> dict[str, dict[str, float]]:
    """Distances that a generator which learnt anything must undercut.

    Args:
        features: Fitted to real images.
        real: Thumbnails of N real images.
        count: How many images to compare.

    Returns:
        `quality` of ``Gaussian noise``, thumbnails whose values are drawn independently with the
        real ones' mean and standard deviation, and of the real ``mean image``, `count` times.
    """
    rng = np.random.default_rng(0)
    noise = rng.normal(real.mean(), real.std(), (count, real.shape[1])).clip(0, 1)
    mean = np.broadcast_to(real.mean(axis=0), (count, real.shape[1]))
    return {
        "Gaussian noise": quality(features, real, noise.astype(np.float32)),
        "mean image": quality(features, real, mean),
    }


def contact_sheet(images: NDArray[np.uint8], target: Path) -> None:
    """Write the first 36 images (N, H, W, 3) side by side as a PNG, for looking at."""
    gap = 2
    chosen = images[: _SHEET * _SHEET]
    height, width = chosen.shape[1:3]
    rows = -(-len(chosen) // _SHEET)
    sheet = np.full((rows * (height + gap) + gap, _SHEET * (width + gap) + gap, 3), 255, np.uint8)
    for index, image in enumerate(chosen):
        top = gap + (index // _SHEET) * (height + gap)
        left = gap + (index % _SHEET) * (width + gap)
        sheet[top : top + height, left : left + width] = image
    write_bytes(target, encode_png(sheet))
