"""One pipeline for every image of every source, to take away what no model made."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.photographs import reduce_area

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.schema import Equalise


def equalised(images: NDArray[np.uint8], steps: Equalise | None) -> NDArray[np.uint8]:
    """Images (N, H, W, 3) after the `equalise` step of a recipe: JPEG, reduction, clipping."""
    if steps is None:
        return images
    done = []
    for pixels in images:
        image = pixels
        if steps.jpeg is not None:
            image = _through_jpeg(image, steps.jpeg)
        if steps.reduce is not None:
            image = reduce_area(image, steps.reduce)
        if steps.clip is not None:
            image = np.clip(image, *steps.clip).astype(np.uint8)
        done.append(image)
    return np.stack(done)


def _through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer, "JPEG", quality=quality, subsampling="4:2:0"
    )
    with Image.open(buffer) as image:
        return np.asarray(image)
