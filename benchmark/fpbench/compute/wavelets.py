"""Daubechies' wavelet transform with four vanishing moments (``db4``), fast on CPUs.

A level of the transform is a banded matrix along each axis. Sixteen samples at a time it is a
small dense matrix acting on overlapping windows, and BLAS multiplies windows where they lie. So
do means over windows of rows. Buffers are kept from plane to plane: making them anew, and the
views of them, takes as long as the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

# The scaling filter of 8 taps, Daubechies, Ten Lectures on Wavelets (1992), table 6.1.
SCALING = (
    0.23037781330889650086,
    0.71484657055291564709,
    0.63088076792985890788,
    -0.02798376941685985422,
    -0.18703481171909308408,
    0.03084138183556076363,
    0.03288301166688519974,
    -0.01059740178506903211,
)
TAPS = len(SCALING)
_BLOCK = 8  # coefficients of each kind that one product makes


def wavelet_levels(height: int, width: int, levels: int = 4) -> int:
    """How many levels a decomposition of an image this large has.

    `levels`, but not more than the largest that keeps one coefficient free of the border,
    ``floor(log2(min(height, width) / 7))`` for the 8 taps of db4 (PyWavelets'
    ``dwt_max_level``), and at least one: 4 at 256×256, 3 at 64×64, 2 at 32×32.

    Raises:
        ValueError: If `levels` or a side is not positive.
    """
    if levels < 1 or min(height, width) < 1:
        raise ValueError(f"cannot take {levels} levels of an image of {height}x{width}")
    possible = 0
    while (TAPS - 1) << (possible + 1) <= min(height, width):
        possible += 1
    return max(1, min(levels, possible))


def coefficient_count(length: int) -> int:
    """How many coefficients of each kind `length` samples have."""
    return (length + TAPS - 1) // 2


def mirrored(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Positions beyond the border mirrored into it, the edge repeated (mode ``symmetric``)."""
    at = positions % (2 * length)
    return np.where(at < length, at, 2 * length - 1 - at)


def filters() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The taps of the low and of the high filter, in the order in which synthesis applies them."""
    low = np.array(SCALING)
    return low, low[::-1] * np.array([1.0, -1.0] * (TAPS // 2))


@lru_cache(maxsize=1)
def _analysis_blocks() -> tuple[Plane, Plane]:
    """Low and high filter as matrices (8, 22) from a window of samples to coefficients."""
    blocks = [np.zeros((_BLOCK, 2 * _BLOCK + TAPS - 2), np.float32) for _ in range(2)]
    for block, taps in zip(blocks, filters(), strict=True):
        for row in range(_BLOCK):
            block[row, 2 * row : 2 * row + TAPS] = taps
    return blocks[0], blocks[1]


@lru_cache(maxsize=1)
def _synthesis_blocks() -> tuple[Plane, Plane]:
    """Their inverses as matrices (16, 11) from a window of coefficients to samples."""
    blocks = [np.zeros((2 * _BLOCK, _BLOCK + TAPS // 2 - 1), np.float32) for _ in range(2)]
    for block, taps in zip(blocks, filters(), strict=True):
        for row in range(block.shape[1]):
            for tap in range(TAPS):
                at = 2 * row + tap - (TAPS - 2)
                if 0 <= at < 2 * _BLOCK:
                    block[at, row] = taps[tap]
    return blocks[0], blocks[1]


@lru_cache(maxsize=1)
def _transposed_analysis() -> tuple[Plane, Plane]:
    return _transposed(_analysis_blocks())


@lru_cache(maxsize=1)
def _transposed_synthesis() -> tuple[Plane, Plane]:
    return _transposed(_synthesis_blocks())


def _transposed(blocks: tuple[Plane, Plane]) -> tuple[Plane, Plane]:
    """Transposed and laid out anew: BLAS is twice as fast on these."""
    return np.ascontiguousarray(blocks[0].T), np.ascontiguousarray(blocks[1].T)


def _blocks(length: int) -> int:
    """How many blocks of coefficients serve both directions of a transform of `length`."""
    return -(-length // (2 * _BLOCK)) + 1


def _windows(planes: Plane, axis: int, step: int, size: int, count: int) -> Plane:
    """Overlapping windows along an axis counted from the end, a view.

    Rows (axis -2) of planes (..., H, W) give (..., count, size, W), columns (axis -1) give
    (..., count, H, size).
    """
    *before, height, width = planes.shape
    strides = (*planes.strides[:-2], step * planes.strides[axis], *planes.strides[-2:])
    ends = (size, width) if axis == -2 else (height, size)
    return as_strided(planes, (*before, count, *ends), strides)


@lru_cache(maxsize=64)
def _border(length: int, near: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which samples stand for the six before the first and for `near` after the last."""
    return (
        mirrored(np.arange(2 - TAPS, 0), length),
        mirrored(np.arange(length, length + near), length),
    )


