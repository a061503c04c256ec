"""What embeddings must satisfy before a score is made from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.score import Floats, Integers, NotComputable

_ORDINARY = 40  # powers of two up or down
_ROWS = 16


def check_features(features: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], Integers]:
    """Embeddings and labels whose shapes fit; embeddings keep their type and are not copied.

    Args:
        features: Shape (N, D).
        labels: int (N,), from 0.

    Raises:
        ValueError: If shapes do not fit or labels are no integers from 0.
        NotComputable: If there is no image.
    """
    rows = np.asarray(features)
    y = np.asarray(labels)
    if rows.ndim != 2 or y.shape != (len(rows),):
        raise ValueError(f"labels of shape {y.shape} do not fit embeddings of shape {rows.shape}")
    if len(y) == 0:
        raise NotComputable("There is no image.")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0:
        raise ValueError("labels are integers from 0")
    return rows, y.astype(np.int64)


def finite(rows: NDArray[Any]) -> Floats:
    """Rows as float64.

    Raises:
        NotComputable: If a value is NaN or infinite.
    """
    part = np.asarray(rows, dtype=np.float64)
    if not np.isfinite(part).all():
        bad = int((~np.isfinite(part)).any(axis=-1).sum())
        raise NotComputable(f"{bad} embeddings are not finite.")
    return part


def lengths(rows: Floats) -> Floats:
    """Euclidean lengths of rows, shape (N,), without a copy of them all.

    >>> lengths(np.array([[3.0, 4.0], [0.0, 2.0]])).tolist()
    [5.0, 2.0]
    """
    found = np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):
        found[start : start + _ROWS] = np.linalg.norm(rows[start : start + _ROWS], axis=1)
    return found


def resolution(rows: NDArray[Any]) -> float:
    """Relative size below which a difference of embeddings of this type is rounding.

    >>> bool(resolution(np.zeros(1, np.float32)) > 1e-7 > resolution(np.zeros(1)))
    True
    """
    kind = rows.dtype if np.issubdtype(rows.dtype, np.floating) else np.dtype(np.float64)
    return 64 * float(np.finfo(kind).eps)


def in_range(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows whose squares and sums of squares single precision can hold.

    Rows of values up to 1e12 and down to 1e-12 are returned as they are; others are multiplied by
    a power of two, which changes none of their digits.

    >>> in_range(np.float32([3.0, -1.5])).tolist(), in_range(np.float32([2.0**90])).tolist()
    ([3.0, -1.5], [0.5])
    """
    largest = float(np.abs(rows).max(initial=0.0))
    _, exponent = np.frexp(largest)
    if not np.isfinite(largest) or abs(int(exponent)) <= _ORDINARY:
        return rows
    scaled: NDArray[Any] = np.ldexp(rows, -exponent)
    return scaled


def all_equal(rows: NDArray[Any]) -> bool:
    """Whether rows differ by no more than rounding.

    >>> all_equal(np.full((3, 2), 0.1)), all_equal(1e30 * np.eye(2, dtype=np.float32))
    (True, False)
    """
    rows = in_range(rows)
    apart = np.linalg.norm(rows - rows[:1], axis=1).max()
    return bool(apart <= resolution(rows) * np.linalg.norm(rows, axis=1).max())
