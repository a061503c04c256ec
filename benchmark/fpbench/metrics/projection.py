"""Principal components of training embeddings, onto which test embeddings are projected."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fpbench.compute.threads import one_blas_thread
from fpbench.metrics.features import finite
from fpbench.metrics.score import Floats, NotComputable

_CHUNK = 1024  # rows held as float64 at once


@one_blas_thread(scipy=True)
def principal_axes(features: ArrayLike, dimensions: int) -> Floats:
    """The directions of largest variance, orthonormal and unscaled.

    Nothing is scaled to unit variance: the Fréchet ratio is invariant to a global scale and to
    rotations, not to rescaling each dimension.

    Args:
        features: Shape (N, D), training embeddings of all sources.
        dimensions: d, at most min(D, N − 1).

    Returns:
        Shape (D, d), largest variance first.

    Raises:
        ValueError: If `features` is not two-dimensional or d is not in 1…D.
        NotComputable: If an embedding is not finite or there are d or fewer of them.

    >>> axes = principal_axes([[0.0, 0.0], [2.0, 0.1], [4.0, 0.0]], 1)
    >>> np.abs(axes).round(2).tolist()
    [[1.0], [0.0]]
    """
    from scipy.linalg import eigh

    rows = np.asarray(features)
    if rows.ndim != 2 or not 1 <= dimensions <= rows.shape[1]:
        raise ValueError(
            f"{dimensions} axes cannot be computed from embeddings of shape {rows.shape}"
        )
    count, size = rows.shape
    if count <= dimensions:
        raise NotComputable(
            f"There are {count} training embeddings; {dimensions} axes need more than that."
        )
    mean = sum(
        (finite(rows[i : i + _CHUNK]).sum(axis=0) for i in range(0, count, _CHUNK)),
        start=np.zeros(size),
    )
    mean = mean / count
    if count < size:  # the same axes from the smaller matrix of inner products
        centred = finite(np.array(rows, dtype=np.float64))
        centred -= mean
        _, vectors = eigh(centred @ centred.T, subset_by_index=[count - dimensions, count - 1])
        axes = centred.T @ vectors
        lengths = np.linalg.norm(axes, axis=0)
        if (lengths <= 1e-9 * max(lengths.max(), 1e-300)).any():
            raise NotComputable(f"Training embeddings span fewer than {dimensions} dimensions.")
        return np.ascontiguousarray((axes / lengths)[:, ::-1])
    covariance = np.zeros((size, size))
    for start in range(0, count, _CHUNK):
        part = finite(rows[start : start + _CHUNK]) - mean
        covariance += part.T @ part
    _, vectors = eigh(covariance, subset_by_index=[size - dimensions, size - 1])
    return np.ascontiguousarray(vectors[:, ::-1])
