"""Neighbourhoods in the embedding space itself; distances in a t-SNE picture are no evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.bootstrap import REPEATS, macro_mean_interval
from fpbench.metrics.features import all_equal, check_features, finite
from fpbench.metrics.score import Floats, Ids, Integers, NotComputable, Score, check_ids

NEIGHBOURS = 10
_CHUNK = 512  # rows of the distance matrix held at once
_COLUMNS = 2048  # of embeddings held as float64 at once


def neighbour_purity(features: ArrayLike, labels: ArrayLike, k: int = NEIGHBOURS) -> Floats:
    """Share of each image's k nearest others that are of its source: shape (N,), in [0, 1].

    Distances are Euclidean. Others at the same distance as the k-th count in equal parts, so
    that copies of one embedding do not depend on their order.

    Args:
        features: Shape (N, D).
        labels: int (N,).
        k: Neighbours.

    Raises:
        ValueError: If shapes do not fit or k is not positive.
        NotComputable: If an embedding is not finite, all are equal, or there are k or fewer
            others.

    >>> neighbour_purity([[0.0], [0.1], [5.0], [5.1], [5.2]], [0, 0, 1, 1, 1], k=1).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    if k < 1:
        raise ValueError(f"there is no {k}-th neighbour")
    rows, y = _checked(features, labels)
    if len(y) <= k:
        raise NotComputable(f"There are {len(y)} images; {k} neighbours need more.")
    purity = np.empty(len(y))
    for start, squared in _squared_distances(rows):
        images = np.arange(start, start + len(squared))
        squared[np.arange(len(squared)), images] = np.inf
        limit = np.partition(squared, k - 1, axis=1)[:, k - 1 : k]
        own = y[images][:, None] == y[None, :]
        nearer, level = squared < limit, squared == limit
        places = k - nearer.sum(axis=1)
        shared = (level & own).sum(axis=1) / level.sum(axis=1)
        purity[images] = ((nearer & own).sum(axis=1) + places * shared) / k
    return purity


def silhouettes(features: ArrayLike, labels: ArrayLike) -> Floats:
    """Silhouette of each image: ``(b − a) / max(a, b)``, shape (N,), in [−1, 1].

    a is the mean Euclidean distance to the others of its source, b that to the images of the
    nearest other source (Rousseeuw, 1987). An image that is alone in its source has 0.

    Args:
        features: Shape (N, D).
        labels: int (N,).

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If an embedding is not finite, all are equal, or there is one source.

    >>> silhouettes([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1]).round(3).tolist()
    [0.905, 0.895, 0.895, 0.905]
    """
    rows, y = _checked(features, labels)
    names, source = np.unique(y, return_inverse=True)
    if len(names) < 2:
        raise NotComputable("There is one source only; a silhouette compares several.")
    member = (source[:, None] == np.arange(len(names))).astype(np.float64)
    counts = member.sum(axis=0)
    result = np.zeros(len(y))
    for start, squared in _squared_distances(rows):
        part = source[start : start + len(squared)]
        here = np.arange(len(part))
        total = np.sqrt(squared) @ member
        own = total[here, part] / np.maximum(counts[part] - 1, 1)
        other = total / counts
        other[here, part] = np.inf
        nearest = other.min(axis=1)
        larger = np.maximum(own, nearest)
        value = np.divide(nearest - own, larger, out=np.zeros(len(part)), where=larger > 0)
        result[start : start + len(part)] = np.where(counts[part] > 1, value, 0.0)
    return result


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


