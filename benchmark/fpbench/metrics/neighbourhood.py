"""Neighbourhoods in the embedding space itself; distances in a t-SNE picture are no evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.bootstrap import REPEATS, macro_mean_interval
from fpbench.metrics.features import all_equal, check_features, finite
from fpbench.metrics.score import Floats, Ids, Integers, NotComputable, Score, check_ids

NEIGHBOURS = 10
_COLUMNS = 2048  # of embeddings held as float64 at once
_CHUNK = 512  # rows of the distance matrix held at once
_KEPT = 1 << 27  # bytes that the whole matrix may take


class Distances:
    """Squared Euclidean distances between embeddings, measured once where they fit into memory.

    Args:
        features: Shape (N, D).
        labels: int (N,).

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If an embedding is not finite, or all are equal.
    """

    def __init__(self, features: ArrayLike, labels: ArrayLike) -> None:
        raw, self.labels = check_features(features, labels)
        rows = finite(raw)
        if all_equal(raw):
            raise NotComputable("All embeddings are equal.")
        self._rows: Floats = rows - rows.mean(axis=0)
        self._kept: list[tuple[int, Floats]] | None = None

    def chunks(self) -> Iterator[tuple[int, Floats]]:
        """The first row of each part of the matrix, and the part, shape (at most 512, N).

        Parts must not be changed. What is rounding is set to zero.
        """
        if self._kept is None and len(self._rows) ** 2 * 8 <= _KEPT:
            self._kept = list(self._measured())
        yield from self._measured() if self._kept is None else self._kept

    def _measured(self) -> Iterator[tuple[int, Floats]]:
        rows = self._rows
        norms = (rows**2).sum(axis=1)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            sums = norms[start : start + _CHUNK, None] + norms[None, :]
            squared = sums - 2 * part @ rows.T
            squared[squared < 1e-12 * sums] = 0.0
            yield start, squared


def neighbour_purity(
    features: ArrayLike | Distances, labels: ArrayLike | None = None, k: int = NEIGHBOURS
) -> Floats:
    """Share of each image's k nearest others that are of its source: shape (N,), in [0, 1].

    Distances are Euclidean. Others at the same distance as the k-th count in equal parts, so
    that copies of one embedding do not depend on their order.

    Args:
        features: Shape (N, D), or the `Distances` of embeddings.
        labels: int (N,); not needed with distances.
        k: Neighbours.

    Raises:
        ValueError: If shapes do not fit or k is not positive.
        NotComputable: If an embedding is not finite, all are equal, or there are k or fewer
            others.

    >>> neighbour_purity([[0.0], [0.1], [5.0], [5.1], [5.2]], [0, 0, 1, 1, 1], k=1).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    distances = _distances(features, labels)
    purity = np.empty(len(distances.labels))
    for near in _neighbours(distances, k):
        purity[near.images] = near.purity
    return purity


def silhouettes(features: ArrayLike | Distances, labels: ArrayLike | None = None) -> Floats:
    """Silhouette of each image: ``(b − a) / max(a, b)``, shape (N,), in [−1, 1].

    a is the mean Euclidean distance to the others of its source, b that to the images of the
    nearest other source (Rousseeuw, 1987). An image that is alone in its source has 0.

    Args:
        features: Shape (N, D), or the `Distances` of embeddings.
        labels: int (N,); not needed with distances.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If an embedding is not finite, all are equal, or there is one source.

    >>> silhouettes([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1]).round(3).tolist()
    [0.905, 0.895, 0.895, 0.905]
    """
    distances = _distances(features, labels)
    result = np.zeros(len(distances.labels))
    for apart in _separations(distances):
        result[apart.images] = apart.silhouettes
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


