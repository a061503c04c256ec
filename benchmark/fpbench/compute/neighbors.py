"""Exact nearest neighbours of images and of feature vectors.

A search goes from coarse to fine. Every row of the reference is projected once onto a few
dimensions in which distances never exceed the true ones (`projections`); a matrix product gives
these lower bounds for all rows; one row is measured in full to learn what has to be beaten; and
only rows whose bound is below that are read and measured, most promising first. Queries whose
bounds exclude too little, as among noise, are measured against all rows by matrix products.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.compute.projections import (
    LARGEST_SQUARE,
    UNIT,
    ImageProjection,
    Projection,
    RowProjection,
    useful_dimension,
)
from fpbench.compute.row_distances import (
    all_distances,
    copy_numbers,
    pair_distances,
)
from fpbench.compute.threads import each_in_threads, one_blas_thread, thread_count

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUERIES = 256  # queries at a time
_SAMPLE = 512  # rows from which a projection is learnt
_SMALLEST = 256  # rows, and values of a row, below which a projection does not pay
_EXCLUDED = 16  # a query with more candidates than one in so many rows measures all
_UNITS = {"": 1, "b": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30}


def parse_memory(memory: str | int) -> int:
    """Bytes that a text such as ``1GiB`` or ``512 MiB`` means.

    Raises:
        ValueError: If it means no positive number of bytes.

    >>> parse_memory("1.5GiB")
    1610612736
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(memory).lower())
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"memory is a size such as 1GiB or 512MiB, not {memory!r}")
    size = int(float(found[1]) * _UNITS[found[2]])
    if size < 1:
        raise ValueError(f"memory must be positive, not {memory!r}")
    return size


