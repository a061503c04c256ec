"""Tests between two methods on the same images, and scores over seeds and folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.bootstrap import (
    LEVEL,
    REPEATS,
    macro_weights,
    percentile_interval,
    strata_means,
)
from fpbench.metrics.score import Floats, Ids, NotComputable, Score, check_ids

_EXACT_BELOW = 25  # discordant images
_NORMAL_HALFWIDTH = 1.959963984540054  # of a 95 % interval, in standard errors


@dataclass(frozen=True)
class Comparison:
    """A paired test of two methods on the same images.

    Attributes:
        difference: Score of the first less that of the second.
        ci_low: Lower end of the 95 % interval of the difference, or None.
        ci_high: Upper end, or None.
        p_value: Two-sided, of no difference.
        n: Images.
        test: Which test was made.
    """

    difference: float
    ci_low: float | None
    ci_high: float | None
    p_value: float
    n: int
    test: Literal["paired bootstrap", "McNemar exact", "McNemar mid-p"]


def mcnemar(first: ArrayLike, second: ArrayLike) -> Comparison:
    """McNemar's test: do two methods get equally many of the same images right?

    Of the images that one method alone gets right, half should be either's. With b of them the
    first's and c the second's, ``p = 2 P(X ≤ min(b, c))``, X binomial with b + c trials of ½.
    Below 25 such images that exact p-value is given; from there on its mid-p version, which
    counts the observed split half and is less conservative (Fagerland et al., 2013). Images are
    pooled: with unequal numbers a source, use `paired_bootstrap` for balanced accuracy.

    Args:
        first: bool (N,), whether the first method is right.
        second: bool (N,), of the same images in the same order.

    Raises:
        ValueError: If shapes differ or values are not 0 or 1.
        NotComputable: If there is no image.

    >>> result = mcnemar([1] * 10 + [0] * 5, [0] * 10 + [0] * 4 + [1])
    >>> result.test, round(result.p_value, 4)
    ('McNemar exact', 0.0117)
    """
    from scipy.stats import binom

    a, b = _pair(first, second)
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise ValueError("McNemar's test takes right (1) or wrong (0)")
    only_a, only_b = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    discordant, fewer = only_a + only_b, min(only_a, only_b)
    p = 2 * float(binom.cdf(fewer, discordant, 0.5))
    exact = discordant < _EXACT_BELOW
    if not exact:
        p -= float(binom.pmf(fewer, discordant, 0.5))
    return Comparison(
        float(a.mean() - b.mean()),
        None,
        None,
        min(1.0, p),
        len(a),
        "McNemar exact" if exact else "McNemar mid-p",
    )


def paired_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    classes: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    ids: Ids = None,
    seed: int = 0,
    repeats: int = 10 * REPEATS,
) -> Comparison:
    """Difference of two balanced scores on the same images, by resampling images.

    Each resample takes the same images for both methods, so what makes an image hard for both
    cancels. The p-value is twice the share of resamples in which the difference has changed
    sign or vanished, with one added above and below so that it is never 0; it agrees with the
    percentile interval.

    Args:
        first: Shape (N,), one number an image, e.g. correctness, averaged over seeds if several.
        second: Shape (N,), of the same images in the same order.
        classes: Shape (N,), averaged with equal weight, e.g. the images' sources.
        strata: Shape (N,), resampled within; by default the classes.
        ids: Distinct names of the images, if known.
        seed: Seed of the resampling.
        repeats: Number of resamples.

    Raises:
        ValueError: If shapes differ.
        NotComputable: If there is no image, one is listed twice or a number is not finite.

    >>> rng = np.random.default_rng(0)
    >>> y, hard = np.repeat([0, 1], 200), rng.random(400)
    >>> result = paired_bootstrap(hard < 0.7, hard < 0.6, y)
    >>> bool(0.05 < result.ci_low < result.ci_high < 0.15), result.p_value < 0.001
    (True, True)
    """
    a, b = _pair(first, second)
    check_ids(ids, len(a))
    keys = np.asarray(classes if strata is None else strata)
    if keys.shape != a.shape or np.asarray(classes).shape != a.shape:
        raise ValueError(f"{len(a)} images but classes or strata of shape {keys.shape}")
    gap = a - b
    weights = macro_weights(classes, keys)
    means = np.array([gap[keys == key].mean() for key in np.unique(keys)])
    difference = float(means @ weights)
    draws = strata_means(gap, keys, np.random.default_rng(seed), repeats) @ weights
    # Sums of counts over sizes miss exact zeros by rounding, which a tie must not hang on.
    draws[np.abs(draws) < 1e-12] = 0.0
    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    low, high = percentile_interval(draws)
    p = min(1.0, 2 * (tail + 1) / (repeats + 1))
    return Comparison(difference, low, high, p, len(a), "paired bootstrap")


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected for their number by Holm's step-down method.

    ``p̃_(i) = max_{j≤i} min(1, (m − j + 1) p_(j))``: rejecting where p̃ ≤ α keeps the chance of any
    false rejection at α, whatever the tests have to do with each other (Holm, 1979).

    Args:
        p_values: Shape (m,); NaN stands for a test that was not made and is not counted.

    Returns:
        Shape (m,), in the given order, NaN where there was none.

    Raises:
        ValueError: If a p-value is outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(p))
    if ((p[made] < 0) | (p[made] > 1)).any():
        raise ValueError("a p-value lies between 0 and 1")
    order = made[np.argsort(p[made], kind="stable")]
    corrected = np.full_like(p, np.nan)
    steps = np.arange(len(made), 0, -1) * p[order]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


def combine_seeds(scores: Sequence[Score]) -> Score:
    """Mean over seeds, with an interval for images and for seeds.

    Runs that differ by their seed share the test images, so more seeds do not average out what
    the images leave uncertain: ``se² = mean of the runs' own variances (from their intervals) +
    s²/S``, s² the variance between the S runs, with the degrees of freedom of Welch and
    Satterthwaite (S − 1 for the second part, none lost for the first).

    Args:
        scores: One a seed.

    Returns:
        The mean; the only score itself if there is one; without value if any has none.

    Raises:
        ValueError: If there is no score.

    >>> runs = [Score(0.5, 0.46, 0.54, 100, 0.1), Score(0.54, 0.5, 0.58, 100, 0.1)]
    >>> both = combine_seeds(runs)
    >>> round(both.value, 2), both.halfwidth > 0.04, both.n
    (0.52, True, 100)
    """
    merged = _start(scores)
    if merged is not None:
        return merged
    values = np.array([s.value for s in scores], dtype=np.float64)
    own = _own_variance(scores)
    return _spread(scores, values, own, float(values.var(ddof=1)) / len(values), scores[0].n)


def combine_folds(scores: Sequence[Score]) -> Score:
    """Mean over folds, whose test images are different ones.

    ``se² = max(Σ_f v_f / F², s²/F)``: the folds' own variances averaged, or the variance between
    folds where that is more, with F − 1 degrees of freedom. Folds share training images, so
    even this is rather too narrow.

    Args:
        scores: One a fold.

    Returns:
        The mean, n summed; the only score itself if there is one; without value if any has none.

    Raises:
        ValueError: If there is no score.

    >>> round(combine_folds([Score(0.5, 0.4, 0.6, 10), Score(0.6, 0.5, 0.7, 10)]).value, 2)
    0.55
    """
    merged = _start(scores)
    if merged is not None:
        return merged
    values = np.array([s.value for s in scores], dtype=np.float64)
    folds = len(values)
    own = _own_variance(scores) / folds
    between = float(values.var(ddof=1)) / folds
    return _spread(scores, values, 0.0, max(own, between), sum(s.n for s in scores))


def _start(scores: Sequence[Score]) -> Score | None:
    if not scores:
        raise ValueError("there is no score to combine")
    n = max(s.n for s in scores)
    for score in scores:
        if score.value is None:
            return Score.missing(f"A run has no value: {score.reason}", n, score.chance)
    return scores[0] if len(scores) == 1 else None


def _own_variance(scores: Sequence[Score]) -> float:
    halves = [s.halfwidth for s in scores]
    return float(np.mean([(h or 0.0) ** 2 for h in halves])) / _NORMAL_HALFWIDTH**2


def _spread(
    scores: Sequence[Score], values: Floats, sure: float, estimated: float, n: int
) -> Score:
    """Interval from a variance that is known well and one with len(values) − 1 degrees."""
    from scipy.stats import t

    value = float(values.mean())
    chances = {s.chance for s in scores}
    chance = chances.pop() if len(chances) == 1 else None
    if sure + estimated == 0:
        return Score(value, value, value, n, chance)
    freedom = np.inf
    if estimated > 0:
        freedom = (len(values) - 1) * ((sure + estimated) / estimated) ** 2
    half = float(t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(sure + estimated))
    return Score(value, value - half, value + half, n, chance)


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"the methods judged {a.shape} and {b.shape}; give the same images")
    if len(a) == 0:
        raise NotComputable("There is no image.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise NotComputable("Some values are not finite.")
    return a, b
