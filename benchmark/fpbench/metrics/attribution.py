"""Attribution of single images: balanced accuracy, confusion matrix, area under the ROC curve.

Notation: N test images with labels y, probabilities p of shape (N, K) with columns in the order
of sources, C of the K sources judged (the generators, or all), n_c images of source c.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.bootstrap import (
    REPEATS,
    macro_mean_interval,
    multiplicities,
    percentile_interval,
    unseen_rate,
)
from fpbench.metrics.predictions import check_predictions, columns_of, correctness, restrict
from fpbench.metrics.score import Floats, Ids, Integers, NotComputable, Score


def judged(
    labels: ArrayLike,
    proba: ArrayLike,
    real: int | None,
    with_real: bool = False,
    ids: Ids = None,
) -> tuple[Integers, Floats]:
    """The images and columns that a score is made from: of generators only, or of all sources.

    Returns:
        Labels from 0 to C−1 of shape (N′,) and probabilities of shape (N′, C), renormalised.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If there are fewer than two sources, a source has fewer than two images,
            probabilities are none, or images are listed twice.
    """
    y, p = check_predictions(labels, proba, real, ids)
    return restrict(y, p, columns_of(p.shape[1], real, with_real))


def image_correctness(
    labels: ArrayLike, proba: ArrayLike, real: int | None, with_real: bool = False
) -> tuple[Floats, Integers]:
    """Which images are attributed correctly, for comparisons of methods.

    Returns:
        Correctness in [0, 1] of shape (N′,) (a shared highest probability counts 1/t) and the
        labels from 0 to C−1 of shape (N′,), in the order of the images that are judged.

    Raises:
        ValueError: As `judged`.
    """
    y, p = judged(labels, proba, real, with_real)
    return correctness(y, p), y


def _balanced(labels: Integers, proba: Floats) -> float:
    hits = np.bincount(labels, weights=correctness(labels, proba))
    return float((hits / np.bincount(labels)).mean())


def accuracy(labels: ArrayLike, proba: ArrayLike, real: int | None) -> float:
    """Balanced accuracy among generators, the headline: ``1/C Σ_c 1/n_c Σ_{y_n=c} [ŷ_n = c]``.

    Images of Real are left out and ŷ is the highest probability among generator columns, so a
    method gains nothing from telling real from generated images.

    Range [0, 1], chance 1/C. A shared highest probability counts 1/t. Equals scikit-learn's
    ``balanced_accuracy_score`` of the argmax where no image has a shared highest probability.

    Args:
        labels: int (N,), column of each image's source.
        proba: float (N, K), columns in the order of sources.
        real: Column of Real, or None.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If these inputs define no accuracy; the message says why.

    >>> proba = [[0.6, 0.3, 0.1], [0.2, 0.1, 0.7], [0.1, 0.5, 0.4], [0.1, 0.8, 0.1]]
    >>> accuracy([0, 0, 1, 1], proba, real=2)
    1.0
    """
    return _balanced(*judged(labels, proba, real))


def accuracy_with_real(labels: ArrayLike, proba: ArrayLike, real: int | None) -> float:
    """Balanced accuracy among all K sources, Real being one of them; chance 1/K.

    Raises:
        ValueError: As `accuracy`.

    >>> proba = [[0.6, 0.4], [0.2, 0.8], [0.1, 0.9], [0.1, 0.9]]
    >>> accuracy_with_real([0, 0, 1, 1], proba, real=1)
    0.75
    """
    return _balanced(*judged(labels, proba, real, with_real=True))


def confusion_matrix(
    labels: ArrayLike, proba: ArrayLike, real: int | None, with_real: bool = True
) -> Floats:
    """How many images of each source (rows) are attributed to each source (columns).

    A shared highest probability counts 1/t in each of its t columns; the diagonal over the row
    sums averages to the accuracy.

    Returns:
        Shape (C, C), columns in the order of sources.

    Raises:
        ValueError: As `accuracy`.

    >>> proba = [[0.6, 0.4], [0.2, 0.8], [0.1, 0.9], [0.1, 0.9]]
    >>> confusion_matrix([0, 0, 1, 1], proba, None).tolist()
    [[1.0, 1.0], [0.0, 2.0]]
    """
    y, p = judged(labels, proba, real, with_real)
    best = p == p.max(axis=1, keepdims=True)
    matrix = np.zeros((p.shape[1], p.shape[1]))
    np.add.at(matrix, y, best / best.sum(axis=1, keepdims=True))
    return matrix


def accuracy_score(
    labels: ArrayLike,
    proba: ArrayLike,
    real: int | None,
    *,
    with_real: bool = False,
    seed: int = 0,
    repeats: int = REPEATS,
    ids: Ids = None,
) -> Score:
    """`accuracy` (or `accuracy_with_real`) with its bootstrap interval over images.

    Where every image is right, or wrong, the far end is the exact binomial limit.

    >>> score = accuracy_score([0, 1] * 50, [[0.6, 0.4], [0.2, 0.8]] * 50, None)
    >>> score.value, round(score.ci_low, 3), score.ci_high, score.n, score.chance
    (1.0, 0.964, 1.0, 100, 0.5)
    """
    try:
        y, p = judged(labels, proba, real, with_real, ids)
        value, low, high = macro_mean_interval(correctness(y, p), y, seed=seed, repeats=repeats)
    except NotComputable as reason:
        return Score.missing(str(reason), n=len(np.asarray(labels)))
    return Score(value, low, high, n=len(y), chance=1 / p.shape[1])


class _Ranking:
    """How one score ranks positive images against negative ones, for any weights of images.

    Only where negatives lie among the positives matters: before the k-th of their m different
    values, at it, or behind the last, which makes 2m + 1 slots.

    Args:
        positive: bool (N,).
        score: float (N,).
    """

    def __init__(self, positive: NDArray[np.bool_], score: Floats) -> None:
        from scipy.sparse import csr_array

        values, place = np.unique(score[positive], return_inverse=True)
        others = score[~positive]
        self._slots = 2 * len(values) + 1
        row = np.empty(len(score), np.int64)
        row[positive] = self._slots + place
        row[~positive] = np.searchsorted(values, others, "left")
        row[~positive] += np.searchsorted(values, others, "right")
        images = np.arange(len(score))
        self._adding = csr_array(
            (np.ones(len(score), np.int32), (row, images)),
            shape=(self._slots + len(values), len(score)),
        )

    def areas(self, weights: _Weights) -> Floats:
        """Areas under the ROC curve of weighted images, shape (R,); ties count one half.

        Args:
            weights: Shape (N, R), of `_narrow`.
        """
        added = self._adding @ weights
        below, positive = added[: self._slots], added[self._slots :]
        np.cumsum(below, axis=0, out=below)
        pairs = np.einsum("pr,pr->r", positive, below[:-1:2] + below[1::2])
        area: Floats = pairs / (2.0 * positive.sum(axis=0) * below[-1])
        return area


_Weights = NDArray[np.int32] | NDArray[np.int64] | Floats


def weighted_auc(
    positive: Floats,
    negative: Floats,
    w_positive: NDArray[np.integer] | Floats,
    w_negative: NDArray[np.integer] | Floats,
) -> Floats:
    """Area under the ROC curve of each of R resamples, ties counting one half.

    Args:
        positive: Shape (P,), what should be high.
        negative: Shape (Q,), what should be low.
        w_positive: Shape (P, R), weight of each in each resample, e.g. how often it was drawn.
        w_negative: Shape (Q, R).

    Returns:
        Shape (R,).

    >>> ones = np.ones((2, 1))
    >>> weighted_auc(np.array([0.9, 0.4]), np.array([0.4, 0.1]), ones, ones).tolist()
    [0.875]
    """
    own = np.arange(len(positive) + len(negative)) < len(positive)
    ranking = _Ranking(own, np.concatenate([positive, negative]))
    weights = np.concatenate([w_positive, w_negative])
    whole = np.issubdtype(weights.dtype, np.integer)
    return ranking.areas(_narrow(weights) if whole else weights)


def _narrow(weights: NDArray[np.integer]) -> _Weights:
    """Weights (N, R) in as many bytes as twice the number of weighted pairs needs."""
    most = int(weights.sum(axis=0, dtype=np.int64).max()) ** 2 // 2
    return weights.astype(np.int32) if most < 2**31 else weights.astype(np.int64)


def _rankings(labels: Integers, proba: Floats) -> list[_Ranking]:
    """One source against the rest, for each source."""
    return [_Ranking(labels == c, proba[:, c]) for c in range(proba.shape[1])]


def _macro_auc(rankings: Sequence[_Ranking], weights: NDArray[np.integer]) -> Floats:
    """Mean over sources of one source against the rest; shape (R,)."""
    narrow = _narrow(weights)
    mean: Floats = np.mean([ranking.areas(narrow) for ranking in rankings], axis=0)
    return mean


def _once(images: int) -> Integers:
    """Weights that count every image once, shape (N, 1)."""
    return np.ones((images, 1), dtype=np.int64)


def auc(labels: ArrayLike, proba: ArrayLike, real: int | None) -> float:
    """Macro one-versus-rest area under the ROC curve among generators.

    ``1/C Σ_c P(p_c(x) > p_c(x′)) + ½ P(p_c(x) = p_c(x′))`` for x of source c and x′ of another
    generator, with generator columns renormalised to sum to 1. Equals scikit-learn's
    ``roc_auc_score(y, p, multi_class="ovr", average="macro")``. Range [0, 1], chance ½.

    Args:
        labels: int (N,), column of each image's source.
        proba: float (N, K), columns in the order of sources.
        real: Column of Real, or None.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If these inputs define no area; the message says why.

    >>> auc([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]], None)
    0.75
    """
    y, p = judged(labels, proba, real)
    return float(_macro_auc(_rankings(y, p), _once(len(y)))[0])


def auc_with_real(labels: ArrayLike, proba: ArrayLike, real: int | None) -> float:
    """As `auc`, among all K sources, Real being one of them.

    Raises:
        ValueError: As `auc`.

    >>> auc_with_real([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]], 1)
    0.75
    """
    y, p = judged(labels, proba, real, with_real=True)
    return float(_macro_auc(_rankings(y, p), _once(len(y)))[0])


def _real_or_generated(
    labels: ArrayLike, proba: ArrayLike, real: int | None, ids: Ids = None
) -> tuple[Integers, Floats]:
    y, p = check_predictions(labels, proba, real, ids)
    if real is None:
        raise NotComputable("No source is Real.")
    count = int((y == real).sum())
    if min(count, len(y) - count) < 2:
        raise NotComputable(
            f"There are {count} real and {len(y) - count} generated images; two of each are needed."
        )
    return y, p[:, real]


def auc_real(labels: ArrayLike, proba: ArrayLike, real: int | None) -> float:
    """Area under the ROC curve of real against generated images, scored by p_Real.

    ``P(p_Real(real) > p_Real(generated)) + ½ P(equal)``: above ½ the method is right. Range
    [0, 1], chance ½. Generated images are pooled, so sources weigh by their images.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If no source is Real or one side has fewer than two images.

    >>> auc_real([0, 0, 1, 1], [[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]], 1)
    0.75
    """
    y, score = _real_or_generated(labels, proba, real)
    return float(_macro_auc([_Ranking(y == real, score)], _once(len(y)))[0])


def auc_score(
    labels: ArrayLike,
    proba: ArrayLike,
    real: int | None,
    *,
    with_real: bool = False,
    seed: int = 0,
    repeats: int = REPEATS,
    ids: Ids = None,
) -> Score:
    """`auc` (or `auc_with_real`) with its bootstrap interval over images.

    Where sources are told apart without fault the lower end is ``1 − 2r``, r being the
    binomial limit on the rate of images that no test image has shown: in the worst case such an
    image ranks below all in its own column and above all in the others.

    >>> score = auc_score([0, 1] * 50, [[0.6, 0.4], [0.2, 0.8]] * 50, None)
    >>> score.value, round(score.ci_low, 3), score.chance
    (1.0, 0.928, 0.5)
    """
    try:
        y, p = judged(labels, proba, real, with_real, ids)
    except NotComputable as reason:
        return Score.missing(str(reason), n=len(np.asarray(labels)), chance=0.5)
    rankings = _rankings(y, p)
    draws = np.concatenate([_macro_auc(rankings, w) for w in multiplicities(y, seed, repeats)])
    value = float(_macro_auc(rankings, _once(len(y)))[0])
    low, high = percentile_interval(draws)
    if value == 1:
        low = max(0.0, 1 - 2 * unseen_rate(int(np.bincount(y).min()) * p.shape[1]))
    return Score(value, low, high, n=len(y), chance=0.5)


def auc_real_score(
    labels: ArrayLike,
    proba: ArrayLike,
    real: int | None,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    ids: Ids = None,
) -> Score:
    """`auc_real` with its bootstrap interval over images, resampled within each source.

    >>> auc_real_score([0, 1] * 50, [[0.6, 0.4], [0.2, 0.8]] * 50, None).reason
    'No source is Real.'
    """
    try:
        y, score = _real_or_generated(labels, proba, real, ids)
    except NotComputable as reason:
        return Score.missing(str(reason), n=len(np.asarray(labels)), chance=0.5)
    own = y == real
    ranking = [_Ranking(own, score)]
    draws = np.concatenate([_macro_auc(ranking, w) for w in multiplicities(y, seed, repeats)])
    value = float(_macro_auc(ranking, _once(len(y)))[0])
    low, high = percentile_interval(draws)
    if value == 1:
        low = 1 - unseen_rate(int(min(own.sum(), (~own).sum())))
    return Score(value, low, high, n=len(y), chance=0.5)
