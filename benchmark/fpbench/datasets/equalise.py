"""One pipeline for every image of every source, to take away what no model made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.jpeg import Jpeg, through_jpeg

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.schema import Equalise


def equalised(images: NDArray[np.uint8], steps: Equalise | None) -> NDArray[np.uint8]:
    """Images (N, H, W, 3) after the `equalise` step of a recipe: JPEG, reduction, clipping."""
    if steps is None:
        return images
    jpeg = None if steps.jpeg is None else Jpeg(quality=steps.jpeg)
    done = []
    for pixels in images:
        image = pixels
        if jpeg is not None:
            image = through_jpeg(image, jpeg)
        if steps.reduce is not None:
            image = reduce_area(image, steps.reduce)
        if steps.clip is not None:
            image = np.clip(image, *steps.clip).astype(np.uint8)
        done.append(image)
    return np.stack(done)


def reduce_area(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Reduce (H, W, 3) by the mean over `factor` x `factor` pixels, rounding half up."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    tiles = pixels[: height * factor, : width * factor].astype(np.uint32)
    sums = tiles.reshape(height, factor, width, factor, 3).sum(axis=(1, 3))
    area = factor * factor
    reduced: NDArray[np.uint8] = ((sums + area // 2) // area).astype(np.uint8)
    return reduced
