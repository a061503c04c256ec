"""One score from those of several seeds and folds, each end of its interval for itself.

The value is the mean. Intervals near a bound are lopsided (1.000 [0.996, 1.000]), so the distances
to the two ends are combined apart. Seeds share the test images: ``se² = mean of the runs' own
variances + s²/S``. Folds do not: ``se² = max(Σ v_f / F², s²/F)``. Where every interval is even,
this is what `fpbench.metrics.statistics.combine_seeds` and `combine_folds` give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fpbench.metrics.score import Score

_Z95 = 1.959963984540054


def combined(tables: Sequence[Sequence[Score]], highest: float = 1.0) -> Score:
    """One score over seeds (inner) and folds (outer).

    Args:
        tables: Scores of the seeds of each fold; a fixed split is one fold.
        highest: A score all of whose intervals lie within [0, `highest`] gets one that does.

    Raises:
        ValueError: If there is no score.
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
    ends = [end for s in parts for end in (s.ci_low, s.ci_high) if end is not None]
    if len(ends) < 2 * len(parts):
        return Score(value, n=count, chance=chance)
    below, above = (
        _folds([_seeds([_side(score, side) for score in seeds]) for seeds in tables])
        for side in (-1, 1)
    )
    low, high = value - below, value + above
    if min(ends) >= 0 and max(ends) <= highest:
        low, high = max(0.0, low), min(highest, high)
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
    """Half an interval, from a variance known well and one with ``runs − 1`` degrees of freedom.

    The degrees of both together are Welch's and Satterthwaite's.
    """
    # The bare quantile: importing scipy.stats takes longer than all of a build's tests.
    from scipy.special import stdtrit

    if sure + estimated == 0:
        return 0.0
    quantile = _Z95
    if estimated > 0:
        quantile = float(stdtrit((runs - 1) * ((sure + estimated) / estimated) ** 2, 0.975))
    return quantile * math.sqrt(sure + estimated)
