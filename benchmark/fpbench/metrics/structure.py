"""Which sources are alike: hierarchical clustering of their fingerprints (DSF, section 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.bootstrap import multiplicities
from fpbench.metrics.score import Floats, Integers, NotComputable

REPEATS = 200


@dataclass(frozen=True)
class Hierarchy:
    """A tree over M sources.

    Attributes:
        linkage: Shape (M − 1, 4), as SciPy's: merged clusters, height, size.
        order: Shape (M,), the leaves from left to right, neighbours being as alike as the tree
            allows.
        distance: Shape (M, M), what was clustered.
        cophenetic: Correlation of the tree's distances with those clustered, 1 if it shows them
            without distortion; None for two sources, where there is one distance.
        method: The linkage, e.g. ``average``.
    """

    linkage: Floats
    order: Integers
    distance: Floats
    cophenetic: float | None
    method: str

    def cut(self, clusters: int) -> Integers:
        """The tree cut into so many clusters: shape (M,), numbered in the order of the leaves.

        Fewer are returned where equal heights cannot be cut apart.

        Raises:
            ValueError: If the number is not in 1…M.
        """
        found = _members(self.linkage, clusters)
        _, first = np.unique(found[self.order], return_index=True)
        rank = np.argsort(np.argsort(first))
        numbered: Integers = rank[found - found.min()].astype(np.int64)
        return numbered


def similarity_distance(rho: ArrayLike) -> Floats:
    """Distances of sources from their correlation matrix: ``D = 1 − (ρ + ρᵀ)/2``, diagonal 0.

    ρ of DSF, eq. 5, is a similarity and not symmetric; the paper leaves open how it becomes a
    distance.

    Args:
        rho: Shape (M, M), entries at most 1.

    Raises:
        ValueError: If it is not square or an entry is above 1.
        NotComputable: If there are fewer than two sources or an entry is not finite.

    >>> similarity_distance([[0.9, 0.2], [0.4, 0.8]]).round(2).tolist()
    [[0.0, 0.7], [0.7, 0.0]]
    """
    matrix = np.asarray(rho, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"a correlation matrix is square, not of shape {matrix.shape}")
    if len(matrix) < 2:
        raise NotComputable("There is one source only; a tree needs two.")
    if not np.isfinite(matrix).all():
        raise NotComputable("Some correlations are not finite.")
    if matrix.max() > 1 + 1e-9:
        raise ValueError(f"a correlation is at most 1, not {matrix.max()}")
    distance: Floats = np.maximum(0.0, 1 - (matrix + matrix.T) / 2)
    np.fill_diagonal(distance, 0.0)
    return distance


def fingerprint_distance(vectors: ArrayLike) -> Floats:
    """Euclidean distances of the sources' mean embeddings, for Ward's linkage.

    Args:
        vectors: Shape (M, D).

    Raises:
        NotComputable: If there are fewer than two sources or a value is not finite.

    >>> fingerprint_distance([[0.0, 0.0], [3.0, 4.0]]).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    from scipy.spatial.distance import pdist, squareform

    rows = np.asarray(vectors, dtype=np.float64)
    if len(rows) < 2:
        raise NotComputable("There is one source only; a tree needs two.")
    if not np.isfinite(rows).all():
        raise NotComputable("Some fingerprints are not finite.")
    distance: Floats = squareform(pdist(rows))
    return distance


