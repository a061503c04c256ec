"""What labels and probabilities must satisfy before a score is made from them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.score import Floats, Ids, Integers, NotComputable, check_ids

_SUM_TOLERANCE = 1e-2  # half-precision probabilities of a few hundred sources still pass


def check_predictions(
    labels: ArrayLike,
    proba: ArrayLike,
    real: int | None,
    ids: Ids = None,
) -> tuple[Integers, Floats]:
    """Labels as int64 and probabilities as float64, if they can be scored.

    Args:
        labels: Shape (N,), the column of each image's source.
        proba: Shape (N, K), non-negative, rows summing to 1.
        real: Column of Real, or None where no source is Real.
        ids: Distinct names of the images, if known.

    Raises:
        ValueError: If shapes or ranges do not fit: a fault of the caller.
        NotComputable: If values are missing, are no probabilities, or images are listed twice.
    """
    y = np.asarray(labels)
    p = np.asarray(proba, dtype=np.float64)
    if p.ndim != 2 or y.shape != (len(p),):
        raise ValueError(f"labels of shape {y.shape} do not fit probabilities of shape {p.shape}")
    if len(y) and not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"labels are {y.dtype}; give integers")
    sources = p.shape[1]
    if real is not None and not 0 <= real < sources:
        raise ValueError(f"Real is column {real}, but there are {sources} columns")
    if len(y) == 0:
        raise NotComputable("There is no test image.")
    if y.min() < 0 or y.max() >= sources:
        raise ValueError(f"labels reach from {y.min()} to {y.max()}, but there are {sources}")
    check_ids(ids, len(y))
    if not np.isfinite(p).all():
        bad = int((~np.isfinite(p)).any(axis=1).sum())
        raise NotComputable(f"Probabilities of {bad} images are not finite.")
    if (p < 0).any() or (np.abs(p.sum(axis=1) - 1) > _SUM_TOLERANCE).any():
        raise NotComputable("Probabilities are negative or do not sum to 1 over the sources.")
    return y.astype(np.int64), p


def restrict(
    labels: Integers, proba: Floats, columns: Integers, least: int = 2
) -> tuple[Integers, Floats]:
    """Images of some sources only, judged among those sources only.

    Args:
        labels: Shape (N,).
        proba: Shape (N, K).
        columns: The C columns to keep, increasing.
        least: How many images each of them needs.

    Returns:
        Labels from 0 to C−1 of shape (N′,), and probabilities of shape (N′, C) renormalised over
        the kept columns. An image that gives them no mass at all is spread evenly over them.

    Raises:
        NotComputable: If fewer than two sources are kept or one has too few images.
    """
    if len(columns) < 2:
        raise NotComputable(f"There are {len(columns)} sources to tell apart; two are needed.")
    counts = np.bincount(labels, minlength=proba.shape[1])[columns]
    if counts.min() < least:
        raise NotComputable(
            f"The source of column {columns[counts.argmin()]} has {counts.min()} test images; "
            f"{least} are needed."
        )
    if len(columns) == proba.shape[1]:  # dividing by almost 1 would break ties between images
        return labels, proba
    kept = np.isin(labels, columns)
    part = proba[kept][:, columns]
    mass = part.sum(axis=1, keepdims=True)
    even = np.full_like(part, 1 / len(columns))
    part = np.divide(part, mass, out=even, where=mass > 0)
    return np.searchsorted(columns, labels[kept]).astype(np.int64), part


def columns_of(sources: int, real: int | None, with_real: bool) -> Integers:
    """Columns of the generators, and of Real if asked for.

    >>> columns_of(4, 1, False).tolist()
    [0, 2, 3]
    """
    every = np.arange(sources)
    return every if with_real or real is None else every[every != real]


def correctness(labels: Integers, scores: Floats) -> Floats:
    """1 where the highest score is the label's alone, 1/t where it shares it with t−1 others.

    Sharing keeps the score independent of the order of the sources, where taking the first
    would credit the first source with every image a method knows nothing about.

    Args:
        labels: Shape (N,).
        scores: Shape (N, C), e.g. probabilities.

    Returns:
        Shape (N,).

    >>> correctness(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.5, 0.5], [0.8, 0.2]])).tolist()
    [1.0, 0.5, 0.0]
    """
    best = scores == scores.max(axis=1, keepdims=True)
    hit: Floats = best[np.arange(len(labels)), labels].astype(np.float64)
    if np.count_nonzero(best) > len(best):
        hit /= best.sum(axis=1)
    return hit
