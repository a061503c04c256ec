"""Open set: are images of generators that nobody trained on told from those of known ones?

Notation: images of C known and U unknown generators (Real left out), each with a number u that
says how unknown it looks; a threshold t accepts an image if u ≤ t. Every generator counts the
same, whatever its number of images: an image of one of C known generators with n images weighs
``1 / (C n)``, and so for unknown ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.attribution import weighted_auc
from fpbench.metrics.bootstrap import REPEATS, multiplicities, percentile_interval, unseen_rate
from fpbench.metrics.features import all_equal, finite
from fpbench.metrics.imageclusters import ami_interval
from fpbench.metrics.score import Floats, Integers, NotComputable, Score

ACCEPTED = 0.95
"""Share of known images that the threshold of `fpr95` accepts."""

_ROUNDING = 1e-9  # of sums of weights


@dataclass(frozen=True)
class OpenImages:
    """Whose images they are.

    Attributes:
        sources: int (N,), the generator of each image.
        unknown: bool (N,), whether that is an unknown one; the same for all images of a source.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If there is no known or no unknown image, or a source has only one.
    """

    sources: Integers
    unknown: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.sources.shape != self.unknown.shape or self.sources.ndim != 1:
            raise ValueError(f"sources of shape {self.sources.shape}, unknown {self.unknown.shape}")
        for what, chosen in (("known", ~self.unknown), ("unknown", self.unknown)):
            if not chosen.any():
                raise NotComputable(f"There is no image of a generator that is {what}.")
        names, counts = np.unique(self.sources, return_counts=True)
        if counts.min() < 2:
            raise NotComputable(f"Source {names[counts.argmin()]} has one image; two are needed.")

    @property
    def weights(self) -> Floats:
        """Shape (N,), summing to 1 over known and over unknown images."""
        weights = np.empty(len(self.sources))
        for side in (self.unknown, ~self.unknown):
            _, source, counts = np.unique(
                self.sources[side], return_inverse=True, return_counts=True
            )
            weights[side] = 1 / (len(counts) * counts[source])
        return weights

    @property
    def unseen(self) -> float:
        """How much a mean over either side may move by images like none that were tested."""
        weights = self.weights
        return sum(unseen_rate(1 / weights[side].max()) for side in (self.unknown, ~self.unknown))

    def only(self, sources: ArrayLike) -> NDArray[np.bool_]:
        """All known images, and those of some unknown sources: bool (N,)."""
        return ~self.unknown | np.isin(self.sources, np.asarray(sources))


def open_auroc(unknownness: ArrayLike, images: OpenImages) -> float:
    """Area under the ROC curve of unknown against known generators.

    ``P(u(x) > u(x′)) + ½ P(u(x) = u(x′))`` for x of an unknown and x′ of a known generator, both
    drawn at random, generators first: the mean over all pairs of one unknown and one known
    generator. Range [0, 1], chance ½.

    Args:
        unknownness: Shape (N,), higher for images that look more unknown.
        images: Whose they are.

    Raises:
        NotComputable: If a number is not finite.

    >>> images = OpenImages(np.array([0, 0, 1, 1]), np.array([False, False, True, True]))
    >>> open_auroc([0.1, 0.4, 0.4, 0.9], images)
    0.875
    """
    return _point(_auroc, unknownness, images)


def open_fpr95(unknownness: ArrayLike, images: OpenImages) -> float:
    """Share of unknown images accepted at the threshold that accepts 95 % of known ones.

    The threshold is the smallest that accepts at least that share. Range [0, 1], chance 0.95,
    lower is better.

    Args:
        unknownness: Shape (N,), higher for images that look more unknown.
        images: Whose they are.

    Raises:
        NotComputable: If a number is not finite.

    >>> images = OpenImages(np.repeat([0, 1], 20), np.repeat([False, True], 20))
    >>> round(open_fpr95(np.concatenate([np.arange(20), np.arange(20) + 13.5]), images), 6)
    0.25
    """
    return _point(_fpr95, unknownness, images)


def oscr(unknownness: ArrayLike, correct: ArrayLike, images: OpenImages) -> float:
    """Area under the open-set classification rate curve (Dhamija et al., NeurIPS 2018).

    The share of known images that are accepted *and* rightly attributed is drawn against the
    share of unknown images that are accepted, as the threshold rises. The area is
    ``E[c(x′) ([u(x) > u(x′)] + ½ [u(x) = u(x′)])]``, x unknown and x′ known: at most the accuracy
    on known generators, which is reached where no unknown image is accepted before a known one;
    half of it by chance.

    Args:
        unknownness: Shape (N,), higher for images that look more unknown.
        correct: Shape (N,), in [0, 1], how far each known image is attributed correctly; that of
            unknown images is not read.
        images: Whose they are.

    Raises:
        NotComputable: If a number is not finite.

    >>> images = OpenImages(np.array([0, 0, 1, 1]), np.array([False, False, True, True]))
    >>> oscr([0.1, 0.2, 0.8, 0.9], [1, 0, 0, 0], images)
    0.5
    """
    return _point(_oscr(np.asarray(correct, np.float64)), unknownness, images)


_Measure = Callable[[Floats, OpenImages, Floats], Floats]
"""From numbers (N,), images and their weights (N, R) to values (R,)."""


def _auroc(u: Floats, images: OpenImages, weights: Floats) -> Floats:
    new = images.unknown
    return weighted_auc(u[new], u[~new], weights[new], weights[~new])


def _fpr95(u: Floats, images: OpenImages, weights: Floats) -> Floats:
    new = images.unknown
    order, unknown = np.argsort(u[~new]), np.argsort(u[new])
    known = u[~new][order]
    accepted = weights[~new][order].cumsum(axis=0)
    enough = accepted >= ACCEPTED * accepted[-1] - _ROUNDING
    threshold = known[enough.argmax(axis=0)]
    passed = np.searchsorted(u[new][unknown], threshold, "right")
    below = np.concatenate([np.zeros((1, weights.shape[1])), weights[new][unknown].cumsum(axis=0)])
    share: Floats = below[passed, np.arange(weights.shape[1])] / below[-1]
    return share


def _oscr(correct: Floats) -> _Measure:
    def measure(u: Floats, images: OpenImages, weights: Floats) -> Floats:
        new = images.unknown
        right = weights[~new] * correct[~new][:, None]
        mass = right.sum(axis=0)
        # Where nothing is right the area is 0, and its ROC curve not defined.
        safe = np.where(mass > 0, right, weights[~new])
        area: Floats = weighted_auc(u[new], u[~new], weights[new], safe)
        measured: Floats = area * mass / weights[~new].sum(axis=0)
        return measured

    return measure


def _point(measure: _Measure, unknownness: ArrayLike, images: OpenImages) -> float:
    u = _checked(unknownness, len(images.sources))
    return float(measure(u, images, images.weights[:, None])[0])


def _checked(unknownness: ArrayLike, count: int) -> Floats:
    u = np.asarray(unknownness, np.float64)
    if u.shape != (count,):
        raise ValueError(f"{count} images but {u.shape} numbers of how unknown they look")
    bad = int((~np.isfinite(u)).sum())
    if bad:
        raise NotComputable(f"How unknown {bad} images look is not finite.")
    return u


def open_set_scores(
    unknownness: Mapping[str, ArrayLike],
    images: OpenImages,
    *,
    correct: ArrayLike | None = None,
    groups: Mapping[str, ArrayLike] | None = None,
    seed: int = 0,
    repeats: int = REPEATS,
) -> dict[str, Score]:
    """All of the above with intervals, from one bootstrap over images within their source.

    Args:
        unknownness: Name to N numbers, e.g. ``msp``.
        images: Whose they are.
        correct: As for `oscr`, which is made of the first of `unknownness`; without it there is
            none.
        groups: Name to unknown sources whose AUROC is wanted apart.
        seed: Seed of the resampling.
        repeats: Number of resamples.

    Returns:
        ``open_auroc_NAME``, ``open_fpr95_NAME``, ``open_auroc_NAME_GROUP`` and ``oscr``.

    >>> images = OpenImages(np.repeat([0, 1, 2], 50), np.repeat([False, False, True], 50))
    >>> looks = np.random.default_rng(0).normal(size=150) + 3 * images.unknown
    >>> scores = open_set_scores({"msp": looks}, images, correct=np.ones(150))
    >>> {key: round(score.value, 2) for key, score in scores.items()}
    {'open_auroc_msp': 0.98, 'open_fpr95_msp': 0.1, 'oscr': 0.98}
    >>> scores["open_fpr95_msp"].chance, scores["oscr"].chance
    (0.95, 0.5)
    """
    every = np.ones(len(images.sources), bool)
    wanted: dict[str, tuple[Floats, NDArray[np.bool_], _Measure, float]] = {}
    found: dict[str, Score] = {}
    for name, values in unknownness.items():
        keys = f"open_auroc_{name}", f"open_fpr95_{name}"
        try:
            u = _checked(values, len(every))
        except NotComputable as reason:
            found |= {key: Score.missing(str(reason), n=len(every)) for key in keys}
            continue
        wanted[keys[0]] = u, every, _auroc, 0.5
        wanted[keys[1]] = u, every, _fpr95, ACCEPTED
        for group, sources in (groups or {}).items():
            wanted[f"{keys[0]}_{group}"] = u, images.only(sources), _auroc, 0.5
    first = next(iter(unknownness))
    if correct is not None and f"open_auroc_{first}" in wanted:
        right = np.asarray(correct, np.float64)
        known = images.weights[~images.unknown] @ right[~images.unknown]
        u = wanted[f"open_auroc_{first}"][0]
        wanted["oscr"] = u, every, _oscr(right), float(known) / 2
    draws: dict[str, list[Floats]] = {key: [] for key in wanted}
    base = images.weights[:, None]
    for counts in multiplicities(images.sources, seed, repeats):
        weights = counts * base
        for key, (u, chosen, measure, _) in wanted.items():
            draws[key].append(_measured(measure, u, images, weights, chosen))
    for key, (u, chosen, measure, chance) in wanted.items():
        value = float(_measured(measure, u, images, base, chosen)[0])
        low, high = percentile_interval(np.clip(np.concatenate(draws[key]), 0, 1))
        part = OpenImages(images.sources[chosen], images.unknown[chosen])
        if value >= 1 - _ROUNDING:
            value, low = 1.0, max(0.0, 1 - part.unseen)
        if value <= _ROUNDING:
            value, high = 0.0, min(1.0, part.unseen)
        found[key] = Score(value, min(low, value), max(high, value), int(chosen.sum()), chance)
    return found


def _measured(
    measure: _Measure,
    u: Floats,
    images: OpenImages,
    weights: Floats,
    chosen: NDArray[np.bool_],
) -> Floats:
    """A measure on some of the images; an unknown source's weights stay as they are."""
    if chosen.all():
        return measure(u, images, weights)
    part = OpenImages(images.sources[chosen], images.unknown[chosen])
    return measure(u[chosen], part, weights[chosen])