def cluster_sources(distance: ArrayLike, method: str = "average") -> Hierarchy:
    """Agglomerative clustering of sources, leaves in optimal order.

    Args:
        distance: Shape (M, M), symmetric, diagonal 0: of `similarity_distance` or
            `fingerprint_distance`.
        method: ``average`` (the default), ``complete``, ``single``, or ``ward`` for Euclidean
            distances.

    Raises:
        ValueError: If the matrix is no distance or the method is unknown.

    >>> tree = cluster_sources(similarity_distance([[1, 0.1, 0.8], [0.1, 1, 0.2], [0.8, 0.2, 1]]))
    >>> tree.cut(2).tolist(), tree.linkage[:, 2].round(2).tolist()
    ([1, 0, 1], [0.2, 0.85])
    """
    from scipy.cluster.hierarchy import cophenet, leaves_list
    from scipy.spatial.distance import squareform

    matrix = np.asarray(distance, dtype=np.float64)
    flat = squareform(matrix)
    tree = _merged(flat, method, ordered=True)
    heights = cophenet(tree)
    cophenetic = None
    if len(flat) > 1 and np.ptp(flat) > 0 and np.ptp(heights) > 0:
        cophenetic = float(np.corrcoef(heights, flat)[0, 1])
    return Hierarchy(tree, leaves_list(tree).astype(np.int64), matrix, cophenetic, method)


def coclustering(
    correlations: Floats,
    labels: ArrayLike,
    clusters: int,
    *,
    method: str = "average",
    seed: int = 0,
    repeats: int = REPEATS,
) -> Floats:
    """How often two sources fall into one cluster when the images are drawn again.

    Held-out images are resampled within each source, ρ is averaged anew and the tree cut anew:
    entries near 1 or 0 are clusters that the images settle, those between are not.

    Args:
        correlations: Shape (N, M), |corr| of each held-out image with each fingerprint.
        labels: int (N,), from 0 to M−1.
        clusters: Where to cut.
        method: Linkage.
        seed: Seed of the resampling.
        repeats: Number of resamples.

    Returns:
        Shape (M, M), shares in [0, 1], diagonal 1.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If a source has no image.

    >>> rows = np.repeat([[0.9, 0.8, 0.1], [0.8, 0.9, 0.1], [0.1, 0.1, 0.9]], 5, axis=0)
    >>> coclustering(rows, np.repeat([0, 1, 2], 5), 2).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    from scipy.spatial.distance import squareform

    y = np.asarray(labels)
    rows = np.abs(np.asarray(correlations, dtype=np.float64))
    if rows.ndim != 2 or y.shape != (len(rows),):
        raise ValueError(f"labels of shape {y.shape} do not fit correlations of {rows.shape}")
    sources = rows.shape[1]
    counts = np.bincount(y, minlength=sources)
    if len(counts) != sources or counts.min() < 1:
        raise NotComputable(f"Source {counts.argmin()} has no held-out image.")
    together = np.zeros((sources, sources))
    for weights in multiplicities(y, seed, repeats):
        rho = np.zeros((sources, weights.shape[1], sources))
        for source, row, drawn in zip(y, rows, weights.astype(np.float64), strict=True):
            rho[source] += drawn[:, None] * row
        for drawn in np.moveaxis(rho / counts[:, None, None], 1, 0):
            # Which sources share a cluster does not hang on the order of leaves.
            tree = _merged(squareform(similarity_distance(drawn)), method, ordered=False)
            cut = _members(tree, clusters)
            together += cut[:, None] == cut[None, :]
    return together / repeats


def _merged(distance: Floats, method: str, ordered: bool) -> Floats:
    """Merges of sources, shape (M − 1, 4), from distances as SciPy lists them."""
    from scipy.cluster.hierarchy import linkage

    if method not in ("average", "complete", "single", "ward"):
        raise ValueError(f"no linkage {method!r}; use average, complete, single or ward")
    tree: Floats = linkage(distance, method, optimal_ordering=ordered)
    return tree


def _members(tree: Floats, clusters: int) -> Integers:
    """The cluster of each source in a tree cut into so many, shape (M,)."""
    from scipy.cluster.hierarchy import fcluster

    sources = len(tree) + 1
    if not 1 <= clusters <= sources:
        raise ValueError(f"{sources} sources cannot make {clusters} clusters")
    found: Integers = fcluster(tree, clusters, criterion="maxclust").astype(np.int64)
    return found
