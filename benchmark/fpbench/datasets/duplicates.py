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
# A copy of other brightness, contrast or colour differs by more. It shares its layout, compared
# without each channel's mean, as images of one colour are alike by that colour alone ...
_LAYOUT = 0.95
# ... and its fine detail, compared with all cut off that is beyond four times its median size, as
# one strong edge in common would be enough otherwise.
_CLIPPED = 0.65
_CUT = 4.0
# Thumbnails of less contrast (root mean square, levels of 255) all look alike.
_CONTRAST = 2.0
_CHUNK = 512
_CLOSE_AT_ONCE = 256

_Candidates = tuple["NDArray[np.int64]", "NDArray[np.int64]"]


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

    Thumbnails are compared by their correlation, every image with every other and with every
    other's mirror image; pairs that pass are confirmed at full size by their high-pass residuals
    x − box(x). A pair is a near duplicate if either

    - thumbnails correlate by 0.97, residuals by 0.5, and pixels differ by at most 10 levels (root
      mean square): copies, weak noise, re-encodings; or
    - thumbnails less each channel's mean correlate by 0.95, and residuals, cut off at four times
      their median size, by 0.65: copies of other brightness, contrast or colour.

    Of the 1,550 real crops of gm-mini (1.2 million pairs, many of them edges of one smooth disc)
    the second rule takes none that the first does not; of 30,000 images of CIFAR-10 it takes 63
    pairs, by eye all but one of them a photograph twice. Of CIFAR-10's images 30 levels brighter
    and with noise of 5 levels it finds 0.99, the first rule none.

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
    shading, layout = _Thumbnails(levels, 1), _Thumbnails(levels, 3)
    views = (
        (False, levels, shading, layout),
        (True, turned_levels, _Thumbnails(turned_levels, 1), _Thumbnails(turned_levels, 3)),
    )
    pairs: list[NearPair] = []
    for start in range(0, count, _CHUNK):
        for is_mirrored, other, other_shading, other_layout in views:
            one, two = shading.alike(other_shading, start, _COARSE)
            near = _coarse_difference(levels, one, other, two) <= _DIFFERENCE
            by_layout = layout.alike(other_layout, start, _LAYOUT)
            pairs += _confirmed(take, (one[near], two[near]), by_layout, is_mirrored)
        if progress is not None:
            progress(min(count, start + _CHUNK), count)
    return pairs


class _Thumbnails:
    """Thumbnails of unit length, less their mean over all channels (1) or each channel's (3)."""

    def __init__(self, levels: NDArray[np.float32], means: int) -> None:
        by_channel = levels.reshape(len(levels), -1, means)
        centred = (by_channel - by_channel.mean(axis=1, keepdims=True)).reshape(len(levels), -1)
        norm = np.linalg.norm(centred, axis=1)
        self._flat = norm < _CONTRAST / 255 * np.sqrt(levels.shape[1])
        self._unit = centred / np.maximum(norm, 1e-9)[:, None]

    def alike(self, other: _Thumbnails, start: int, least: float) -> _Candidates:
        """Pairs of one of a chunk and a later one that correlate by `least`, none of them flat."""
        # Only partners further on: every pair is seen once, whichever way it is mirrored.
        likeness = self._unit[start : start + _CHUNK] @ other._unit[start:].T
        first, second = np.nonzero(likeness >= least)
        kept = (second > first) & ~self._flat[start + first] & ~self._flat[start + second]
        return start + first[kept], start + second[kept]


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
    by_shading: _Candidates,
    by_layout: _Candidates,
    mirrored: bool,
) -> list[NearPair]:
    """The near duplicates among candidates of the first and of the second rule."""
    found = []
    shaded = set(zip(*(part.tolist() for part in by_shading), strict=True))
    laid = set(zip(*(part.tolist() for part in by_layout), strict=True))
    candidates = sorted(shaded | laid)
    for start in range(0, len(candidates), _CLOSE_AT_ONCE):
        batch = candidates[start : start + _CLOSE_AT_ONCE]
        one, two = np.asarray(batch, np.int64).T
        left, right = take(one), take(two)[:, :, ::-1] if mirrored else take(two)
        difference = np.sqrt(np.mean((left.astype(np.float32) - right) ** 2, axis=(1, 2, 3)))
        details = [highpass(images.astype(np.float32)) for images in (left, right)]
        similarity = _correlation(*details)
        clipped = _correlation(*(cut_off(detail) for detail in details))
        for index, pair in enumerate(batch):
            copied = similarity[index] >= _FINE and difference[index] <= _DIFFERENCE
            if (pair in shaded and copied) or (pair in laid and clipped[index] >= _CLIPPED):
                found.append(NearPair(pair[0], pair[1], float(similarity[index]), mirrored))
    return found


def fine_detail(residuals: NDArray[np.float32]) -> NDArray[np.float32]:
    """High-pass residuals (N, H, W, 3) less their mean, as rows of unit length."""
    rows = residuals.reshape(len(residuals), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    unit: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return unit


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.einsum("ij,ij->i", fine_detail(a), fine_detail(b))
    return found


def cut_off(residuals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Residuals with what is far above the usual cut off: one strong edge then counts little."""
    # Half a level keeps the rounding of flat images from being all there is.
    usual = np.median(np.abs(residuals), axis=(1, 2, 3), keepdims=True) + np.float32(0.5)
    cut: NDArray[np.float32] = np.clip(residuals, -_CUT * usual, _CUT * usual)
    return cut
