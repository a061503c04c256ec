"""Co-occurrence matrices of neighbouring pixels, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS = 256


def cooccurrence(
    images: NDArray[np.uint8], *, offset: tuple[int, int] = (0, 1)
) -> NDArray[np.int32]:
    """How often grey level i stands beside grey level j, per channel.

    Entry (i, j) counts pixels of value i whose neighbour at `offset` has value j; neither
    symmetric nor normalised, as in Nataraj et al. (2019).

    Args:
        images: uint8 of shape (N, H, W, C).
        offset: Rows and columns to the neighbour, neither negative; (0, 1) is the pixel to the
            right.

    Returns:
        int32 of shape (N, C, 256, 256); each matrix sums to the number of pairs.

    Raises:
        ValueError: If images are not uint8 of that shape, or no pixel has such a neighbour.
    """
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 of shape (N, H, W, C), not {images.dtype} of {images.shape}"
        )
    down, right = offset
    count, height, width, channels = images.shape
    if min(down, right) < 0 or down + right == 0 or down >= height or right >= width:
        raise ValueError(f"no pixel of a {height}x{width} image has a neighbour at {offset}")
    result = np.empty((count, channels, _LEVELS, _LEVELS), np.int32)
    cells = _LEVELS * _LEVELS
    # One count over an image's channels at once keeps the table small enough for a cache.
    shift = np.arange(channels, dtype=np.int64) * cells
    for number, image in enumerate(images):
        here = image[: height - down, : width - right]
        there = image[down:, right:]
        pairs = here.astype(np.int64)
        pairs <<= 8
        pairs += there
        pairs += shift
        table = np.bincount(pairs.ravel(), minlength=channels * cells)
        result[number] = table.reshape(channels, _LEVELS, _LEVELS)
    return result
