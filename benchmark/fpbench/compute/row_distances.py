"""Squared Euclidean distances between rows, exact for bytes and in double precision for floats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.compute.projections import LARGEST_SQUARE, UNIT
from fpbench.compute.threads import each_in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SEGMENT = 256  # 256 · 255² < 2^24: sums of so many squares of bytes are exact in float32
_COLUMNS = 1024  # 1024 · 128² = 2^24: so are sums of so many products of centred bytes
_CHUNK_VALUES = 2**18
_MIDDLE = np.float32(128.0)


def pair_distances(
    left: NDArray[Any], at: NDArray[np.int64], right: NDArray[Any], to: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Squared distances between ``left[at[i]]`` and ``right[to[i]]``, float64 of shape (P,).

    Exact integers for uint8; for floating-point rows differences and sums are in double
    precision.
    """
    result = np.empty(len(at))
    values = int(np.prod(left.shape[1:]))
    chunk = max(1, _CHUNK_VALUES // values)
    of_chunk = _byte_pairs if left.dtype == np.uint8 else _float_pairs

    def measure(start: int) -> None:
        part = slice(start, start + chunk)
        result[part] = of_chunk(left, at[part], right, to[part], values)

    each_in_threads(measure, range(0, len(at), chunk))
    return result


def _byte_pairs(
    left: NDArray[Any],
    at: NDArray[np.int64],
    right: NDArray[Any],
    to: NDArray[np.int64],
    values: int,
) -> NDArray[np.float64]:
    padded = -(-values // _SEGMENT) * _SEGMENT
    gaps = np.zeros((len(at), padded), np.uint8)
    shaped = gaps[:, :values].reshape(len(at), *left.shape[1:])
    if len(at) > 8:
        one, other = left[at], right[to]
        np.subtract(np.maximum(one, other), np.minimum(one, other), out=shaped)
    else:
        for gap, i, j in zip(shaped, at, to, strict=True):  # large rows: no copies of them
            np.maximum(left[i], right[j], out=gap)
            gap -= np.minimum(left[i], right[j])
    segments = gaps.reshape(len(at), -1, _SEGMENT).astype(np.float32)
    sums = np.einsum("psv,psv->ps", segments, segments)
    return np.asarray(sums.sum(axis=1, dtype=np.float64))


def _float_pairs(
    left: NDArray[Any],
    at: NDArray[np.int64],
    right: NDArray[Any],
    to: NDArray[np.int64],
    values: int,
) -> NDArray[np.float64]:
    gaps = left[at].astype(np.float64)
    gaps -= right[to]
    gaps = gaps.reshape(len(at), values)
    return np.asarray(np.einsum("pv,pv->p", gaps, gaps))


def centred_rows(rows: NDArray[Any], mean: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """Rows (n, ...) as float32 (n, D) around `mean`, or around 128 for bytes."""
    with np.errstate(over="ignore", invalid="ignore"):  # `_squares` checks
        flat = rows.reshape(len(rows), -1).astype(np.float32)
        flat -= _MIDDLE if mean is None else mean
    return flat


def all_distances(
    queries: NDArray[Any],
    reference: NDArray[Any],
    mean: NDArray[np.float32] | None,
    memory: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared distances from every query to every reference row by matrix products.

    Products are taken over 1,024 columns at a time in single precision and summed in double
    precision. For bytes every partial sum is an integer that single precision holds, so the
    distances are exact.

    Args:
        queries: Rows of shape (Q, ...).
        reference: Rows of shape (N, ...).
        mean: float32 of shape (D,) to take away from floating-point rows; None for bytes.
        memory: Bytes that copies of reference rows may take.

    Returns:
        Squared distances (Q, N), and by how much those of a query may be off (Q,).

    Raises:
        ValueError: If rows are not finite or too long for single precision.
    """
    left = centred_rows(queries, mean)
    values = left.shape[1]
    result = np.empty((len(queries), len(reference)))
    left_squares = _squares(left, "queries")
    longest = 0.0
    rows = int(np.clip(memory // (4 * values), 1, 4096))
    for start in range(0, len(reference), rows):
        right = centred_rows(reference[start : start + rows], mean)
        right_squares = _squares(right, "the reference")
        longest = max(longest, float(right_squares.max()))
        products = result[:, start : start + rows]
        products[...] = 0.0
        for column in range(0, values, _COLUMNS):
            part = slice(column, column + _COLUMNS)
            products += left[:, part] @ right[:, part].T
        products *= -2.0
        products += left_squares[:, None]
        products += right_squares
    np.maximum(result, 0.0, out=result)
    if mean is None:
        return result, np.zeros(len(queries))
    # |fl(x·y) − x·y| ≤ n·u·|x|·|y| for each stretch of n columns, here with |x|·|y| doubled.
    lengths = np.sqrt(left_squares) + np.sqrt(longest)
    return result, (min(values, _COLUMNS) + 8) * UNIT * lengths**2


def _squares(rows: NDArray[np.float32], what: str) -> NDArray[np.float64]:
    """Squared lengths of rows, in double precision."""
    total = np.zeros(len(rows))
    for column in range(0, rows.shape[1], _COLUMNS):
        part = rows[:, column : column + _COLUMNS].astype(np.float64)
        total += np.einsum("nd,nd->n", part, part)
    if not total.max(initial=0.0) < LARGEST_SQUARE:  # nor if it is not a number
        raise ValueError(f"{what} hold values that are not finite or too large")
    return total


def copy_numbers(rows: NDArray[Any]) -> NDArray[np.int64]:
    """For every row, how many rows before it hold the very same bytes."""
    import hashlib

    seen: dict[bytes, int] = {}
    numbers = np.empty(len(rows), np.int64)
    for index in range(len(rows)):
        key = hashlib.blake2b(np.ascontiguousarray(rows[index]).tobytes(), digest_size=16).digest()
        numbers[index] = seen.get(key, 0)
        seen[key] = int(numbers[index]) + 1
    return numbers
