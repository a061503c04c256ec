"""How an image of an origin becomes an image of the dataset: cut and resized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from fpbench.datasets.jpeg import Jpeg, through_jpeg
from fpbench.documents import Document
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Resize(Document):
    """Resizing as it may be written out.

    Attributes:
        size: Side in pixels of the result.
        squeeze: Whether an image that is not square is squeezed into a square.
    """

    size: int = Field(gt=0)
    squeeze: bool = False


class Preprocess(Document):
    """How an image of an origin becomes an image of the dataset, in this order.

    Attributes:
        crop: Side in pixels of the square cut from the centre, before resizing.
        resize: Side in pixels of the result, or `Resize`; Pillow's antialiased bicubic filter,
            which for a whole-number reduction after a crop is the same for every source.
        jpeg: One JPEG after that, for a source that lacks the codec step that others had.
    """

    crop: int | None = Field(default=None, gt=0)
    resize: Annotated[int, Field(gt=0)] | Resize | None = None
    jpeg: Jpeg | None = None

    @model_serializer(mode="wrap")
    def _without_jpeg(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a JPEG it reads as it did before there was one: what was built stays so."""
        document: dict[str, Any] = serialise(self)
        if self.jpeg is None:
            document.pop("jpeg", None)
        return document


def preprocess(pixels: NDArray[np.uint8], steps: Preprocess, place: str) -> NDArray[np.uint8]:
    """Crop the centre, resize, and pass through JPEG, as a recipe says.

    Args:
        pixels: (H, W, 3).
        steps: What to do.
        place: What to call the image in a message.

    Raises:
        BadInput: If the image is smaller than the crop, or would be squeezed.
    """
    height, width = pixels.shape[:2]
    if steps.crop is not None:
        if min(height, width) < steps.crop:
            raise BadInput(
                f"{place} is {height}x{width} pixels, smaller than the recipe's preprocess.crop of "
                f"{steps.crop}."
            )
        top, left = (height - steps.crop) // 2, (width - steps.crop) // 2
        pixels = pixels[top : top + steps.crop, left : left + steps.crop]
    pixels = _resize(pixels, steps, place)
    return pixels if steps.jpeg is None else through_jpeg(pixels, steps.jpeg)


def _resize(pixels: NDArray[np.uint8], steps: Preprocess, place: str) -> NDArray[np.uint8]:
    if steps.resize is None:
        return pixels
    height, width = pixels.shape[:2]
    resize = steps.resize if isinstance(steps.resize, Resize) else Resize(size=steps.resize)
    if pixels.shape[0] != pixels.shape[1] and not resize.squeeze:
        raise BadInput(
            f"{place} is {height}x{width} pixels, and preprocess.resize alone would squeeze it "
            f"into a square; set preprocess.crop too, or write resize: {{size: {resize.size}, "
            "squeeze: true}."
        )
    return _resized(pixels, resize.size)


def _resized(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    from PIL import Image

    if pixels.shape[:2] == (side, side):
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
