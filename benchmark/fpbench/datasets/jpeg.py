"""JPEG in memory: the codec step that a recipe sends images through."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from pydantic import model_validator

from fpbench.documents import Document

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENTRIES = 64


class Jpeg(Document):
    """One JPEG: by Pillow, chroma halved in both directions (4:2:0).

    Attributes:
        quality: Quality from 1 to 100, or None where tables are given.
        tables: Quantisation tables of luma and chroma, 64 whole numbers each, row by row of the
            8x8 frequencies: those of other sources' files, where no quality has them.
    """

    quality: int | None = None
    tables: tuple[list[int], list[int]] | None = None

    @model_validator(mode="after")
    def _one(self) -> Jpeg:
        if (self.quality is None) == (self.tables is None):
            raise ValueError("give exactly one of `quality` and `tables`")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}; use 1 to 100")
        for table in self.tables or ():
            if len(table) != _ENTRIES or not all(1 <= entry <= 255 for entry in table):
                raise ValueError("each of `tables` has 64 whole numbers from 1 to 255")
        return self


def encode_jpeg(pixels: NDArray[np.uint8], steps: Jpeg) -> bytes:
    """The file of an image (H, W, 3)."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if steps.tables is not None:
        image.save(buffer, "JPEG", qtables=list(steps.tables), subsampling="4:2:0")
    else:
        image.save(buffer, "JPEG", quality=steps.quality, subsampling="4:2:0")
    return buffer.getvalue()


def through_jpeg(pixels: NDArray[np.uint8], steps: Jpeg) -> NDArray[np.uint8]:
    """An image (H, W, 3) written as JPEG and read again."""
    from PIL import Image

    with Image.open(io.BytesIO(encode_jpeg(pixels, steps))) as image:
        return np.asarray(image)
