"""Orthogonal projections: short vectors whose distance never exceeds that of the whole rows.

If P has orthonormal rows and x⊥ is what P leaves of x, then
``‖x − y‖² ≥ ‖Px − Py‖² + (‖x⊥‖ − ‖y⊥‖)²``. A projection here therefore returns Px and, as one
coordinate more, ``√(‖x⊥‖² + c)``: the constant c can only bring two such coordinates closer, and
keeps the rounding of a small ‖x⊥‖² from growing under the root.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIT = 2.0**-24
"""Largest relative error of rounding to float32."""

LARGEST_SQUARE = 1e37
"""Rows longer than the root of this cannot be multiplied in single precision."""

_MIDDLE = 128.0
_BANDS = 32
_CHUNK_VALUES = 2**20


class Projection(Protocol):
    """A linear map of rows to a few dimensions, and one more for the length of the rest."""

    dimension: int
    """Dimensions of what `apply` returns."""
    chunk: int
    """How many rows `apply` is best given at a time."""

    def apply(self, rows: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Project rows of shape (n, ...) into float32 (n, dimension)."""

    def error(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much `apply` may be off, as a distance, where it returned these lengths."""


_SMOOTH = 0.03
"""The constant √c as a part of a row's length."""


def useful_dimension(values: int) -> int:
    """How many dimensions of a projection pay for rows of so many values.

    Each dimension costs a little on every reference row, and each candidate that the bound
    fails to exclude costs a whole row; ``values^(2/3)`` was measured near the balance for
    photographs of 32×32 and of 256×256.
    """
    return math.ceil(math.cbrt(values) ** 2)


def _rest(
    total: NDArray[np.float64], kept: NDArray[np.float32], floor: float
) -> NDArray[np.float64]:
    """The extra coordinate √(‖x⊥‖² + c) from ‖x‖² and Px."""
    short = np.einsum("nd,nd->n", kept, kept, dtype=np.float64)
    rest: NDArray[np.float64] = np.sqrt(np.maximum(total - short, 0.0) + floor)
    return rest


def _error(terms: int, length: NDArray[np.float64]) -> NDArray[np.float64]:
    """Euclidean error of projections by sums of `terms` products, of rows of a length."""
    # Rounding errors of a sum add up like a random walk; this is four times its deviation.
    return 4.0 * math.sqrt(terms) * UNIT * length


def _rest_error(
    error: NDArray[np.float64], length: NDArray[np.float64], floor: float
) -> NDArray[np.float64]:
    """What that error does to the extra coordinate."""
    squared = 2.0 * length * error
    return np.sqrt(np.minimum(squared, squared**2 / (4.0 * floor)) if floor else squared)


def _cosines(length: int, count: int) -> NDArray[np.float64]:
    """The first `count` rows of the orthonormal DCT-II of `length` samples."""
    at = np.arange(length)
    matrix = np.cos(np.pi * np.arange(count)[:, None] * (2 * at + 1) / (2 * length))
    matrix *= np.sqrt(2.0 / length)
    matrix[0] /= np.sqrt(2.0)
    return np.asarray(matrix)


class ImageProjection:
    """The strongest low spatial frequencies of uint8 images.

    Large images are first summed over small blocks, which reads every byte once and is all that
    is ever done at full size; then cosine transforms along both axes and over the colours give
    orthonormal coefficients, of which those that vary most among some images are kept. Rows and
    columns that fill no block are left out, which only loosens the bound.

    Args:
        sample: Some of the images, uint8 of shape (n, H, W, C), to learn what varies.
        most: Most dimensions to keep.
    """

    def __init__(self, sample: NDArray[np.uint8], most: int) -> None:
        _, height, width, channels = sample.shape
        self._tall = max(1, height // _BANDS)
        self._wide = 2 ** int(math.log2(max(1, width // (2 * _BANDS))))
        self._sums = np.uint16 if self._tall * self._wide * 255 < 2**16 else np.uint32
        self._bands, self._blocks = height // self._tall, width // self._wide
        self._channels = channels
        area = self._tall * self._wide
        vertical = min(self._bands, math.ceil(1.6 * height ** (2 / 3)))
        # Colour varies slowly across photographs: brightness gets more frequencies.
        bright = self._blocks if self._wide > 1 else min(width, math.ceil(1.25 * width ** (2 / 3)))
        coloured = max(1, bright // 4)
        self._vertical = (_cosines(self._bands, vertical) / math.sqrt(area)).astype(np.float32)
        colours = (
            np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
            if channels == 3
            else np.eye(channels)
        )
        cosines = _cosines(self._blocks, bright)
        columns = [
            np.kron(cosine[:, None], colours[number][:, None])
            for number in range(channels)
            for cosine in cosines[: bright if channels != 3 or number == 0 else coloured]
        ]
        self._horizontal = np.ascontiguousarray(np.hstack(columns), np.float32)
        self._longest = _MIDDLE * math.sqrt(height * width * channels)
        self._floor = (_SMOOTH * self._longest) ** 2
        self.chunk = max(1, _CHUNK_VALUES // (height * width * channels))
        if area > 1:
            self.chunk = 4 * self.chunk  # blocks are summed in a cache, and few remain
        coefficients = np.concatenate(
            [
                self._coefficients(sample[i : i + self.chunk])[0]
                for i in range(0, len(sample), self.chunk)
            ]
        )
        varying = np.argsort(-coefficients.var(axis=0), kind="stable")[:most]
        self._chosen = np.sort(varying)
        self._has_rest = area == 1 or len(varying) < coefficients.shape[1]
        self.dimension = len(varying) + self._has_rest

    def _coefficients(
        self, images: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
        """All coefficients (n, K) and, if no block was summed, the squared lengths (n,)."""
        count, width = len(images), self._blocks * self._channels
        total = None
        if self._tall * self._wide == 1:
            # Bytes less 128 without a second pass over floats: the highest bit becomes the sign.
            signed = (images ^ np.uint8(_MIDDLE)).view(np.int8)
            rows = signed.reshape(count, self._bands, width).astype(np.float32)
            # Integers below 2^24 are exact in float32; longer rows need double precision.
            exact = width * _MIDDLE**2 <= 2.0**24
            lengths = np.einsum(
                "nrw,nrw->nr", rows, rows, dtype=np.float32 if exact else np.float64
            )
            total = lengths.sum(axis=1, dtype=np.float64)
        else:
            rows = self._block_sums(images).reshape(count, self._bands, width)
            rows -= _MIDDLE * self._tall * self._wide
        if len(self._vertical) < self._bands:
            rows = self._vertical @ rows
            found = rows.reshape(-1, width) @ self._horizontal
        else:
            found = rows.reshape(-1, width) @ self._horizontal
            found = self._vertical @ found.reshape(count, self._bands, -1)
        return found.reshape(count, -1), total

    def _block_sums(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Sums over blocks: float32 of shape (n, bands, blocks, C)."""
        count, channels = len(images), self._channels
        used = images[:, : self._bands * self._tall]
        rows = used.reshape(count, self._bands, self._tall, -1).sum(axis=2, dtype=self._sums)
        shift = channels
        while shift < channels * self._wide:  # each value plus its neighbours to the right
            rows = rows[..., :-shift] + rows[..., shift:]
            shift *= 2
        sums = np.empty((count, self._bands, self._blocks, channels), np.float32)
        for channel in range(channels):  # inner loops over blocks are longer than over colours
            sums[..., channel] = rows[..., channel::shift][..., : self._blocks]
        return sums

    def apply(self, rows: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Project images of shape (n, H, W, C) into float32 (n, dimension)."""
        found, total = self._coefficients(rows)
        kept = out[:, : len(self._chosen)]
        if len(self._chosen) == found.shape[1]:
            kept[...] = found
        else:
            np.take(found, self._chosen, axis=1, out=kept, mode="clip")
        if self._has_rest:
            if total is None:
                total = np.einsum("nd,nd->n", found, found, dtype=np.float64)
            out[:, -1] = _rest(total, kept, self._floor)

    def error(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much `apply` may be off, as a distance, where it returned these lengths."""
        # What the projection leaves out was rounded too, so the length of the image counts.
        longest = np.full(np.shape(lengths), self._longest)
        error = _error(self._bands + self._blocks * self._channels, longest)
        return error + _rest_error(error, longest, self._floor) if self._has_rest else error


class RowProjection:
    """The principal components of some rows.

    Args:
        sample: Some of the rows, numbers of shape (n, ...).
        most: Most dimensions to keep.

    Raises:
        ValueError: If rows are not finite or too long for single precision.
    """

    def __init__(self, sample: NDArray[Any], most: int) -> None:
        rows = sample.reshape(len(sample), -1)
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            self.mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
            centred = rows.astype(np.float32) - self.mean
            squares = np.einsum("nd,nd->n", centred, centred, dtype=np.float64)
        if not squares.max() < LARGEST_SQUARE:  # nor if it is not a number
            raise ValueError("the rows hold values that are not finite or too large")
        gram = (centred @ centred.T).astype(np.float64)
        strength, vectors = np.linalg.eigh(gram)
        strong = strength > 1e-6 * max(strength[-1], 0.0)
        vectors = vectors[:, strong][:, ::-1][:, :most]
        basis = np.linalg.qr(centred.T.astype(np.float64) @ vectors)[0]
        self._basis = np.ascontiguousarray(basis, np.float32)
        self._floor = _SMOOTH**2 * float(squares.max())
        self.dimension = self._basis.shape[1] + 1
        self.chunk = max(1, 2 * _CHUNK_VALUES // rows.shape[1])

    def apply(self, rows: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Project rows of shape (n, ...) into float32 (n, dimension)."""
        centred = rows.reshape(len(rows), -1).astype(np.float32)
        centred -= self.mean
        kept = out[:, :-1]
        kept[...] = centred @ self._basis
        total = np.einsum("nd,nd->n", centred, centred, dtype=np.float64)
        out[:, -1] = _rest(total, kept, self._floor)

    def error(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much `apply` may be off, as a distance, where it returned these lengths."""
        error = _error(len(self._basis), lengths)
        return error + _rest_error(error, lengths, self._floor)
