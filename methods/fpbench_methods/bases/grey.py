"""Luminance of RGB images, as the transforms of grey images in the papers take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) of images (N, H, W, 3): (N, H, W), 0 to 255."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    grey: NDArray[np.float32] = pixels.astype(np.float32) @ weights
    return grey


def grey_levels(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`luminance` rounded to whole grey levels, in integer arithmetic as Pillow's ``L``."""
    weights = np.array([19595, 38470, 7471], np.uint32)
    rounded: NDArray[np.uint8] = ((pixels.astype(np.uint32) @ weights + 0x8000) >> 16).astype(
        np.uint8
    )
    return rounded
