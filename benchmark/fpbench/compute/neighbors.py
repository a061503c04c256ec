"""Exact nearest neighbours of images and of feature vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ExactNeighbors:
    """Exact Euclidean nearest neighbours among the rows of a reference.

    Args:
        reference: uint8 or float32 of shape (N, D), or images (N, H, W, C), compared pixel by
            pixel; may be memory-mapped and read-only, and is not copied.
        memory: Most memory to use besides the reference, e.g. ``1GiB``.

    Raises:
        ValueError: If the reference is empty, of another type or not finite.
    """

    def __init__(self, reference: NDArray[Any], *, memory: str = "1GiB") -> None:
        self._reference = reference.reshape(len(reference), -1)

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
            ValueError: If queries do not fit the reference, or it has fewer than k rows.
        """
        rows = queries.reshape(len(queries), -1)
        if not 1 <= k <= len(self._reference):
            raise ValueError(f"{k} neighbours cannot be found among {len(self._reference)} rows")
        if rows.shape[1] != self._reference.shape[1]:
            raise ValueError(
                f"queries have {rows.shape[1]} values, but the reference {self._reference.shape[1]}"
            )
        distances = np.empty((len(rows), k))
        indices = np.empty((len(rows), k), np.int64)
        for number, row in enumerate(rows):
            squares = np.empty(len(self._reference))
            for start in range(0, len(squares), 1024):
                part = self._reference[start : start + 1024].astype(np.float64) - row
                squares[start : start + 1024] = np.einsum("nd,nd->n", part, part)
            nearest = np.argsort(squares, kind="stable")[:k]
            distances[number] = np.sqrt(squares[nearest])
            indices[number] = nearest
        return distances, indices