def directions(embeddings: ArrayLike) -> NDArray[np.float32]:
    """Embeddings scaled to unit length; one that is zero stays zero.

    Args:
        embeddings: Shape (N, D).

    >>> directions([[3.0, 4.0], [0.0, 0.0]]).round(1).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    rows = np.asarray(embeddings, np.float32)
    length = np.sqrt(np.einsum("nd,nd->n", rows, rows, dtype=np.float64))[:, None]
    divisor = np.where(length > 0, length, 1.0).astype(np.float32)
    scaled: NDArray[np.float32] = np.divide(rows, divisor, dtype=np.float32)
    return scaled


def cluster_unknown(embeddings: ArrayLike, clusters: int) -> Integers:
    """Agglomerative clusters of images: average linkage on the cosine distance.

    As POSE groups images of generators that it does not know (Yang et al., CVPR 2023).

    Args:
        embeddings: Shape (N, D).
        clusters: How many; fewer are returned where equal distances cannot be cut apart.

    Returns:
        Shape (N,), from 0.

    Raises:
        NotComputable: If there are fewer than two clusters or too few images, embeddings are not
            finite, or all point one way.

    >>> cluster_unknown([[1, 0], [2, 0.1], [0, 1], [0.1, 3]], 2).tolist()
    [1, 1, 0, 0]
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if clusters < 2:
        raise NotComputable("There is one unknown source only.")
    rows = directions(embeddings)
    if len(rows) < clusters:
        raise NotComputable(f"{len(rows)} images cannot make {clusters} clusters.")
    cosine = finite(rows @ rows.T)
    if all_equal(rows):
        raise NotComputable("All embeddings point one way, so they make no clusters.")
    distance = np.clip(1 - (cosine + cosine.T) / 2, 0, 2)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    found = fcluster(tree, clusters, criterion="maxclust")
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def unknown_ami_score(clusters: ArrayLike, sources: ArrayLike, *, seed: int = 0) -> Score:
    """Adjusted mutual information of clusters of unknown images with their sources.

    0 by chance, 1 if clusters are sources. The interval draws images again within each source
    and keeps the clusters (`fpbench.metrics.imageclusters.ami_interval`).

    Args:
        clusters: int (N,), from 0.
        sources: int (N,), of the same images.
        seed: Seed of the resampling.

    >>> unknown_ami_score([1, 1, 0, 0] * 9, [0, 0, 1, 1] * 9).value
    1.0
    """
    from sklearn.metrics import adjusted_mutual_info_score

    found = np.asarray(clusters, np.int64)
    origin = np.unique(np.asarray(sources), return_inverse=True)[1].astype(np.int64)
    kinds = np.arange(int(origin.max()) + 1)
    if len(kinds) < 2:
        return Score.missing("There is one unknown source only.", n=len(found))
    value = float(adjusted_mutual_info_score(origin, found))
    low, high = ami_interval(origin, found, kinds, value, np.random.default_rng(seed))
    return Score(value, min(low, value), max(high, value), n=len(found), chance=0.0)