def purity_shares(features: ArrayLike, labels: ArrayLike, k: int = NEIGHBOURS) -> Floats:
    """What each image contributes to the purity, as one judged and as a neighbour: shape (N,).

    An image is drawn into the purities of all that it is near. With p_i of `neighbour_purity` and
    n(j) the images of the source of j, ::

        v_j = p_j + Σ_{i: j near i} n(j)/n(i) · (1[same source] − p_i)/k

    which has the same mean over sources of means over images as p, as the second term sums to
    zero for each i; but its scatter is the sampling error of that mean (its first-order
    influence function), which that of p underestimates by up to a half.

    Args:
        features: Shape (N, D).
        labels: int (N,).
        k: Neighbours.

    Raises:
        ValueError: As `neighbour_purity`.
        NotComputable: As `neighbour_purity`.

    >>> purity_shares([[0.0], [0.1], [5.0], [5.1], [5.2]], [0, 0, 1, 1, 1], k=1).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    purity = neighbour_purity(features, labels, k)
    rows, y = _checked(features, labels)
    size = np.unique(y, return_counts=True)[1][np.unique(y, return_inverse=True)[1]]
    shares = purity.copy()
    for start, squared in _squared_distances(rows):
        images = np.arange(start, start + len(squared))
        squared[np.arange(len(squared)), images] = np.inf
        limit = np.partition(squared, k - 1, axis=1)[:, k - 1 : k]
        nearer, level = squared < limit, squared == limit
        places = (k - nearer.sum(axis=1, keepdims=True)) / level.sum(axis=1, keepdims=True)
        near = nearer + level * places
        own = y[images][:, None] == y[None, :]
        surplus = near * (own - purity[images][:, None]) / size[images][:, None]
        shares += surplus.sum(axis=0) * size / k
    return shares


def silhouette_shares(features: ArrayLike, labels: ArrayLike) -> Floats:
    """What each image contributes to the silhouette, as in `purity_shares`: shape (N,).

    The derivative of ``(b − a) / max(a, b)`` of all other images by the weight of this one.

    Args:
        features: Shape (N, D).
        labels: int (N,).

    Raises:
        ValueError: As `silhouettes`.
        NotComputable: As `silhouettes`.

    >>> silhouette_shares([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1]).mean().round(3).item()
    0.9
    """
    shares = silhouettes(features, labels)
    rows, y = _checked(features, labels)
    source = np.unique(y, return_inverse=True)[1]
    counts = np.bincount(source)
    member = (source[:, None] == np.arange(len(counts))).astype(np.float64)
    for start, squared in _squared_distances(rows):
        part = source[start : start + len(squared)]
        here = np.arange(len(part))
        distance = np.sqrt(squared)
        total = distance @ member
        a = total[here, part] / np.maximum(counts[part] - 1, 1)
        other = total / counts
        other[here, part] = np.inf
        nearest = other.argmin(axis=1)
        b = other[here, nearest]
        top = np.maximum(a, b)
        usable = (top > 0) & (counts[part] > 1)
        scale = np.where(usable, top, 1.0)
        by_a = np.where(usable, np.where(a < b, -1 / scale, -b / scale**2), 0.0)
        by_b = np.where(usable, np.where(a < b, a / scale**2, 1 / scale), 0.0)
        own = member.T[part]
        own[here, start + here] = 0.0
        to_own = own * (distance - a[:, None]) / np.maximum(counts[part] - 1, 1)[:, None]
        to_other = member.T[nearest] * (distance - b[:, None]) / counts[nearest][:, None]
        change = by_a[:, None] * to_own + by_b[:, None] * to_other
        shares += (change / counts[part][:, None]).sum(axis=0) * counts[source]
    return shares


def purity_score(
    features: ArrayLike,
    labels: ArrayLike,
    k: int = NEIGHBOURS,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    ids: Ids = None,
) -> Score:
    """Mean over sources of the mean `neighbour_purity` of their images.

    Chance is ``1/K Σ_i (n_i − 1)/(N − 1)``. The interval resamples images with what they
    contribute as judged ones and as neighbours (`purity_shares`).

    >>> rng = np.random.default_rng(0)
    >>> score = purity_score(rng.normal(size=(200, 5)), [0, 1] * 100)
    >>> bool(score.ci_low < score.chance < score.ci_high)
    True
    """
    y = np.asarray(labels)
    try:
        check_ids(ids, len(y))
        values = purity_shares(features, y, k)
        value, low, high = macro_mean_interval(values, y, seed=seed, repeats=repeats)
    except NotComputable as reason:
        return Score.missing(str(reason), n=len(y))
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2:
        return Score.missing("There is one source only; all neighbours are of it.", n=len(y))
    chance = float((counts - 1).mean() / (len(y) - 1))
    return Score(value, max(0.0, low), min(1.0, high), n=len(y), chance=chance)


def silhouette_score(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    ids: Ids = None,
) -> Score:
    """Mean over sources of the mean of `silhouettes`; its interval is made as in `purity_score`.

    There is no chance level to state: for sources that are alike it lies a little below 0.

    >>> silhouette_score([[0.0], [1.0], [10.0], [11.0]] * 5, [0, 0, 1, 1] * 5).value > 0.9
    True
    """
    y = np.asarray(labels)
    try:
        check_ids(ids, len(y))
        values = silhouette_shares(features, y)
        value, low, high = macro_mean_interval(values, y, seed=seed, repeats=repeats)
    except NotComputable as reason:
        return Score.missing(str(reason), n=len(y))
    return Score(value, max(-1.0, low), min(1.0, high), n=len(y))


def _checked(features: ArrayLike, labels: ArrayLike) -> tuple[Floats, Integers]:
    raw, y = check_features(features, labels)
    rows = finite(raw)
    if all_equal(raw):
        raise NotComputable("All embeddings are equal.")
    return rows - rows.mean(axis=0), y


def _squared_distances(rows: NDArray[Any]) -> Iterator[tuple[int, Floats]]:
    """Chunks of squared distances, with what is rounding set to zero."""
    norms = (rows**2).sum(axis=1)
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        sums = norms[start : start + _CHUNK, None] + norms[None, :]
        squared = sums - 2 * part @ rows.T
        squared[squared < 1e-12 * sums] = 0.0
        yield start, squared