class ExactNeighbors:
    """Exact Euclidean nearest neighbours among the rows of a reference.

    Args:
        reference: uint8 or floating-point, rows of shape (N, D) or images of shape (N, H, W, C)
            compared value by value; may be memory-mapped, strided and read-only, and is neither
            copied nor changed.
        memory: Most memory to use besides the reference, as a text such as ``1GiB``. The least
            that a search can work with, a few rows, is used in any case.

    Raises:
        ValueError: If the reference has no rows or no values, is of another type, or holds
            values that are not finite or too large to be squared in single precision.
    """

    def __init__(self, reference: NDArray[Any], *, memory: str = "1GiB") -> None:
        self._reference = _checked(reference, "the reference")
        if len(reference) == 0:
            raise ValueError("the reference has no rows")
        self._memory = parse_memory(memory)
        self._mean: NDArray[np.float32] | None = None
        self._copies: NDArray[np.int64] | None = None
        self._projection: Projection | None = None
        self._useless = 0
        count, values = len(reference), int(np.prod(reference.shape[1:]))
        if reference.dtype != np.uint8:
            self._mean = self._mean_row(values)
        room = self._memory // (8 * count) - 2
        most = min(useful_dimension(values), room)
        if min(count, values) >= _SMALLEST and most >= 16:
            with one_blas_thread():
                self._build(values, most)

    def _mean_row(self, values: int) -> NDArray[np.float32]:
        total = np.zeros(values)
        rows = max(1, 2**20 // values)
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            for start in range(0, len(self._reference), rows):
                part = self._reference[start : start + rows].reshape(-1, values)
                total += part.sum(axis=0, dtype=np.float64)
            mean = (total / len(self._reference)).astype(np.float32)
        if not np.isfinite(mean).all():
            raise ValueError("the reference holds values that are not finite or too large")
        return mean

    def _build(self, values: int, most: int) -> None:
        """Project every row of the reference."""
        reference, count = self._reference, len(self._reference)
        size = int(np.clip(self._memory // (64 * values), 16, _SAMPLE))
        sample = reference[np.unique(np.linspace(0, count - 1, size).astype(np.int64))]
        projection: Projection
        if reference.ndim == 4 and reference.dtype == np.uint8:
            projection = ImageProjection(sample, most)
        else:
            projection = RowProjection(sample, min(most, 128))
        # The last column makes a query's product with a row a squared distance but for the
        # query's own length.
        width = projection.dimension
        index = np.empty((count, width + 1), np.float32)

        def project(start: int) -> None:
            stop = min(start + projection.chunk, count)
            with np.errstate(over="ignore", invalid="ignore"):  # checked below
                projection.apply(reference[start:stop], index[start:stop, :width])

        each_in_threads(project, range(0, count, projection.chunk))
        self._centre = index[:, :width].mean(axis=0, dtype=np.float64).astype(np.float32)
        short = index[:, :width]
        lengths = np.sqrt(np.einsum("nd,nd->n", short, short, dtype=np.float64))
        with np.errstate(invalid="ignore"):
            short -= self._centre
        squares = np.einsum("nd,nd->n", short, short, dtype=np.float64)
        if not squares.max() < LARGEST_SQUARE:  # nor if it is not a number
            raise ValueError("the reference holds values that are not finite or too large")
        index[:, width] = squares
        self._error = float(projection.error(lengths).max())
        self._longest = float(np.sqrt(squares.max()))
        self._index = index
        self._projection = projection

    def search(
        self, queries: NDArray[Any], k: int = 1
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The k nearest reference rows of each query.

        Args:
            queries: Rows of the reference's type and shape.
            k: How many neighbours.

        Returns:
            Distances (float64, not squared) and indices (int64), both of shape (Q, k), nearest
            first; equal distances in the order of their indices.

        Raises:
            ValueError: If queries do not fit the reference or are not finite, or the reference
                has fewer than k rows.
        """
        reference = self._reference
        _checked(queries, "queries")
        if not 1 <= k <= len(reference):
            raise ValueError(f"{k} neighbours cannot be found among {len(reference)} rows")
        if queries.shape[1:] != reference.shape[1:]:
            raise ValueError(
                f"queries have rows of shape {queries.shape[1:]}, but the reference's are "
                f"{reference.shape[1:]}"
            )
        if (queries.dtype == np.uint8) != (reference.dtype == np.uint8):
            raise ValueError(f"queries are {queries.dtype}, but the reference {reference.dtype}")
        squares = np.empty((len(queries), k))
        indices = np.empty((len(queries), k), np.int64)
        values = int(np.prod(queries.shape[1:]))
        threads = thread_count()
        fair = -(-len(queries) // threads)
        most = self._memory // (16 * (len(reference) + values) * threads)
        block = int(np.clip(most, 1, max(1, min(_QUERIES, fair))))

        # A thread keeps its matrix of bounds: fresh pages for each block cost more than reading.
        own = threading.local()

        def search(start: int) -> None:
            part = slice(start, start + block)
            if self._projection is not None and not hasattr(own, "bounds"):
                own.bounds = np.empty((block, len(reference)), np.float32)
            bounds = getattr(own, "bounds", None)
            squares[part], indices[part] = self._search_block(queries[part], k, bounds)

        each_in_threads(search, range(0, len(queries), block))
        return np.sqrt(squares), indices

    def _search_block(
        self, queries: NDArray[Any], k: int, buffer: NDArray[np.float32] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        projection = self._projection
        if projection is None or buffer is None or self._useless > 1:
            return self._measure_all(queries, k)
        projected = np.empty((len(queries), projection.dimension + 1), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            for start in range(0, len(queries), projection.chunk):
                part = slice(start, start + projection.chunk)
                projection.apply(queries[part], projected[part, :-1])
        short = projected[:, :-1]
        lengths = np.sqrt(np.einsum("nd,nd->n", short, short, dtype=np.float64))
        with np.errstate(invalid="ignore"):
            short -= self._centre
        own = np.einsum("nd,nd->n", short, short, dtype=np.float64)
        if not own.max() < LARGEST_SQUARE:
            raise ValueError("queries hold values that are not finite or too large")
        short *= -2.0
        projected[:, -1] = 1.0
        bounds = np.matmul(projected, self._index.T, out=buffer[: len(queries)])
        # A row survives while its bound is below (best + ε)², ε the error of two projections, but
        # for the rounding of the product: at most n·u·|x|·|y|, and within 16·√n·u·|x|·|y| for
        # all but contrived terms, which coefficients of falling size are not.
        error = projection.error(lengths) + self._error
        terms = projected.shape[1]
        product = min(terms, 16 * np.sqrt(terms)) * UNIT * (np.sqrt(own) + self._longest) ** 2

        def limit(best: NDArray[np.float64]) -> NDArray[np.float64]:
            largest: NDArray[np.float64] = (np.sqrt(best) + error) ** 2 + product - own
            return largest

        return self._refine(queries, bounds, limit, k)

    def _measure_all(
        self, queries: NDArray[Any], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Neighbours of queries by distances to every row."""
        squares, error = all_distances(queries, self._reference, self._mean, self._memory // 4)
        if self._mean is not None:
            return self._refine(queries, squares, lambda best: best + error, k, last=True)
        count = len(self._reference)
        if k == 1:
            nearest = squares.argmin(axis=1)[:, None]  # the first of equals
        else:
            keys = squares.astype(np.int64) * count + np.arange(count)
            nearest = np.sort(np.partition(keys, k - 1, axis=1)[:, :k], axis=1) % count
        return np.take_along_axis(squares, nearest, axis=1), nearest

    def _refine(
        self,
        queries: NDArray[Any],
        bounds: NDArray[Any],
        limit: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        k: int,
        *,
        last: bool = False,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Measure rows in the order of their bounds until no other can be among the k nearest.

        Args:
            queries: Rows of shape (m, ...).
            bounds: Shape (m, N); overwritten.
            limit: From squared distances of the k-th best (m,) to the largest bound (m,) that a
                row as near may have.
            k: How many neighbours.
            last: Whether these are the best bounds there are; otherwise a query whose bounds
                exclude too little is measured against all rows.
        """
        count = bounds.shape[1]
        first = (
            bounds.argmin(axis=1)[:, None]
            if k == 1
            else np.argpartition(bounds, k - 1, axis=1)[:, :k]
        )
        asked = np.repeat(np.arange(len(queries)), k)
        measured = pair_distances(queries, asked, self._reference, first.ravel())
        best = _Best(asked, first.ravel(), measured, k)
        np.put_along_axis(bounds, first, np.inf, axis=1)
        alive = bounds <= _ceiling(limit(best.worst), bounds.dtype)[:, None]
        # Row by row, as counting along an axis first turns every truth value into an integer.
        candidates = np.array([np.count_nonzero(row) for row in alive])
        heavy = np.flatnonzero(candidates > count // _EXCLUDED + 4 * k)
        # Measuring all rows means reading all of them, which a few queries are not worth.
        if candidates[heavy].sum() < 4 * count:
            heavy = heavy[:0]
        everything = heavy[: 0 if last else None]
        if last and len(heavy):
            # Many rows as near as the nearest are mostly copies of one row.
            if self._copies is None:
                self._copies = copy_numbers(self._reference)
            alive &= self._copies < k
        alive[everything] = False
        places = np.flatnonzero(alive)
        query, row = np.divmod(places, count)
        bound = bounds.ravel()[places]
        order = np.lexsort((bound, query))
        query, row, bound = query[order], row[order], bound[order]
        rank = np.arange(len(query)) - np.searchsorted(query, query)
        step = k
        while len(query):
            now = rank < step
            if now.any():
                at, to = query[now], row[now]
                best.add(at, to, pair_distances(queries, at, self._reference, to))
            left = ~now & (bound <= _ceiling(limit(best.worst), bounds.dtype)[query])
            query, row, bound, rank = query[left], row[left], bound[left], rank[left] - step
            step *= 2
        squares, indices = best.squares, best.indices
        if len(everything):
            self._useless += len(everything) > len(queries) // 2
            found = self._measure_all(queries[everything], k)
            squares[everything], indices[everything] = found
        return squares, indices


class _Best:
    """The k nearest rows of each of some queries so far, equals in the order of their indices."""

    def __init__(
        self, at: NDArray[np.int64], to: NDArray[np.int64], measured: NDArray[np.float64], k: int
    ) -> None:
        self._k = k
        self.squares = np.empty((0, k))
        self.indices = np.empty((0, k), np.int64)
        self.add(at, to, measured)

    @property
    def worst(self) -> NDArray[np.float64]:
        """The k-th squared distance of each query."""
        return self.squares[:, -1]

    def add(
        self, at: NDArray[np.int64], to: NDArray[np.int64], measured: NDArray[np.float64]
    ) -> None:
        """Enter squared distances of queries `at` to rows `to`, each pair only once."""
        kept = np.repeat(np.arange(len(self.squares)), self._k)
        query = np.concatenate([kept, at])
        square = np.concatenate([self.squares.ravel(), measured])
        row = np.concatenate([self.indices.ravel(), to])
        order = np.lexsort((row, square, query))
        query = query[order]
        nearest = order[np.arange(len(query)) - np.searchsorted(query, query) < self._k]
        self.squares = square[nearest].reshape(-1, self._k)
        self.indices = row[nearest].reshape(-1, self._k)


def _ceiling(limits: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Limits in the bounds' precision, never rounded down."""
    ceiling: NDArray[Any] = np.nextafter(limits.astype(dtype), np.asarray(np.inf, dtype))
    return ceiling


def _checked(rows: NDArray[Any], what: str) -> NDArray[Any]:
    """The array as it is, if it can be searched."""
    if rows.ndim < 2 or 0 in rows.shape[1:]:
        raise ValueError(
            f"{what} must be rows (N, D) or images (N, H, W, C) with at least one value each, "
            f"not an array of shape {rows.shape}"
        )
    if rows.dtype == np.uint8:
        return rows
    if not np.issubdtype(rows.dtype, np.floating):
        raise ValueError(f"{what} must be uint8 or floating-point, not {rows.dtype}")
    return rows
