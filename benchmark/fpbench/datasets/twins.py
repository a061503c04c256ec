"""Finds sources that share their images position by position: one training, taken for two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.duplicates import fine_detail
from fpbench.datasets.planting import highpass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

_POSITIONS = 128
_FEWEST = 8
# Side of the middle of large images that is compared: it holds enough fine detail.
_MIDDLE = 64
# By how much fine detail must correlate more at the same position than at others; the 169 pairs of
# sources of gm-mini and gm-cifar10, none of which shares any, lie within 0.02 of 0.
_SHARED = 0.1
_ERROR = 0.05


@dataclass(frozen=True)
class Twins:
    """Two sources whose images are alike position by position.

    Attributes:
        first: Name of one source.
        second: Name of the other.
        same: Mean correlation of fine detail of images at the same position.
        other: That of images at different positions.
        low: Lower end of the interval of their difference, which holds for all pairs of sources
            at once with 95 %.
        high: Its upper end.
        images: Pairs of images compared.
    """

    first: str
    second: str
    same: float
    other: float
    low: float
    high: float
    images: int


def shared_positions(
    names: Mapping[str, Sequence[str]], take: Callable[[str, Sequence[int]], NDArray[np.uint8]]
) -> list[Twins]:
    """Sources that share images position by position.

    Two sources are compared by the images whose names are equal but for the source's own; where
    fewer than eight are, by their place in the order of names. Of these at most 128 pairs are
    taken, evenly spread. What a source's images all have in common, its fingerprint, does not
    count: images at other positions have it, too.

    Args:
        names: Names of the images of every source.
        take: Returns the images (n, H, W, 3) of a source at n positions among its names.
    """
    by_name = {source: _stems(source, own) for source, own in names.items()}
    pairs = list(combinations(names, 2))
    found = []
    for first, second in pairs:
        positions = _matched(by_name[first], by_name[second])
        if len(positions) < _FEWEST:
            continue
        details = [
            _middle_detail(take(source, [position[side] for position in positions]))
            for side, source in enumerate((first, second))
        ]
        twins = _compare(first, second, details[0] @ details[1].T, _ERROR / len(pairs))
        if twins.low > _SHARED:
            found.append(twins)
    return found


def _stems(source: str, names: Sequence[str]) -> dict[str, int]:
    """Names without the source's own and without suffix, each with its position."""
    stems = {}
    for position, name in enumerate(names):
        # A name such as gan-a/0007.png, or gan-a-train-00007 in a dataset that was built.
        stem = re.sub(r"\.[A-Za-z]+$", "", name)
        stems[stem.removeprefix(source).lstrip("/-")] = position
    return stems


def _matched(one: dict[str, int], two: dict[str, int]) -> list[tuple[int, int]]:
    shared = sorted(one.keys() & two.keys())
    positions = [(one[name], two[name]) for name in shared]
    if len(positions) < _FEWEST:
        ordered = ([row[name] for name in sorted(row)] for row in (one, two))
        positions = list(zip(*ordered, strict=False))
    spread = np.linspace(0, len(positions) - 1, min(_POSITIONS, len(positions)))
    return [positions[index] for index in spread.astype(int)]


def _middle_detail(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = (min(side, _MIDDLE) for side in images.shape[1:3])
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    middle = images[:, top : top + height, left : left + width]
    return fine_detail(highpass(middle.astype(np.float32)))


def _compare(first: str, second: str, likeness: NDArray[np.float32], error: float) -> Twins:
    """Interval of how much more alike images at the same position are, of a matrix (n, n)."""
    from scipy.stats import t

    count = len(likeness)
    same = np.diag(likeness).astype(np.float64)
    sums = likeness.sum(axis=0, dtype=np.float64) + likeness.sum(axis=1, dtype=np.float64)
    other = (sums - 2 * same) / (2 * (count - 1))
    surplus = same - other
    spread = surplus.std(ddof=1) / np.sqrt(count) * t.ppf(1 - error / 2, count - 1)
    return Twins(
        first,
        second,
        float(same.mean()),
        float(other.mean()),
        float(surplus.mean() - spread),
        float(surplus.mean() + spread),
        count,
    )
