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
