"""One score from several runs."""

import numpy as np
import pytest
from scipy import stats

from fpbench.metrics.runs import combine, next_run
from fpbench.metrics.score import Score


def test_one_run_is_its_own_mean_and_a_missing_one_is_told():
    one = Score(0.5, 0.4, 0.6, 10, 0.1)
    assert combine([[one]]) is one
    lost = Score.missing("No images.")
    for tables in ([[one, lost]], [[one], [lost]]):
        assert combine(tables).reason == "A run has no value: No images."
    with pytest.raises(ValueError, match="no score"):
        combine([[]])


def test_a_mean_of_runs_without_interval_has_none():
    assert combine([[Score(0.5, n=9), Score(0.7, n=9)]]) == Score(0.6, n=9)


def test_three_runs_by_hand():
    """Three runs, of which three places of the code used to give three intervals."""
    runs = [
        Score(0.95, 0.90, 0.98, 50, 0.1),
        Score(0.93, 0.87, 0.965, 50, 0.1),
        Score(0.97, 0.93, 0.99, 50, 0.1),
    ]
    both = combine([runs], lower=0.0, upper=1.0)
    sides = []
    for halves in ([0.05, 0.06, 0.04], [0.03, 0.035, 0.02]):
        own = np.mean(np.square(halves)) / stats.norm.ppf(0.975) ** 2
        between = np.var([0.95, 0.93, 0.97], ddof=1) / 3
        freedom = 2 * ((own + between) / between) ** 2
        sides.append(stats.t.ppf(0.975, freedom) * np.sqrt(own + between))
    assert both.value == pytest.approx(0.95)
    assert (both.ci_low, both.ci_high) == pytest.approx((0.95 - sides[0], 0.95 + sides[1]))
    assert (round(both.ci_low, 3), round(both.ci_high, 3)) == (0.894, 0.990)
    assert (both.n, both.chance) == (50, 0.1)


def test_seeds_that_agree_leave_the_interval_of_the_images():
    runs = [Score(0.5, 0.4, 0.6, 10, 0.1)] * 4
    both = combine([runs])
    assert (both.ci_low, both.ci_high, both.n) == pytest.approx((0.4, 0.6, 10))
    assert both.chance == 0.1
    folds = combine([[run] for run in runs])
    assert folds.n == 40
    assert folds.halfwidth == pytest.approx(0.05 / 1.96 * stats.t.ppf(0.975, 3), rel=1e-3)


def test_folds_are_combined_from_their_seeds():
    rng = np.random.default_rng(0)
    scores = [
        Score(float(v), float(v - h), float(v + h), 50, 0.1)
        for v, h in zip(rng.uniform(2, 3, 6), rng.uniform(0.01, 0.2, 6), strict=True)
    ]
    tables = [scores[:2], scores[2:4], scores[4:]]
    both, inner = combine(tables), [combine([seeds]) for seeds in tables]
    assert both.n == 150
    assert (both.value, both.ci_low, both.ci_high) == pytest.approx(
        (lambda s: (s.value, s.ci_low, s.ci_high))(combine([[score] for score in inner]))
    )


def test_intervals_keep_their_sides_and_end_at_the_bounds():
    sure = [Score(1.0, 0.996, 1.0, 100, 0.1), Score(1.0, 0.994, 1.0, 100, 0.1)]
    both = combine([sure], lower=0.0, upper=1.0)
    assert (both.value, both.ci_high) == (1.0, 1.0)
    assert 0.994 <= both.ci_low <= 0.996
    wide = combine([[Score(5.0, 4.0, 9.0, 10)], [Score(6.0, 5.0, 10.0, 10)]])
    assert wide.value - wide.ci_low < wide.ci_high - wide.value
    apart = [Score(0.5, 0.4, 0.6, 10), Score(0.9, 0.8, 1.0, 10)]
    free, held = combine([apart]), combine([apart], lower=0.0, upper=1.0)
    assert free.ci_low < 0 and free.ci_high > 1
    assert (held.ci_low, held.ci_high) == (0.0, 1.0)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_over_seeds_cover(seeds):
    """A run's value is the truth + an error of the shared images + one of its own seed."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        values = 0.5 + 0.02 * rng.normal() + 0.02 * rng.normal(size=seeds)
        half = 1.96 * 0.02
        got = combine([[Score(v, v - half, v + half, 10) for v in values]])
        hits += got.ci_low <= 0.5 <= got.ci_high
    assert 0.93 <= hits / 2000 <= 0.99


def test_intervals_over_folds_cover():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        values = 0.5 + 0.02 * rng.normal(size=5)
        half = 1.96 * 0.02
        got = combine([[Score(v, v - half, v + half, 10)] for v in values])
        hits += got.ci_low <= 0.5 <= got.ci_high
    assert 0.93 <= hits / 2000 <= 0.995


@pytest.mark.parametrize(("seeds", "together"), [(4, 1), (5, 1), (8, 1), (8, 10)])
def test_another_run_lies_inside_as_often_as_it_should(seeds: int, together: int):
    """Scores of a run vary independently here, which is the least favourable."""
    rng = np.random.default_rng(seeds)
    inside = 0
    for _ in range(2000):
        drawn = rng.normal(0.8, 0.02, (together, seeds + 1))
        spans = [next_run(list(row[:-1]), 10.0, together) for row in drawn]
        inside += all(low <= row[-1] <= high for (low, high), row in zip(spans, drawn, strict=True))
    assert inside / 2000 == pytest.approx(0.95, abs=0.016)


def test_the_interval_of_another_run_is_the_prediction_interval_of_a_normal_sample():
    values = [0.81, 0.84, 0.79, 0.83, 0.8, 0.82]
    low, high = next_run(values, 10.0)
    half = stats.t.ppf(0.975, 5) * np.std(values, ddof=1) * np.sqrt(1 + 1 / 6)
    assert (low, high) == pytest.approx((np.mean(values) - half, np.mean(values) + half))


def test_few_runs_excuse_no_more_than_a_known_deviation():
    wide = stats.norm.ppf(0.995)
    low, high = next_run([0.80], 0.055)
    assert (high - low) / 2 == pytest.approx(wide * 0.055 * np.sqrt(2))
    low, high = next_run([0.80, 0.84], 0.01, 20)  # Student's of one degree would be 360
    assert (high - low) / 2 == pytest.approx(wide * np.std([0.8, 0.84], ddof=1) * np.sqrt(1.5))
    low, high = next_run([0.80, 0.84], 0.055, 20)
    assert (high - low) / 2 == pytest.approx(wide * 0.055 * np.sqrt(1.5))
    assert next_run([0.7, 0.7, 0.7], 0.055) == pytest.approx((0.7, 0.7))
    with pytest.raises(ValueError, match="no run"):
        next_run([], 0.055)
