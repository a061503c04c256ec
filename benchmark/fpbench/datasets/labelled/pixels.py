"""From an encoded image to a square of the dataset: cut, without resampling unless it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.decoding import decode
from fpbench.datasets.origins.preprocess import Preprocess, preprocess
from fpbench.datasets.traces import header_traits, opened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GRID = 8
"""A square is cut at multiples of this, so that a codec's grid stays at its origin."""

LARGEST = 256
"""Side of the largest square that is cut unless another is stated."""

SMALLEST = 16
"""Side of the smallest square that is cut."""

_OUTLIERS = 0.05
_LOSSLESS = ("RGB", "L", "1")


@dataclass(frozen=True)
class Header:
    """What the header of an encoded image says.

    Attributes:
        height: In pixels.
        width: In pixels.
        fault: Why it cannot be used, or "".
        grey: Whether it is grey.
    """

    height: int
    width: int
    fault: str = ""
    grey: bool = False

    @property
    def side(self) -> int:
        """Side of the largest square within."""
        return min(self.height, self.width)


def header_of(data: bytes) -> Header:
    """Read the header of an encoded image; grey images are usable, as nothing of them is lost."""
    try:
        with opened(data) as image:
            traits = header_traits(image, data)
    # Pillow's codecs raise many types for broken data; all of them mean this image.
    except Exception:
        return Header(0, 0, "no PNG, JPEG or WebP image")
    height, width = traits.size
    if traits.mode not in _LOSSLESS:
        return Header(height, width, f"mode {traits.mode}")
    for fault, wrong in (
        (f"{traits.depth} bits a channel", traits.depth > GRID),
        ("several frames", traits.frames > 1),
        ("to be shown turned (EXIF)", traits.orientation > 1),
    ):
        if wrong:
            return Header(height, width, fault)
    return Header(height, width, grey=traits.mode != "RGB")


def square_side(by_source: Sequence[Sequence[Header]]) -> int:
    """Side of the square that all but a few images of every source hold, at most `LARGEST`.

    Args:
        by_source: Headers of the usable images of each source.
    """
    sides = [np.sort([header.side for header in own]) for own in by_source if len(own)]
    if not sides:
        return LARGEST
    side = min(int(own[int(_OUTLIERS * len(own))]) for own in sides)
    equal = all(own[0] == own[-1] == side for own in sides)
    side = min(side, LARGEST)
    return side if equal else max(SMALLEST, side // GRID * GRID)


def cut(data: bytes, place: str, crop: int, resize: int | None) -> NDArray[np.uint8]:
    """The square of an encoded image that becomes an image of the dataset.

    Args:
        data: The image.
        place: What to call it in a message.
        crop: Side of the square, at multiples of `GRID` nearest to the middle.
        resize: Side that it is resized to, or None.

    Returns:
        uint8 of shape (S, S, 3).

    Raises:
        BadInput: If it cannot be decoded.
    """
    pixels = decode(data, place, grey=True)
    top, left = ((length - crop) // 2 // GRID * GRID for length in pixels.shape[:2])
    square = pixels[top : top + crop, left : left + crop]
    return square if resize is None else preprocess(square, Preprocess(resize=resize), place)
