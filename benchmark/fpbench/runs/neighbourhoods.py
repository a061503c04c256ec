"""How test images lie among each other in the embedding space: purity and silhouette of a job."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from fpbench.metrics.bootstrap import macro_mean_interval
from fpbench.metrics.neighbourhood import (
    NEIGHBOURS,
    Distances,
    purity_shares,
    silhouette_shares,
)
from fpbench.metrics.score import Floats, NotComputable, Score

IMAGES_PER_SOURCE = 200
"""Test images used of each generator, the same for all methods and seeds."""

_LARGEST_DIMENSION = 4096  # beyond it distances come from inner products, to spare memory
_COLUMNS = 2048  # of embeddings held as float64 at once


def gather_neighbourhoods(
    embeddings: NDArray[np.float32], labels: NDArray[np.int64], generated: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What each generated test image contributes to purity (10 nearest others) and silhouette.

    Real images are left out, as they are from the other scores of fingerprints. Distances are
    those of the embeddings themselves, in all their dimensions. Contributions have the means
    of purities and silhouettes, and scatter as those means do.

    Args:
        embeddings: Shape (N, D), of test images.
        labels: Shape (N,).
        generated: bool of shape (N,), whether an image is of a generator.

    Returns:
        Two float32 arrays of shape (N,), not a number where an image was not used or the
        embeddings define none.
    """
    chosen = _chosen(labels, generated)
    rows: NDArray[np.floating] = embeddings[chosen]
    if rows.shape[1] > _LARGEST_DIMENSION and np.ptp(rows) > 0:
        rows = isometric(rows)
    purity = np.full(len(labels), np.nan, np.float32)
    silhouette = purity.copy()
    # Not a number in the evidence becomes a null score with a reason.
    with suppress(NotComputable):
        distances = Distances(rows, labels[chosen])
        with suppress(NotComputable):
            purity[chosen] = purity_shares(distances)
        silhouette[chosen] = silhouette_shares(distances)
    return purity, silhouette


def isometric(rows: NDArray[np.floating]) -> Floats:
    """Points at the same distances from each other in at most N dimensions.

    From the eigenvectors of the inner products of the centred rows, ``(X Xᵀ) = U Λ Uᵀ``, the
    points are ``U Λ^½`` (classical scaling, Torgerson 1952).

    Args:
        rows: Shape (N, D), D much larger than N.

    Returns:
        float64 of shape (N, N).

    >>> points = isometric(np.eye(3, 1000))
    >>> round(float(np.linalg.norm(points[0] - points[1]) ** 2), 6)
    2.0
    """
    inner = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], _COLUMNS):
        part = rows[:, start : start + _COLUMNS].astype(np.float64)
        part -= part.mean(axis=0)
        inner += part @ part.T
    values, vectors = np.linalg.eigh(inner)
    points: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return points


def neighbourhood_scores(
    purity: NDArray[np.float32],
    silhouette: NDArray[np.float32],
    labels: NDArray[np.int64],
    seed: int,
) -> dict[str, Score]:
    """Scores ``purity`` and ``silhouette``: means over generators of the means of their images.

    Chance of purity is ``1/M Σ_i (n_i − 1)/(n − 1)``, n_i of the n images used being of the i-th
    of M generators; a silhouette has no such level.

    Args:
        purity: Shape (N,), not a number where an image was not used.
        silhouette: Likewise.
        labels: Shape (N,).
        seed: Seed of the bootstrap over images.
    """
    found = {}
    for key, values in (("purity", purity), ("silhouette", silhouette)):
        used = np.isfinite(values)
        y = labels[used]
        counts = np.unique(y, return_counts=True)[1]
        if len(counts) < 2:
            found[key] = Score.missing(
                "Embeddings define no neighbourhoods: all are equal, there are no more than "
                f"{NEIGHBOURS}, or there is one generator only."
                if len(counts) == 0
                else "There is one generator only."
            )
            continue
        try:
            value, low, high = macro_mean_interval(values[used], y, seed=seed)
        except NotComputable as reason:
            found[key] = Score.missing(str(reason), n=len(y))
            continue
        chance = float((counts - 1).mean() / (len(y) - 1)) if key == "purity" else None
        # Contributions of single images lie beyond the range that their means cannot leave.
        least = 0.0 if key == "purity" else -1.0
        found[key] = Score(value, max(least, low), min(1.0, high), n=len(y), chance=chance)
    return found


def _chosen(labels: NDArray[np.int64], generated: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions of at most `IMAGES_PER_SOURCE` random images of each generator, in order."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(generated & (labels == k)) for k in np.unique(labels[generated])]
    kept = [np.sort(rng.permutation(own)[:IMAGES_PER_SOURCE]) for own in members]
    return np.concatenate(kept) if kept else np.empty(0, np.int64)