def purity_shares(
    features: ArrayLike | Distances, labels: ArrayLike | None = None, k: int = NEIGHBOURS
) -> Floats:
    """What each image contributes to the purity, as one judged and as a neighbour: shape (N,).

    An image is drawn into the purities of all that it is near. With p_i of `neighbour_purity` and
    n(j) the images of the source of j, ::

        v_j = p_j + Σ_{i: j near i} n(j)/n(i) · (1[same source] − p_i)/k

    which has the same mean over sources of means over images as p, as the second term sums to
    zero for each i; but its scatter is the sampling error of that mean (its first-order
    influence function), which that of p underestimates by up to a half.

    Args:
        features: Shape (N, D), or the `Distances` of embeddings.
        labels: int (N,); not needed with distances.
        k: Neighbours.

    Raises:
        ValueError: As `neighbour_purity`.
        NotComputable: As `neighbour_purity`.

    >>> purity_shares([[0.0], [0.1], [5.0], [5.1], [5.2]], [0, 0, 1, 1, 1], k=1).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    distances = _distances(features, labels)
    y = distances.labels
    size = np.unique(y, return_counts=True)[1][np.unique(y, return_inverse=True)[1]]
    shares, drawn = np.empty(len(y)), []
    for near in _neighbours(distances, k):
        shares[near.images] = near.purity
        weight = np.where(near.nearer, 1.0, near.places[near.row])
        surplus = weight * (near.own - near.purity[near.row]) / size[near.images][near.row]
        drawn.append(np.bincount(near.other, weights=surplus, minlength=len(y)) * size / k)
    for part in drawn:
        shares += part
    return shares


def silhouette_shares(features: ArrayLike | Distances, labels: ArrayLike | None = None) -> Floats:
    """What each image contributes to the silhouette, as in `purity_shares`: shape (N,).

    The derivative of ``(b − a) / max(a, b)`` of all other images by the weight of this one.

    Args:
        features: Shape (N, D), or the `Distances` of embeddings.
        labels: int (N,); not needed with distances.

    Raises:
        ValueError: As `silhouettes`.
        NotComputable: As `silhouettes`.

    >>> silhouette_shares([[0.0], [1.0], [10.0], [11.0]], [0, 0, 1, 1]).mean().round(3).item()
    0.9
    """
    distances = _distances(features, labels)
    source = np.unique(distances.labels, return_inverse=True)[1]
    counts = np.bincount(source)
    shares, drawn = np.zeros(len(source)), []
    for apart in _separations(distances):
        shares[apart.images] = apart.silhouettes
        a, b, part = apart.own, apart.nearest, source[apart.images]
        top = np.maximum(a, b)
        usable = (top > 0) & (counts[part] > 1)
        scale = np.where(usable, top, 1.0)
        by_a = np.where(usable, np.where(a < b, -1 / scale, -b / scale**2), 0.0)
        by_b = np.where(usable, np.where(a < b, a / scale**2, 1 / scale), 0.0)
        # Images of other sources than these two have no part in the silhouette of an image.
        to_own = source == part[:, None]
        to_own[np.arange(len(part)), apart.images] = False
        row, other = np.nonzero(to_own | (source == apart.of_nearest[:, None]))
        within = to_own[row, other]
        weight = np.where(within, by_a[row], by_b[row])
        middle = np.where(within, a[row], b[row])
        members = np.where(
            within, np.maximum(counts[part] - 1, 1)[row], counts[apart.of_nearest][row]
        )
        change = weight * ((apart.distance[row, other] - middle) / members) / counts[part][row]
        drawn.append(np.bincount(other, weights=change, minlength=len(source)) * counts[source])
    for values in drawn:
        shares += values
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


@dataclass(frozen=True)
class _Neighbours:
    """The nearest others of some images.

    Attributes:
        images: Positions of the images, shape (n,).
        purity: Their purities, shape (n,).
        places: Shape (n,), the part of a neighbour that each other at the k-th distance is.
        row: Which of the images a pair is of, shape (P,), in order.
        other: Position of its neighbour, shape (P,).
        nearer: Whether it is nearer than the k-th, shape (P,).
        own: Whether it is of the image's source, shape (P,).
    """

    images: Integers
    purity: Floats
    places: Floats
    row: Integers
    other: Integers
    nearer: NDArray[np.bool_]
    own: NDArray[np.bool_]


def _neighbours(distances: Distances, k: int) -> Iterator[_Neighbours]:
    """Pairs of images and their neighbours, a chunk of images at a time."""
    y = distances.labels
    if k < 1:
        raise ValueError(f"there is no {k}-th neighbour")
    if len(y) <= k:
        raise NotComputable(f"There are {len(y)} images; {k} neighbours need more.")
    for start, squared in distances.chunks():
        here = np.arange(len(squared))
        images = start + here
        kept = squared[here, images]
        squared[here, images] = np.inf
        limit = np.partition(squared, k - 1, axis=1)[:, k - 1]
        row, other = np.nonzero(squared <= limit[:, None])
        nearer = squared[row, other] < limit[row]
        squared[here, images] = kept
        own = y[images][row] == y[other]

        def count(pairs: NDArray[np.bool_], row: Integers = row, n: int = len(here)) -> Integers:
            return np.asarray(np.bincount(row[pairs], minlength=n), np.int64)

        left = k - count(nearer)
        level = count(~nearer)
        shared = count(~nearer & own) / level
        purity = (count(nearer & own) + left * shared) / k
        yield _Neighbours(images, purity, left / level, row, other, nearer, own)


@dataclass(frozen=True)
class _Separation:
    """How far some images are from their own source and from the nearest other.

    Attributes:
        images: Positions of the images, shape (n,).
        distance: Shape (n, N), from each image to all.
        own: Mean distance from the others of its source, shape (n,).
        nearest: Mean distance from the images of the nearest other source, shape (n,).
        of_nearest: Which source that is, shape (n,).
        silhouettes: Shape (n,).
    """

    images: Integers
    distance: Floats
    own: Floats
    nearest: Floats
    of_nearest: Integers
    silhouettes: Floats


def _separations(distances: Distances) -> Iterator[_Separation]:
    """Mean distances from sources, a chunk of images at a time."""
    names, source = np.unique(distances.labels, return_inverse=True)
    if len(names) < 2:
        raise NotComputable("There is one source only; a silhouette compares several.")
    member = (source[:, None] == np.arange(len(names))).astype(np.float64)
    counts = member.sum(axis=0)
    for start, squared in distances.chunks():
        part = source[start : start + len(squared)]
        here = np.arange(len(part))
        distance = np.sqrt(squared)
        total = distance @ member
        own = total[here, part] / np.maximum(counts[part] - 1, 1)
        other = total / counts
        other[here, part] = np.inf
        of_nearest = other.argmin(axis=1)
        nearest = other[here, of_nearest]
        larger = np.maximum(own, nearest)
        value = np.divide(nearest - own, larger, out=np.zeros(len(part)), where=larger > 0)
        value = np.where(counts[part] > 1, value, 0.0)
        yield _Separation(start + here, distance, own, nearest, of_nearest, value)


def _distances(features: ArrayLike | Distances, labels: ArrayLike | None) -> Distances:
    if isinstance(features, Distances):
        return features
    if labels is None:
        raise ValueError("embeddings need labels")
    return Distances(features, labels)
