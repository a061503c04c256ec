"""Do clusters of images follow their source, or a design choice of it?

The literature clusters the fingerprints of images by k-means or Ward's linkage and prints
normalised mutual information with the sources' labels. Here adjusted mutual information leads,
each value has an interval, and chance is measured by permutation: of images where the label is
the source itself, of whole sources where it is a choice that sources share, since images of one
source are no independent evidence for a choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.bootstrap import percentile_interval
from fpbench.metrics.features import all_equal, check_features, finite
from fpbench.metrics.score import Floats, Integers, NotComputable

ALGORITHMS = ("kmeans", "ward")
IMAGES_PER_SOURCE = 100
PERMUTATIONS = 1000
_REPEATS = 200
_AXES = 50  # beyond it distances are kept along the principal axes of the images only


@dataclass(frozen=True)
class ImageAlignment:
    """Agreement of clusters of images with one label of theirs.

    Attributes:
        ami: Adjusted mutual information, the headline: about 0 for random clusters, at most 1.
        ami_low: Lower end of its 95 % interval.
        ami_high: Upper end.
        ari: Adjusted Rand index.
        nmi: Normalised mutual information (arithmetic mean), as papers print it.
        nmi_chance: Mean `nmi` of permuted labels.
        p_value: Share of permutations whose `nmi` is as high, the true one counted.
        images: Images clustered.
        clusters: Number of clusters, that of different labels.
    """

    ami: float
    ami_low: float
    ami_high: float
    ari: float
    nmi: float
    nmi_chance: float
    p_value: float
    images: int
    clusters: int


def cluster_images(features: ArrayLike, clusters: int, algorithm: str, seed: int = 0) -> Integers:
    """Clusters of images by k-means or by Ward's linkage of Euclidean distances: shape (N,).

    Args:
        features: Shape (N, D); beyond 50 dimensions the 50 principal axes of the images count.
        clusters: Number of clusters.
        algorithm: ``kmeans`` (10 restarts) or ``ward``.
        seed: Seed of k-means.

    Raises:
        ValueError: If the algorithm is unknown.
        NotComputable: If an embedding is not finite, all are equal, or there are too few.

    >>> cluster_images([[0.0], [0.1], [9.0], [9.1]], 2, "ward").tolist()
    [0, 0, 1, 1]
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"no algorithm {algorithm!r}; use kmeans or ward")
    raw = np.asarray(features)
    rows = finite(raw)
    if len(rows) < clusters:
        raise NotComputable(f"{len(rows)} images cannot make {clusters} clusters.")
    if all_equal(raw):
        raise NotComputable("All embeddings are equal.")
    rows = rows - rows.mean(axis=0)
    if rows.shape[1] > _AXES and len(rows) > _AXES:
        from sklearn.decomposition import PCA

        rows = PCA(_AXES, svd_solver="randomized", random_state=0).fit_transform(rows)
    if algorithm == "kmeans":
        from sklearn.cluster import KMeans

        found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(rows)
    else:
        from scipy.cluster.hierarchy import fcluster, linkage

        found = fcluster(linkage(rows, "ward"), clusters, criterion="maxclust") - 1
    _, first, numbered = np.unique(found, return_index=True, return_inverse=True)
    order: Integers = np.argsort(np.argsort(first))[numbered].astype(np.int64)
    return order


def align_images(
    features: ArrayLike,
    sources: ArrayLike,
    values: Sequence[str] | None = None,
    *,
    algorithm: str = "kmeans",
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> ImageAlignment:
    """Cluster images and compare with their source, or with a value of their source.

    At most 100 random images of each source are used. The interval draws images again within
    each source and keeps the clusters.

    Args:
        features: Shape (N, D), of test images.
        sources: int (N,), from 0 to M−1.
        values: M values of a design choice, or None to compare with the source itself.
        algorithm: ``kmeans`` or ``ward``.
        seed: Seed of choice, k-means, permutations and interval.
        permutations: Number of permutations.

    Raises:
        ValueError: If shapes do not fit or the algorithm is unknown.
        NotComputable: If embeddings define no clusters, or there is one value only.

    >>> rows = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 20, axis=0)
    >>> rows += np.random.default_rng(0).normal(size=rows.shape)
    >>> found = align_images(rows, np.repeat([0, 1, 2], 20))
    >>> found.ami, found.clusters, found.p_value < 0.01
    (1.0, 3, True)
    """
    from sklearn import metrics

    rows, y = check_features(features, sources)
    count = int(y.max()) + 1
    if values is not None and len(values) < count:
        raise ValueError(f"{count} sources but {len(values)} values")
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(y == k))[:IMAGES_PER_SOURCE] for k in range(count)]
    chosen = np.concatenate(members)
    names = [str(k) for k in range(count)] if values is None else list(values)[:count]
    kinds = np.unique(names, return_inverse=True)[1].astype(np.int64)
    wanted = int(kinds.max()) + 1
    if wanted < 2:
        raise NotComputable("All sources have one value, so clusters can follow nothing.")
    found = cluster_images(rows[chosen], wanted, algorithm, seed)
    origin = y[chosen]
    truth = kinds[origin]
    nmi = float(metrics.normalized_mutual_info_score(truth, found))
    permuted = np.empty(permutations)
    for p in range(permutations):
        shuffled = rng.permutation(truth) if values is None else rng.permutation(kinds)[origin]
        permuted[p] = _nmi(shuffled, found)
    draws = []
    places = np.cumsum([0, *map(len, members)])
    for _ in range(_REPEATS):
        drawn = np.concatenate([rng.integers(a, b, b - a) for a, b in itertools.pairwise(places)])
        draws.append(metrics.adjusted_mutual_info_score(truth[drawn], found[drawn]))
    ami = float(metrics.adjusted_mutual_info_score(truth, found))
    low, high = percentile_interval(draws)
    return ImageAlignment(
        ami=ami,
        ami_low=min(low, ami),
        ami_high=max(high, ami),
        ari=float(metrics.adjusted_rand_score(truth, found)),
        nmi=nmi,
        nmi_chance=float(permuted.mean()),
        p_value=float((1 + (permuted >= nmi - 1e-9).sum()) / (1 + permutations)),
        images=len(chosen),
        clusters=wanted,
    )


def _nmi(truth: Integers, found: Integers) -> float:
    """NMI from the table of counts, quicker than a call for each permutation."""
    table = np.zeros((truth.max() + 1, found.max() + 1))
    np.add.at(table, (truth, found), 1.0)
    joint = table / table.sum()
    a, b = joint.sum(axis=1), joint.sum(axis=0)
    entropy = _entropy(a) + _entropy(b)
    return float(2 * (entropy - _entropy(joint.ravel())) / entropy) if entropy > 0 else 0.0


def _entropy(shares: Floats) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
