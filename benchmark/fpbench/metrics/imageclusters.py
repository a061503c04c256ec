"""Do clusters of images follow their source, or a design choice of it?

The literature clusters the fingerprints of images by k-means or Ward's linkage and prints
normalised mutual information with the sources' labels. Here adjusted mutual information leads,
each value has an interval, and chance is measured by permutation: of images where the label is
the source itself, of whole sources where it is a choice that sources share, since images of one
source are no independent evidence for a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.bootstrap import percentile_interval
from fpbench.metrics.features import all_equal, check_features, finite
from fpbench.metrics.score import Floats, Integers, NotComputable

ALGORITHMS = ("kmeans", "ward")
IMAGES_PER_SOURCE = 100
PERMUTATIONS = 1000
_REPEATS = 1000
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


def main_axes(features: ArrayLike) -> Floats:
    """Centred features along their 50 principal axes; all their dimensions where they are fewer.

    Args:
        features: Shape (N, D).

    Raises:
        NotComputable: If an embedding is not finite, or all are equal.

    >>> main_axes([[1.0, 2.0], [3.0, 2.0]]).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    raw = np.asarray(features)
    rows = finite(raw)
    if all_equal(raw):
        raise NotComputable("All embeddings are equal.")
    centred: Floats = rows - rows.mean(axis=0)
    if centred.shape[1] <= _AXES or len(centred) <= _AXES:
        return centred
    from sklearn.decomposition import PCA

    axes = PCA(_AXES, svd_solver="randomized", random_state=0)
    return np.asarray(axes.fit_transform(centred), np.float64)


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
    rows = main_axes(features)
    if len(rows) < clusters:
        raise NotComputable(f"{len(rows)} images cannot make {clusters} clusters.")
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
    cluster: Callable[[Floats, int], Integers] | None = None,
) -> ImageAlignment:
    """Cluster images and compare with their source, or with a value of their source.

    At most 100 random images of each source are used. The interval draws images again within
    each source, keeps the clusters, and is moved by as much as such draws, in which images stand
    twice, agree better on average.

    Args:
        features: Shape (N, D), of test images.
        sources: int (N,), from 0 to M−1.
        values: M values of a design choice, or None to compare with the source itself.
        algorithm: ``kmeans`` or ``ward``.
        seed: Seed of choice, k-means, permutations and interval.
        permutations: Number of permutations.
        cluster: Instead of `cluster_images` with this algorithm and seed, from the rows of the
            images used and a number of clusters to clusters, e.g. to reuse those of a question
            with as many values.

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
    if cluster is None:
        found = cluster_images(rows[chosen], wanted, algorithm, seed)
    else:
        found = cluster(rows[chosen], wanted)
    origin = y[chosen]
    truth = kinds[origin]
    nmi = float(metrics.normalized_mutual_info_score(truth, found))
    if values is None:
        tables = np.stack([_table(rng.permutation(truth), found) for _ in range(permutations)])
    else:
        shuffled = rng.permuted(np.tile(kinds, (permutations, 1)), axis=1)
        tables = np.einsum("psv,sc->pvc", np.eye(wanted)[shuffled], _table(origin, found))
    permuted = _nmi(tables)
    ami = float(metrics.adjusted_mutual_info_score(truth, found))
    low, high = ami_interval(origin, found, kinds, ami, rng)
    return ImageAlignment(
        ami=ami,
        ami_low=low,
        ami_high=high,
        ari=float(metrics.adjusted_rand_score(truth, found)),
        nmi=nmi,
        nmi_chance=float(permuted.mean()),
        p_value=float((1 + (permuted >= nmi - 1e-9).sum()) / (1 + permutations)),
        images=len(chosen),
        clusters=wanted,
    )


def ami_interval(
    origin: Integers, found: Integers, kinds: Integers, ami: float, rng: np.random.Generator
) -> tuple[float, float]:
    """Interval of the adjusted mutual information over draws of each source's images.

    What chance gives is taken from the table that was found, not from each draw's: margins
    hardly differ, and it is what takes time.

    Args:
        origin: int (N,), source of each image, from 0.
        found: int (N,), its cluster, from 0.
        kinds: What stands for each source: its number, or that of its value.
        ami: The value itself.
        rng: Source of randomness.

    Returns:
        Both ends.
    """
    from sklearn.metrics.cluster import expected_mutual_information

    counts = _table(origin, found)
    own = counts.sum(axis=1)
    drawn = np.stack(
        [rng.multinomial(n, row / max(n, 1), _REPEATS) for n, row in zip(own, counts, strict=True)],
        axis=1,
    )
    belongs = np.eye(kinds.max() + 1)[kinds]
    tables = np.einsum("kv,bkc->bvc", belongs, drawn)
    chance = expected_mutual_information((belongs.T @ counts).astype(np.int64), int(own.sum()))
    shared, entropy = _information(tables)
    draws = (shared - chance) / (entropy / 2 - chance)
    low, high = percentile_interval(draws - draws.mean() + ami)
    return low, min(high, 1.0)


def _table(truth: Integers, found: Integers) -> Integers:
    """How many images of each label (rows) are in each cluster (columns)."""
    width = int(found.max()) + 1
    counts = np.bincount(truth * width + found, minlength=(int(truth.max()) + 1) * width)
    return counts.reshape(-1, width)


def _nmi(tables: NDArray[Any]) -> Floats:
    """Normalised mutual information of tables of counts (..., V, C), all at once."""
    shared, entropy = _information(tables)
    return np.asarray(np.divide(2 * shared, entropy, out=np.zeros_like(shared), where=entropy > 0))


def _information(tables: NDArray[Any]) -> tuple[Floats, Floats]:
    """Mutual information of tables (..., V, C), and the sum of their two entropies, in nats."""
    joint = tables / tables.sum(axis=(-2, -1), keepdims=True)
    entropy = _entropies(joint.sum(axis=-1)) + _entropies(joint.sum(axis=-2))
    return entropy - _entropies(joint.reshape(*joint.shape[:-2], -1)), entropy


def _entropies(shares: Floats) -> Floats:
    """Entropy along the last axis, in nats."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=-1))
