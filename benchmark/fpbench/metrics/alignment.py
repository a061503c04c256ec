"""Do clusters of fingerprints follow a design choice of the generators?

Sources are clustered by their fingerprints, and the clusters are compared with the values of an
attribute (upsampling, loss, ...) by adjusted mutual information. Plain normalised mutual
information is kept for comparison with published tables, but over a dozen sources random labels
already reach 0.3 to 0.5, so every value stands beside a permutation test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.features import check_features, finite
from fpbench.metrics.score import Floats, Integers, NotComputable
from fpbench.metrics.statistics import holm

PERMUTATIONS = 10_000
KMEANS_RESTARTS = 50
LARGEST_IMAGE_SAMPLE = 500
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Alignment:
    """Agreement of clusters with one attribute of the sources.

    Attributes:
        attribute: Its name.
        sources: How many sources have a known value.
        categories: How many values they have.
        clusters: How many clusters they were put into.
        ami: Adjusted mutual information, the headline: about 0 by chance, at most 1.
        ari: Adjusted Rand index: about 0 by chance, at most 1.
        nmi: Normalised mutual information (arithmetic mean), which equals the V-measure; far
            above 0 by chance.
        homogeneity: 1 if every cluster holds one value only.
        completeness: 1 if every value lies in one cluster only.
        nmi_chance: Mean `nmi` when the attribute is permuted over the sources.
        nmi_chance_p95: Its 95th percentile.
        p_value: Share of permutations that agree as well, by mutual information.
        p_within_family: The same, permuting within each family only: does the attribute explain
            more than the family does? None if no family holds two values.
        p_holm: `p_value` corrected over the attributes tested together, or None.
        p_within_family_holm: `p_within_family` likewise.
        reason: Why there is no value, or None; all scores are None with it.
    """

    attribute: str
    sources: int
    categories: int
    clusters: int
    ami: float | None = None
    ari: float | None = None
    nmi: float | None = None
    homogeneity: float | None = None
    completeness: float | None = None
    nmi_chance: float | None = None
    nmi_chance_p95: float | None = None
    p_value: float | None = None
    p_within_family: float | None = None
    p_holm: float | None = None
    p_within_family_holm: float | None = None
    reason: str | None = None


def align_clusters(
    clusters: ArrayLike,
    values: Sequence[str | None],
    families: Sequence[str] | None = None,
    *,
    attribute: str = "",
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> Alignment:
    """Agreement of given clusters with one attribute.

    Permuting leaves the numbers of each value and each cluster as they are, so mutual
    information orders permutations as AMI, NMI and homogeneity do, and one p-value serves all:
    ``p = (1 + #{permuted ≥ observed}) / (1 + permutations)``.

    Args:
        clusters: int (M,), the cluster of each source.
        values: M values of the attribute; None or empty where unknown, which leaves the source
            out.
        families: M families, to permute within; None for no such test.
        attribute: Name to report.
        seed: Seed of the permutations.
        permutations: Number of permutations.

    Returns:
        Alignment, with a reason instead of scores where all known values are equal, or all
        different.

    Raises:
        ValueError: If lengths differ.

    >>> got = align_clusters([0, 0, 0, 1, 1, 1], ["a", "a", "a", "b", "b", "b"])
    >>> got.ami, round(got.p_value, 1)
    (1.0, 0.1)
    """
    from sklearn import metrics

    cluster = np.asarray(clusters)
    if len(cluster) != len(values) or (families is not None and len(families) != len(values)):
        raise ValueError(f"{len(cluster)} sources but {len(values)} values of {attribute!r}")
    known = np.array([value not in (None, "") for value in values], dtype=bool)
    truth = np.array([value for value in values if value not in (None, "")], dtype=str)
    cluster = cluster[known]
    names, kinds = np.unique(truth, return_inverse=True)
    used, groups = np.unique(cluster, return_inverse=True)
    bare = Alignment(attribute, len(truth), len(names), len(used))
    if len(names) < 2 or len(names) == len(truth):
        which = "the same" if len(names) < 2 else "different"
        return replace(
            bare,
            reason=f"All {len(truth)} known values are {which}, so clusters can follow nothing.",
        )
    rng = np.random.default_rng(seed)
    observed, entropy = _information(groups, kinds[None, :])[0], _mean_entropy(groups, kinds)
    permuted = _information(groups, rng.permuted(np.tile(kinds, (permutations, 1)), axis=1))
    within = None
    if families is not None:
        family = np.asarray(families)[known]
        movable = any(len(np.unique(kinds[family == f])) > 1 for f in np.unique(family))
        if movable:
            within = _exceedance(
                observed, _information(groups, _permuted_within(kinds, family, permutations, rng))
            )
    chance = permuted / entropy if entropy > 0 else np.zeros(1)
    homogeneity, completeness, _ = metrics.homogeneity_completeness_v_measure(truth, cluster)
    return replace(
        bare,
        ami=float(metrics.adjusted_mutual_info_score(truth, cluster)),
        ari=float(metrics.adjusted_rand_score(truth, cluster)),
        nmi=float(metrics.normalized_mutual_info_score(truth, cluster)),
        homogeneity=float(homogeneity),
        completeness=float(completeness),
        nmi_chance=float(chance.mean()),
        nmi_chance_p95=float(np.quantile(chance, 0.95)),
        p_value=_exceedance(observed, permuted),
        p_within_family=within,
    )


def align_sources(
    fingerprints: ArrayLike,
    attributes: Mapping[str, Sequence[str | None]],
    families: Sequence[str] | None = None,
    *,
    algorithm: str = "agglomerative",
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> list[Alignment]:
    """Cluster sources by their fingerprints and compare with several attributes.

    For each attribute the sources with known values are put into as many clusters as it has
    values, by average linkage of cosine distances or by k-means with 50 restarts.

    Args:
        fingerprints: Shape (M, D), the mean embedding of each source, centred.
        attributes: Name to M values, None or empty where unknown.
        families: M families, for the test within families.
        algorithm: ``agglomerative`` or ``kmeans``.
        seed: Seed of k-means and permutations.
        permutations: Number of permutations.

    Returns:
        One alignment an attribute, p-values corrected over them by Holm.

    Raises:
        ValueError: If lengths differ or the algorithm is unknown.
        NotComputable: If a fingerprint is not finite, or zero where cosines are needed.
    """
    if algorithm not in ("agglomerative", "kmeans"):
        raise ValueError(f"no algorithm {algorithm!r}; use agglomerative or kmeans")
    rows = finite(np.asarray(fingerprints))
    found = []
    for attribute, values in attributes.items():
        if len(values) != len(rows):
            raise ValueError(f"{len(rows)} sources but {len(values)} values of {attribute!r}")
        known = np.array([value not in (None, "") for value in values], dtype=bool)
        categories = len({value for value in values if value not in (None, "")})
        clusters = np.zeros(len(rows), dtype=np.int64)
        if 2 <= categories < known.sum():
            clusters[known] = cluster_rows(rows[known], categories, algorithm, seed)
        found.append(
            align_clusters(
                clusters, values, families,
                attribute=attribute, seed=seed, permutations=permutations,
            )
        )  # fmt: skip
    return correct_for_attributes(found)


def correct_for_attributes(alignments: Sequence[Alignment]) -> list[Alignment]:
    """The same alignments with p-values corrected by Holm over all that have one."""
    missing = np.nan
    plain = holm([missing if a.p_value is None else a.p_value for a in alignments])
    within = holm([missing if a.p_within_family is None else a.p_within_family for a in alignments])
    return [
        replace(
            alignment,
            p_holm=None if np.isnan(p) else float(p),
            p_within_family_holm=None if np.isnan(w) else float(w),
        )
        for alignment, p, w in zip(alignments, plain, within, strict=True)
    ]


def cluster_rows(rows: Floats, clusters: int, algorithm: str, seed: int = 0) -> Integers:
    """Average linkage of cosine distances, or k-means: int of shape (M,).

    Raises:
        NotComputable: If a row is zero and so has no direction.
    """
    if algorithm == "kmeans":
        from sklearn.cluster import KMeans

        distinct = len(np.unique(rows, axis=0))
        model = KMeans(min(clusters, distinct), n_init=KMEANS_RESTARTS, random_state=seed)
        return np.asarray(model.fit_predict(rows), dtype=np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage

    if (np.linalg.norm(rows, axis=1) == 0).any():
        raise NotComputable("A fingerprint is zero and has no direction.")
    found = fcluster(linkage(rows, "average", metric="cosine"), clusters, criterion="maxclust")
    return np.asarray(found - 1, dtype=np.int64)


def majority_clusters(
    features: ArrayLike, labels: ArrayLike, clusters: int, *, seed: int = 0
) -> Integers:
    """Cluster images by k-means and give each source the cluster that most of its images are in.

    Args:
        features: Shape (N, D).
        labels: int (N,), from 0 to M−1; at most 500 random images of each are used.
        clusters: Number of clusters.
        seed: Seed of k-means and of the choice.

    Returns:
        Shape (M,).

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If a source has no image or there are fewer images than clusters.
    """
    from sklearn.cluster import KMeans

    rows, y = check_features(features, labels)
    counts = np.bincount(y)
    if counts.min() < 1:
        raise NotComputable(f"Source {counts.argmin()} has no image.")
    rng = np.random.default_rng(seed)
    chosen = np.concatenate(
        [
            rng.permutation(np.flatnonzero(y == source))[:LARGEST_IMAGE_SAMPLE]
            for source in range(len(counts))
        ]
    )
    sample = finite(rows[chosen])
    if len(sample) < clusters:
        raise NotComputable(f"{len(sample)} images cannot make {clusters} clusters.")
    found = KMeans(clusters, n_init=10, random_state=seed).fit_predict(sample)
    table = np.zeros((len(counts), clusters), dtype=np.int64)
    np.add.at(table, (y[chosen], found), 1)
    return np.asarray(table.argmax(axis=1), dtype=np.int64)


def _information(groups: NDArray[np.intp], kinds: NDArray[np.intp]) -> Floats:
    """Mutual information (nats) of one clustering with each of P permutations of labels, (P,)."""
    permutations, m = kinds.shape
    values, clusters = int(kinds.max()) + 1, int(groups.max()) + 1
    cell = kinds * clusters + groups
    cell += np.arange(permutations)[:, None] * (values * clusters)
    together = np.bincount(cell.ravel(), minlength=permutations * values * clusters)
    together = together.reshape(permutations, values, clusters)
    # Permuting leaves the margins as they are, so that a cell's part hangs on its count alone.
    joint = np.arange(m + 1) / m
    shares = [np.bincount(labels) / m for labels in (kinds[0], groups)]
    margins = np.multiply.outer(*shares)[..., None]
    ratio = np.divide(joint, margins, out=np.ones((values, clusters, m + 1)), where=joint > 0)
    parts = joint * np.log(ratio)
    information = np.zeros(permutations)
    for value in range(values):
        own = parts[value][np.arange(clusters), together[:, value]]
        information += own.sum(axis=1)
    return information


def _mean_entropy(groups: NDArray[np.intp], kinds: NDArray[np.intp]) -> float:
    total = 0.0
    for labels in (groups, kinds):
        p = np.bincount(labels) / len(labels)
        total -= float((p[p > 0] * np.log(p[p > 0])).sum())
    return total / 2


def _permuted_within(
    kinds: NDArray[np.intp], family: NDArray[np.str_], permutations: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    permuted = np.tile(kinds, (permutations, 1))
    for name in np.unique(family):
        own = family == name
        permuted[:, own] = rng.permuted(permuted[:, own], axis=1)
    return permuted


def _exceedance(observed: float, permuted: Floats) -> float:
    return float((1 + (permuted >= observed - _ROUNDING).sum()) / (1 + len(permuted)))
