"""Finds images that nearly equal another: copies, re-encodings, mirrored or memorised images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.planting import highpass
from fpbench.datasets.quality import thumbnails

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# A pair is looked at closely where its 16x16 thumbnails correlate this much ...
_COARSE = 0.97
# ... and is a near duplicate where its fine detail does, too: smooth images that merely have the
# same shading do not share their noise.
_FINE = 0.5
# ... and its pixels differ by no more levels than this (root mean square): two edges of the same
# direction are no copies of each other.
_DIFFERENCE = 10.0
# Thumbnails of less contrast (root mean square, levels of 255) all look alike.
_CONTRAST = 2.0
_CHUNK = 512
_CLOSE_AT_ONCE = 256


@dataclass(frozen=True)
class NearPair:
    """Two images that nearly equal each other.

    Attributes:
        first: Position of one.
        second: Position of the other, greater than `first`.
        similarity: Correlation of their fine detail.
        mirrored: Whether one is the other's mirror image.
    """

    first: int
    second: int
    similarity: float
    mirrored: bool


def near_duplicates(
    take: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    count: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[NearPair]:
    """All pairs of near duplicates among images.

    Thumbnails are compared by the correlation of their deviations from their mean, every image
    with every other and with every other's mirror image; pairs that pass are confirmed on the
    correlation of their high-pass residuals at full size.

    Args:
        take: Returns the images (n, H, W, 3) at n positions; asked for few at a time.
        count: Number of images.
        progress: Called with images done and their number.
    """
    if count == 0:
        return []
    plain, turned = [], []
    for start in range(0, count, _CHUNK):
        images = take(np.arange(start, min(count, start + _CHUNK)))
        plain.append(thumbnails(images))
        turned.append(thumbnails(images[:, :, ::-1]))
    levels = np.concatenate(plain)
    turned_levels = np.concatenate(turned)
    small, flat = _normalised(levels)
    mirrored, _ = _normalised(turned_levels)
    pairs: list[NearPair] = []
    for start in range(0, count, _CHUNK):
        stop = min(count, start + _CHUNK)
        for other, other_levels, is_mirrored in (
            (small, levels, False),
            (mirrored, turned_levels, True),
        ):
            # Only partners further on: every pair is seen once, whichever way it is mirrored.
            likeness = small[start:stop] @ other[start:].T
            first, second = np.nonzero(likeness >= _COARSE)
            kept = (second > first) & ~flat[start + first] & ~flat[start + second]
            one, two = start + first[kept], start + second[kept]
            near = _coarse_difference(levels, one, other_levels, two) <= _DIFFERENCE
            pairs += _confirmed(take, one[near], two[near], is_mirrored)
        if progress is not None:
            progress(stop, count)
    return pairs


def _normalised(small: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    centred = small - small.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1)
    flat = norm < _CONTRAST / 255 * np.sqrt(small.shape[1])
    return centred / np.maximum(norm, 1e-9)[:, None], flat


def _coarse_difference(
    a: NDArray[np.float32], one: NDArray[np.int64], b: NDArray[np.float32], two: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Root mean square difference of thumbnails in levels: never more than that of the images."""
    squares = np.empty(len(one), np.float32)
    for start in range(0, len(one), _CHUNK):
        rows = slice(start, start + _CHUNK)
        squares[rows] = np.mean((a[one[rows]] - b[two[rows]]) ** 2, axis=1)
    return 255 * np.sqrt(squares)


def _confirmed(
    take: Callable[[NDArray[np.int64]], NDArray[np.uint8]],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    mirrored: bool,
) -> list[NearPair]:
    found = []
    for start in range(0, len(first), _CLOSE_AT_ONCE):
        one, two = first[start : start + _CLOSE_AT_ONCE], second[start : start + _CLOSE_AT_ONCE]
        left, right = take(one), take(two)[:, :, ::-1] if mirrored else take(two)
        similarity = np.einsum("ij,ij->i", _detail(left), _detail(right))
        difference = np.sqrt(np.mean((left.astype(np.float32) - right) ** 2, axis=(1, 2, 3)))
        for index in np.flatnonzero((similarity >= _FINE) & (difference <= _DIFFERENCE)):
            pair = NearPair(int(one[index]), int(two[index]), float(similarity[index]), mirrored)
            found.append(pair)
    return found


def _detail(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    residual = highpass(images.astype(np.float32)).reshape(len(images), -1)
    residual = residual - residual.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = residual / np.maximum(
        np.linalg.norm(residual, axis=1, keepdims=True), 1e-9
    )
    return unit
