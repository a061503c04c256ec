"""Which known sources an image may come from, with a stated error: conformal prediction by source.

Vovk's Mondrian form (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005,
section 4.5), as ``docs/attribution.md`` uses it. An image conforms to source k as far as the method
gives it a high probability p_k. Its p-value for k compares that with what images known to be of k
were given::

    P_k(x) = (1 + #{calibration images i of k with p_k(i) ≤ p_k(x)}) / (n_k + 1)

which is the form with nonconformity s = 1 − p_k, without rounding that difference. If x is of
source k and exchangeable with k's calibration images, ``P(P_k(x) ≤ α) ≤ α``: the set
``{k : P_k(x) > α}`` misses the true source with probability at most α, for each source apart. The
probability is over the draw of the calibration images, too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.bags import log_proba, normalised
from fpbench.metrics.score import Floats, Integers

BAG_DRAWS = 1999
"""Subsets that stand for all where there are more."""

# Sums of one set of numbers in another order differ by less.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Calibration:
    """What a method says of images whose source is known, and which its fit did not see.

    Args:
        proba: Shape (n, K), columns in the order of sources.
        labels: int (n,), the column of each image's source.

    Raises:
        ValueError: If shapes or labels do not fit, or probabilities are not finite.

    >>> known = Calibration([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [0, 0, 1])
    >>> known.counts.tolist()
    [2, 1]
    >>> known.p_values([[0.7, 0.3]]).round(3).tolist()
    [[0.667, 0.5]]
    """

    proba: NDArray[np.floating]
    labels: Integers

    def __post_init__(self) -> None:
        proba, labels = np.asarray(self.proba), np.asarray(self.labels, dtype=np.int64)
        if proba.ndim != 2 or labels.shape != (len(proba),):
            raise ValueError(f"probabilities {proba.shape} do not fit labels {labels.shape}")
        if not np.isfinite(proba).all():
            raise ValueError("calibration probabilities are not finite")
        if len(labels) and not (0 <= labels.min() and labels.max() < proba.shape[1]):
            raise ValueError(f"labels must be from 0 to {proba.shape[1] - 1}")
        object.__setattr__(self, "proba", proba)
        object.__setattr__(self, "labels", labels)
        scores = [np.sort(proba[labels == k, k]) for k in range(proba.shape[1])]
        object.__setattr__(self, "_scores", scores)

    @property
    def counts(self) -> Integers:
        """Calibration images n_k of each source."""
        return np.bincount(self.labels, minlength=self.proba.shape[1]).astype(np.int64)

    @property
    def smallest(self) -> Floats:
        """The smallest p-value that each source can be given, ``1 / (n_k + 1)``."""
        smallest: Floats = 1 / (self.counts + 1)
        return smallest

    def of_source(self, k: int) -> NDArray[np.floating]:
        """Probabilities (n_k, K) of the calibration images of one source."""
        own: NDArray[np.floating] = self.proba[self.labels == k]
        return own

    def p_values(self, proba: ArrayLike) -> Floats:
        """P-values of images, one a source.

        Args:
            proba: Shape (N, K), of the same method.

        Returns:
            Shape (N, K), in (0, 1]; 1 for a source without calibration images, which nothing can
            speak against.

        Raises:
            ValueError: If shapes do not fit, or probabilities are not finite.
        """
        p = np.asarray(proba)
        if p.ndim != 2 or p.shape[1] != self.proba.shape[1]:
            raise ValueError(f"probabilities {p.shape} are not of {self.proba.shape[1]} sources")
        if not np.isfinite(p).all():
            raise ValueError("probabilities are not finite")
        scores: list[NDArray[np.floating]] = vars(self)["_scores"]
        found = np.empty(p.shape)
        for k, own in enumerate(scores):
            found[:, k] = (1 + np.searchsorted(own, p[:, k], side="right")) / (len(own) + 1)
        return found

    def bag_p_values(self, proba: ArrayLike, *, seed: int = 0, draws: int = BAG_DRAWS) -> Floats:
        """P-values of images that are all of one source, judged together: shape (K,).

        See `bag_p_value`; the subsets of every source are drawn from the same seed.

        Raises:
            ValueError: If shapes do not fit, or there is no image.
        """
        return np.array(
            [
                bag_p_value(self.of_source(k), proba, k, seed=seed, draws=draws)
                for k in range(self.proba.shape[1])
            ]
        )


def possible_sources(p_values: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """The sources that are not ruled out, ``P_k > α``, in the shape of `p_values`.

    >>> possible_sources([0.05, 0.1, 0.2], 0.1).tolist()
    [False, False, True]

    Raises:
        ValueError: Unless 0 < α < 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"an error of {alpha} is none between 0 and 1")
    possible: NDArray[np.bool_] = np.asarray(p_values) > alpha
    return possible


