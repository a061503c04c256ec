"""The 170 image transformations that DNA-Det's first stage learns to tell apart."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("jpeg", "double-jpeg", "blur", "median", "resize", "noise")
_FILTERS = ("NEAREST", "BILINEAR", "BICUBIC", "BOX", "LANCZOS")


@dataclass(frozen=True)
class Transformation:
    """One class of the first stage.

    Attributes:
        kind: One of `KINDS`.
        strength: JPEG quality, window in pixels, scale, or standard deviation in grey levels.
        resampling: Pillow's name of the filter, for ``resize``.
    """

    kind: str
    strength: float
    resampling: str = ""


def transformations() -> tuple[Transformation, ...]:
    """All 170: 24 + 24 JPEG, 14 blurs, 14 medians, 80 resizings, 14 noises, in that order."""
    qualities = range(30, 100, 3)
    windows = range(3, 30, 2)
    scales = [round(0.15 + 0.05 * step, 2) for step in range(16)]
    return (
        *(Transformation("jpeg", q) for q in qualities),
        *(Transformation("double-jpeg", q) for q in qualities),
        *(Transformation("blur", k) for k in windows),
        *(Transformation("median", k) for k in windows),
        *(Transformation("resize", s, name) for name in _FILTERS for s in scales),
        *(Transformation("noise", s) for s in windows),
    )


def apply(
    transformation: Transformation, image: NDArray[np.uint8], generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Transform one image.

    Args:
        transformation: Which one.
        image: uint8 of shape (H, W, 3).
        generator: Source of noise and of the first quality of a double JPEG.

    Returns:
        uint8 of the same shape.
    """
    kind, strength = transformation.kind, transformation.strength
    if kind == "jpeg":
        return _jpeg(image, int(strength))
    if kind == "double-jpeg":
        return _jpeg(_jpeg(image, int(generator.integers(30, 100))), int(strength))
    if kind == "blur":
        return _blur(image, int(strength))
    if kind == "median":
        from scipy.ndimage import median_filter

        filtered: NDArray[np.uint8] = median_filter(
            image, size=(int(strength), int(strength), 1), mode="nearest"
        )
        return filtered
    if kind == "resize":
        return _resize(image, strength, transformation.resampling)
    noisy = image + generator.normal(0, strength, image.shape)
    rounded: NDArray[np.uint8] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return rounded


def _jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    with io.BytesIO() as stream:
        Image.fromarray(image).save(stream, "JPEG", quality=quality)
        stream.seek(0)
        return np.array(Image.open(stream).convert("RGB"))


def _blur(image: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    """A Gaussian window of odd size, σ = 0.3·((k − 1)/2 − 1) + 0.8, borders repeated."""
    from scipy.ndimage import correlate1d

    sigma = 0.3 * ((window - 1) / 2 - 1) + 0.8
    at = np.arange(window) - window // 2
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    kernel /= kernel.sum()
    smooth = correlate1d(image.astype(np.float64), kernel, axis=0, mode="nearest")
    smooth = correlate1d(smooth, kernel, axis=1, mode="nearest")
    rounded: NDArray[np.uint8] = np.rint(smooth).astype(np.uint8)
    return rounded


def _resize(image: NDArray[np.uint8], scale: float, resampling: str) -> NDArray[np.uint8]:
    from PIL import Image

    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling[resampling]
    small = Image.fromarray(image).resize(size, method)
    return np.array(small.resize((width, height), method))