class WaveletLevel:
    """One level of the transform of planes, and what the Wiener filter needs of it.

    Args:
        planes: How many planes it keeps.
        height: Their rows.
        width: Their columns.
        group: How many of them are worked on at a time.

    Attributes:
        approximation: float32 of shape (P, h, w), h and w `coefficient_count` of the sides; a
            view to be read after `analyse` and written before `synthesise`.
        details: float32 of shape (P, 3, h, w), high across columns, across rows and across both
            (PyWavelets' vertical, horizontal and diagonal); a view.
    """

    def __init__(self, planes: int, height: int, width: int, group: int) -> None:
        self._height, self._width = height, width
        self._group = group = min(group, planes)
        self._tall, self._wide = tall, wide = _blocks(height), _blocks(width)
        h, w = coefficient_count(height), coefficient_count(width)
        edge = TAPS - 2
        # What is beyond the coefficients means nothing but must be finite: zero times it counts.
        self._bands = np.zeros((planes, 4, tall, _BLOCK, wide, _BLOCK), np.float32)
        whole = self._bands.reshape(planes, 4, tall * _BLOCK, wide * _BLOCK)
        self.approximation = whole[:, 0, :h, :w]
        self.details = whole[:, 1:, :h, :w]

        self._padded = np.zeros((group, 2 * _BLOCK * tall + edge, width), np.float32)
        self._over_rows = _windows(self._padded, -2, 2 * _BLOCK, 2 * _BLOCK + edge, tall)
        self._rows = np.zeros((group, tall, _BLOCK, 2 * _BLOCK * wide + edge), np.float32)
        self._flat_rows = self._rows.reshape(group, tall * _BLOCK, -1)
        self._over_columns = _windows(self._flat_rows, -1, 2 * _BLOCK, 2 * _BLOCK + edge, wide)

        half = _BLOCK + TAPS // 2 - 1
        self._over_bands = _windows(whole, -2, _BLOCK, half, tall - 1)
        self._columns = np.zeros((2, group, tall - 1, 2 * _BLOCK, wide * _BLOCK), np.float32)
        columns = self._columns.reshape(2, group, -1, wide * _BLOCK)
        self._across = _windows(columns, -1, _BLOCK, half, wide - 1)
        self._parts = np.zeros(
            (2, group, 2 * _BLOCK * (tall - 1), wide - 1, 2 * _BLOCK), np.float32
        )

        # Rows of a band are at least five values longer than its coefficients. Zeros there part
        # one row's windows from the next one's, so that all rows can be shifted as one.
        self._meaningless = (whole[:, 1:, h:], whole[:, 1:, :, w:])
        self._flat = whole[:, 1:]
        shape = (group, 3, tall * _BLOCK + _BLOCK, wide * _BLOCK)
        self._energy = np.zeros(shape, np.float32)
        self._along = np.zeros(shape, np.float32)
        reach = _BLOCK // 2
        self._strips = [
            _windows(self._along[:, :, reach - radius :], -2, _BLOCK, _BLOCK + 2 * radius, tall)
            for radius in range(1, reach + 1)
        ]
        self._mean = np.zeros((2, group, 3, tall, _BLOCK, wide * _BLOCK), np.float32)

    def _groups(self) -> Iterator[tuple[slice, slice]]:
        """Planes worked on together, and the part of the buffers they take."""
        for start in range(0, len(self._bands), self._group):
            stop = min(start + self._group, len(self._bands))
            yield slice(start, stop), slice(0, stop - start)

    def analyse(self, planes: Plane) -> None:
        """Transform planes (P, H, W), borders mirrored, into `approximation` and `details`."""
        edge, width = TAPS - 2, self._width
        low_columns, high_columns = _transposed_analysis()
        for some, here in self._groups():
            self._padded[here, edge : edge + self._height] = planes[some]
            _mirror(self._padded[here].swapaxes(1, 2), self._height)
            for number, filter_rows in enumerate(_analysis_blocks()):
                rows = self._rows[here]
                np.matmul(filter_rows, self._over_rows[here], out=rows[..., edge : edge + width])
                _mirror(self._flat_rows[here], width)
                windows = self._over_columns[here]
                bands = self._bands[some, 2 * number : 2 * number + 2]
                low, high = (
                    bands[:, kind].reshape(len(rows), -1, self._wide, _BLOCK).swapaxes(1, 2)
                    for kind in (0, 1)
                )
                np.matmul(windows, low_columns, out=low)
                np.matmul(windows, high_columns, out=high)

    def synthesise(self, out: Plane, *, approximation: bool = True) -> None:
        """Transform back into planes (P, H, W).

        Args:
            out: Where to write.
            approximation: Whether the approximation counts, or is taken as zero.
        """
        low, high = _synthesis_blocks()
        for some, here in self._groups():
            bands = self._over_bands[some]
            for number, column in enumerate(self._columns[:, here]):
                np.matmul(high, bands[:, 2 + number], out=column)
                if number or approximation:
                    column += low @ bands[:, number]
            for across, block, part in zip(
                self._across[:, here], _transposed_synthesis(), self._parts[:, here], strict=True
            ):
                np.matmul(across, block, out=part.swapaxes(1, 2))
            one, other = (
                part.reshape(len(part), part.shape[1], -1)[:, : self._height, : self._width]
                for part in self._parts[:, here]
            )
            np.add(one, other, out=out[some])

    def keep_noise(self, variance: float) -> None:
        """Shrink the details to what a Wiener filter takes for noise of a variance σ².

        A detail d becomes ``d·σ²/max(σ², min_w mean_w(d²))`` over square windows w of 3, 5, 7
        and 9 coefficients around it, with zeros beyond the border.
        """
        reach = _BLOCK // 2
        for margin in self._meaningless:
            margin[...] = 0.0
        for some, here in self._groups():
            details, energy, along = self._flat[some], self._energy[here], self._along[here]
            np.multiply(details, details, out=energy[..., reach:-reach, :])
            around, total = energy.reshape(-1), along.reshape(-1)[reach:-reach]
            inner = len(around) - reach
            least, mean = self._mean[:, here]
            np.add(around[reach - 1 : inner - 1], around[reach:inner], out=total)
            for radius, strips in enumerate(self._strips, 1):
                if radius > 1:
                    total += around[reach - radius : inner - radius]
                total += around[reach + radius : inner + radius or None]
                box = _box(2 * radius + 1, variance)
                if radius == 1:
                    np.matmul(box, strips[here], out=least)
                else:
                    np.matmul(box, strips[here], out=mean)
                    np.minimum(least, mean, out=least)
            np.maximum(least, 1.0, out=least)
            details /= least.reshape(details.shape)


def _mirror(padded: Plane, length: int) -> None:
    """Fill the last axis around its samples: six before, all after; farther ones stay zero."""
    before = TAPS - 2
    samples = padded[..., before : before + length]
    after = padded[..., before + length :]
    near = min(after.shape[-1], TAPS)
    left, right = _border(length, near)
    padded[..., :before] = samples[..., left]
    after[..., :near] = samples[..., right]


@lru_cache(maxsize=8)
def _box(size: int, unit: float) -> Plane:
    """Means over square windows, in units of `unit`, as a matrix (8, size + 7) for their sums."""
    box = np.zeros((_BLOCK, _BLOCK + size - 1), np.float32)
    for row in range(_BLOCK):
        box[row, row : row + size] = 1.0 / (size * size * unit)
    return box
