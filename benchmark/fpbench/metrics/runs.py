"""One score from those of several runs: seeds, which share the test images, and folds.

The value is the mean. Intervals near a bound are lopsided (1.000 [0.996, 1.000]), so the distances
to the two ends are combined apart, each as the half-width of a 95 % interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fpbench.metrics.bootstrap import LEVEL
from fpbench.metrics.score import Score

_Z95 = 1.959963984540054  # normal half-width of a 95 % interval, in standard errors
_MOST = 0.995  # quantile of the widest interval of another run, 99 % two-sided


def combine(
    tables: Sequence[Sequence[Score]], *, lower: float = -math.inf, upper: float = math.inf
) -> Score:
    """One score over seeds (inner) and folds (outer), with an interval for images and for runs.

    Seeds share the test images, so more of them do not average out what the images leave
    uncertain: ``se² = mean of the runs' own variances + s²/S``, s² the variance between the S
    runs, with the degrees of freedom of Welch and Satterthwaite (S − 1 for the second part, none
    lost for the first). Folds have test images of their own: ``se² = max(Σ_f v_f / F², s²/F)``
    with F − 1 degrees. Folds share training images, so even this is rather too narrow.

    Args:
        tables: Scores of the seeds of each fold; a fixed split is one fold.
        lower: Lowest value that the score can have, which no interval passes.
        upper: Highest value.

    Returns:
        The mean, n being summed over folds; the only score itself if there is one; without
        interval if any has none; without value if any has none.

    Raises:
        ValueError: If there is no score.

    >>> runs = [Score(0.5, 0.46, 0.54, 100, 0.1), Score(0.54, 0.5, 0.58, 100, 0.1)]
    >>> both = combine([runs], lower=0.0, upper=1.0)
    >>> round(both.value, 2), both.halfwidth > 0.04, both.n
    (0.52, True, 100)
    >>> sure = Score(1.0, 0.9, 1.0, 50, 0.25)
    >>> both = combine([[sure, sure]], lower=0.0, upper=1.0)
    >>> both.ci_low, both.ci_high
    (0.9, 1.0)
    """
    parts = [score for seeds in tables for score in seeds]
    if not parts:
        raise ValueError("there is no score to combine")
    if len(parts) == 1:
        return parts[0]
    chances = {score.chance for score in parts}
    chance = chances.pop() if len(chances) == 1 else None
    count = sum(max(score.n for score in seeds) for seeds in tables)
    for score in parts:
        if score.value is None:
            return Score.missing(f"A run has no value: {score.reason}", count, score.chance)
    value = _mean([_mean([score.value or 0.0 for score in seeds]) for seeds in tables])
    if any(score.ci_low is None for score in parts):
        return Score(value, n=count, chance=chance)
    below, above = (
        _folds([_seeds([_side(score, side) for score in seeds]) for seeds in tables])
        for side in (-1, 1)
    )
    low, high = max(lower, value - below), min(upper, value + above)
    return Score(value, min(low, value), max(high, value), count, chance)


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _variance(numbers: Sequence[float]) -> float:
    mean = _mean(numbers)
    return math.fsum((x - mean) ** 2 for x in numbers) / (len(numbers) - 1)


def _side(score: Score, side: int) -> tuple[float, float]:
    """Value of a score, and its distance to one end of its interval."""
    value, low, high = score.value or 0.0, score.ci_low or 0.0, score.ci_high or 0.0
    return value, max(0.0, value - low if side < 0 else high - value)


def _seeds(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    if len(parts) == 1:
        return parts[0]
    own = _mean([half**2 for _, half in parts]) / _Z95**2
    between = _variance([value for value, _ in parts]) / len(parts)
    return _mean([value for value, _ in parts]), _half(own, between, len(parts))


def _folds(parts: Sequence[tuple[float, float]]) -> float:
    if len(parts) == 1:
        return parts[0][1]
    own = _mean([half**2 for _, half in parts]) / _Z95**2 / len(parts)
    between = _variance([value for value, _ in parts]) / len(parts)
    return _half(0.0, max(own, between), len(parts))


def _half(sure: float, estimated: float, runs: int) -> float:
    """Half an interval, from a variance known well and one with ``runs − 1`` degrees of freedom."""
    # The bare quantile: importing scipy.stats takes longer than all of a board.
    from scipy.special import stdtrit

    if sure + estimated == 0:
        return 0.0
    quantile = _Z95
    if estimated > 0:
        freedom = (runs - 1) * ((sure + estimated) / estimated) ** 2
        quantile = float(stdtrit(freedom, (1 + LEVEL) / 2))
    return quantile * math.sqrt(sure + estimated)


def next_run(values: Sequence[float], deviation: float, together: int = 1) -> tuple[float, float]:
    """Where the score of one more run on the same test images lies, if it is a run like the others.

    Of S runs with mean m and standard deviation s the next one lies, with probability 1 − α, in
    ``m ± t_{S−1}(1 − α/2) s √(1 + 1/S)``, the prediction interval of a normal sample (Whitmore,
    1986). The images are the same, so what they leave uncertain is no part of it. The range of the
    runs is no such interval: of S + 1 runs alike the last lies outside the range of the others with
    probability 2 / (S + 1), half of the time for three. With `together` scores of one run, α is
    0.05 over their number (Bonferroni), so that a run like the others has all of them inside 19
    times of 20.

    Student's quantile of one or two degrees of freedom excuses nearly anything, and one run has no
    deviation. So the interval is at most that of a deviation known beforehand, the larger of s and
    `deviation`, at 99 %.

    Args:
        values: Scores of S runs, S at least 1.
        deviation: Standard deviation between runs that is taken where runs do not tell.
        together: How many scores of a run are judged at once.

    Raises:
        ValueError: If there is no run.

    >>> low, high = next_run([0.80, 0.81, 0.82, 0.80, 0.81], 0.055)
    >>> round(low, 3), round(high, 3)
    (0.783, 0.833)
    >>> low, high = next_run([0.80], 0.01)
    >>> round(high - 0.80, 3)  # 2.576 √2 0.01
    0.036
    """
    from scipy.special import ndtri, stdtrit

    if not values:
        raise ValueError("there is no run to predict another from")
    runs, mean = len(values), _mean(values)
    spread = math.sqrt(_variance(values)) if runs > 1 else 0.0
    half = float(ndtri(_MOST)) * max(spread, deviation)
    if runs > 1:
        half = min(half, float(stdtrit(runs - 1, 1 - (1 - LEVEL) / 2 / together)) * spread)
    half *= math.sqrt(1 + 1 / runs)
    return mean - half, mean + half