def bag_p_value(
    known: ArrayLike,
    bag: ArrayLike,
    column: int,
    *,
    seed: int = 0,
    draws: int = BAG_DRAWS,
) -> float:
    """P-value for all images of a bag being of the source that `column` stands for.

    The bag's score is its normalised mean log-probability of that source (`bag_log_proba`). If
    its N images are of the source, they and the n calibration images are exchangeable, so the
    bag is as likely as any other N of the n + N to have the lowest score. The p-value is the
    share of such subsets, the bag itself among them, that score no higher; all are compared where
    there are at most ``draws + 1``, else `draws` drawn at random and the bag. Either way
    ``P(p ≤ α) ≤ α`` (a permutation test; Hemerik and Goeman 2018 for random subsets). For N = 1
    it is the p-value of `Calibration.p_values`, where a column alone decides the score.

    Args:
        known: Probabilities (n, K) of calibration images of the source.
        bag: Probabilities (N, K).
        column: The source.
        seed: Seed of the subsets.
        draws: Subsets at most.

    Returns:
        In (0, 1]; 1 without calibration images. It is never below `smallest_bag_p_value`.

    Raises:
        ValueError: If shapes do not fit, or there is no image in the bag.

    >>> calm = np.full((9, 2), 0.5)
    >>> bag_p_value(calm, [[0.1, 0.9]], 0), bag_p_value(calm, [[0.5, 0.5]], 0)
    (0.1, 1.0)
    """
    rest, own = np.asarray(known), np.asarray(bag)
    if own.ndim != 2 or rest.ndim != 2 or own.shape[1] != rest.shape[1] or not len(own):
        raise ValueError(f"a bag {own.shape} cannot be compared with images {rest.shape}")
    log = log_proba(np.concatenate([own, rest]))
    count, pool = len(own), len(log)
    total = log.sum(axis=0)

    def scores(chosen: Integers) -> Floats:
        """Scores of subsets, given by their positions or, if these are fewer, by the others'."""
        sums = log[chosen].sum(axis=1)
        if chosen.shape[1] != count:
            sums = total - sums
        score: Floats = normalised(sums / count)[:, column]
        return score

    fewer = min(count, pool - count)
    if fewer == 0:
        return 1.0
    observed = normalised(log[:count].mean(axis=0)[None])[0, column]
    reach = observed + _ROUNDING * max(1.0, abs(float(observed)))
    if math.comb(pool, count) <= draws + 1:
        every = np.array(list(itertools.combinations(range(pool), fewer)), dtype=np.int64)
        return float(np.mean(scores(every) <= reach))
    rng = np.random.default_rng(seed)
    below = 0
    step = max(1, (1 << 22) // (fewer * log.shape[1]))
    for start in range(0, draws, step):
        chosen = np.stack(
            [
                rng.choice(pool, fewer, replace=False, shuffle=False)
                for _ in range(min(step, draws - start))
            ]
        )
        below += int((scores(chosen) <= reach).sum())
    return (1 + below) / (draws + 1)


def smallest_bag_p_value(known: int, images: int, draws: int = BAG_DRAWS) -> float:
    """The smallest p-value that `bag_p_value` can give; a smaller α rules out nothing.

    Args:
        known: Calibration images of the source.
        images: Images in the bag.
        draws: As there.

    >>> smallest_bag_p_value(20, 1) == 1 / 21, smallest_bag_p_value(20, 10) == 1 / 2000
    (True, True)
    """
    return 1 / min(math.comb(known + images, images), draws + 1)


def miss_rate(known: int, alpha: float) -> float:
    """The largest share of a source's images that is missed on average: ``⌊α (n + 1)⌋ / (n + 1)``.

    >>> miss_rate(20, 0.1) == 2 / 21, miss_rate(8, 0.1)
    (True, 0.0)
    """
    return _rejected(known, alpha) / (known + 1)


def coverage_interval(
    known: int, tested: int, alpha: float, level: float = 0.95
) -> tuple[float, float]:
    """Where the coverage of one source lies, if its images are exchangeable and none tie.

    Of `tested` further images the number that is not missed is beta-binomial: calibration on n
    images fixes a threshold whose coverage is Beta(n + 1 − l, l), ``l = ⌊α (n + 1)⌋`` (Vovk,
    Conditional validity of inductive conformal predictors, 2012). Ties raise it.

    Args:
        known: Calibration images n of the source.
        tested: Test images.
        alpha: The error.
        level: Probability of the interval, half of the rest on either side.

    Returns:
        Lower and upper end, as shares of `tested`.

    >>> coverage_interval(8, 100, 0.1)
    (1.0, 1.0)
    >>> low, high = coverage_interval(20, 150, 0.1)
    >>> round(low, 2), round(high, 2)
    (0.74, 0.99)
    """
    from scipy.stats import betabinom

    rejected = _rejected(known, alpha)
    if rejected == 0:
        return 1.0, 1.0
    law = betabinom(tested, known + 1 - rejected, rejected)
    low, high = law.ppf((1 - level) / 2), law.ppf((1 + level) / 2)
    return float(low) / tested, float(high) / tested


def _rejected(known: int, alpha: float) -> int:
    """How many of the n + 1 ranks are ruled out: the most r with ``r / (n + 1) ≤ α``."""
    ranks = np.arange(1, known + 2) / (known + 1)
    return int((ranks <= alpha).sum())


@dataclass(frozen=True)
class SetCounts:
    """What sets of possible sources came to on images of one source.

    Attributes:
        images: Images judged.
        covered: Of these, how many have their source in the set.
        single: How many sets name one source.
        right: How many name one source, and that is theirs.
        empty: How many are empty.
    """

    images: int
    covered: int
    single: int
    right: int
    empty: int


def count_sets(possible: ArrayLike, column: int | None) -> SetCounts:
    """Count sets of images that are all of one source.

    Args:
        possible: bool (N, K), of `possible_sources`.
        column: Their source, or None for one that is not among the K.

    >>> count_sets([[True, False], [True, True], [False, False]], 0)
    SetCounts(images=3, covered=2, single=1, right=1, empty=1)
    """
    sets = np.asarray(possible, dtype=bool)
    sizes = sets.sum(axis=1)
    own = np.zeros(len(sets), bool) if column is None else sets[:, column]
    return SetCounts(
        len(sets),
        int(own.sum()),
        int((sizes == 1).sum()),
        int((own & (sizes == 1)).sum()),
        int((sizes == 0).sum()),
    )


def pooled(counts: Sequence[SetCounts]) -> SetCounts:
    """Counts of several sources together."""
    return SetCounts(
        sum(c.images for c in counts),
        sum(c.covered for c in counts),
        sum(c.single for c in counts),
        sum(c.right for c in counts),
        sum(c.empty for c in counts),
    )
