"""Differences between rows, against closed forms, other libraries and resampling."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from fpbench.metrics.comparison import RunSummary, compare_rows, summarise_runs
from fpbench.metrics.statistics import holm

SOURCES = np.repeat([0, 1, 2], [80, 40, 60])


def answers(levels: Sequence[float], seed: int = 0) -> NDArray[np.float64]:
    """Runs of one method on the images of `SOURCES`: hard images are hard in all runs."""
    rng = np.random.default_rng(seed)
    hard = np.random.default_rng(99).random(len(SOURCES))
    noise = rng.normal(0, 0.15, (len(levels), len(SOURCES)))
    return (hard + noise < np.asarray(levels)[:, None]).astype(float)


def balanced(values: NDArray[np.float64]) -> float:
    return float(np.mean([values[SOURCES == k].mean() for k in range(3)]))


def image_variance(gap: NDArray[np.float64]) -> float:
    return sum(gap[SOURCES == k].var(ddof=1) / (SOURCES == k).sum() for k in range(3)) / 9


def residual_mean_square(table: NDArray[np.float64]) -> float:
    """Of runs by images, each with an effect of its own, by least squares."""
    runs, images = table.shape
    design = np.concatenate(
        [np.kron(np.eye(runs), np.ones((images, 1))), np.kron(np.ones((runs, 1)), np.eye(images))],
        axis=1,
    )
    fitted = design @ np.linalg.lstsq(design, table.ravel(), rcond=None)[0]
    return float(((table.ravel() - fitted) ** 2).sum() / ((runs - 1) * (images - 1)))


def test_runs_are_summarised_by_their_variance_components() -> None:
    x = answers((0.5, 0.6, 0.7, 0.55))
    found = summarise_runs(x, SOURCES)
    assert found.runs == 4
    assert found.correct == pytest.approx(x.mean(axis=0))
    assert found.between == pytest.approx(np.var([balanced(run) for run in x], ddof=1))
    parts = [residual_mean_square(x[:, SOURCES == k]) / (SOURCES == k).sum() for k in range(3)]
    assert found.noise == pytest.approx(sum(parts) / 9)


def test_equal_runs_vary_in_nothing() -> None:
    one = answers((0.5,))
    same = summarise_runs(np.repeat(one, 3, axis=0), SOURCES)
    assert (same.between, same.noise, same.deterministic, same.one_run) == (0, 0, True, False)
    assert summarise_runs(one, SOURCES).one_run
    assert not summarise_runs(one, SOURCES, deterministic=True).one_run


@pytest.mark.parametrize("runs", [(3, 5), (3, 3), (2, 3), (5, 2)])
@pytest.mark.parametrize("level", [0.55, 0.65, 0.9])
def test_the_formula_by_hand(runs: tuple[int, int], level: float) -> None:
    rng = np.random.default_rng(4)
    a = answers(rng.normal(0.5, 0.03, runs[0]).tolist(), 1)
    b = answers(rng.normal(level, 0.03, runs[1]).tolist(), 2)
    rows = [summarise_runs(a, SOURCES), summarise_runs(b, SOURCES)]
    pairs = compare_rows(rows, SOURCES)
    parts = [row.between / row.runs for row in rows]
    seeds = sum(parts)
    freedom = seeds**2 / sum(e**2 / (n - 1) for e, n in zip(parts, runs, strict=True))
    images = image_variance(a.mean(axis=0) - b.mean(axis=0))
    images -= sum(row.noise / row.runs for row in rows)
    assert images > 0
    error = np.sqrt(images + seeds)
    difference = balanced(a.mean(axis=0)) - balanced(b.mean(axis=0))
    assert pairs.difference[0, 1] == pytest.approx(difference)
    assert pairs.error[0, 1] == pytest.approx(error)
    assert pairs.freedom[0, 1] == pytest.approx(freedom)

    def limit(alpha: float) -> float:
        z, t = stats.norm.isf(alpha / 2), stats.t.isf(alpha / 2, freedom)
        return float((images * z + seeds * t) / error**2)

    def excess(log_alpha: float) -> float:
        return limit(np.exp(log_alpha)) - abs(difference) / error

    p = np.exp(optimize.brentq(excess, -60, -1e-9))
    assert pairs.p_value[0, 1] == pytest.approx(p, rel=1e-6)
    assert pairs.corrected[0, 1] == pairs.p_value[0, 1]
    assert pairs.halfwidth[0, 1] == pytest.approx(limit(0.05) * error)
    one_number = stats.t.sf(abs(difference) / error, freedom * (error**2 / seeds) ** 2) * 2
    assert pairs.p_value[0, 1] >= one_number
    assert not pairs.one_run.any()
    for name in ("error", "freedom", "p_value", "corrected", "halfwidth"):
        grid = getattr(pairs, name)
        assert np.array_equal(grid, grid.T)
    assert np.array_equal(pairs.difference, -pairs.difference.T)


def test_without_images_it_is_welchs_test() -> None:
    """Runs that are right on the same share of every image differ by their seeds alone."""
    one, other = [0.4, 0.5, 0.45], [0.7, 0.6, 0.64, 0.9, 0.8]
    rows = [summarise_runs(np.outer(x, np.ones(180)), SOURCES) for x in (one, other)]
    pairs = compare_rows(rows, SOURCES)
    expected = stats.ttest_ind(one, other, equal_var=False)
    assert pairs.freedom[0, 1] == pytest.approx(expected.df)
    assert pairs.p_value[0, 1] == pytest.approx(expected.pvalue)
    assert pairs.corrected[0, 1] == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert pairs.difference[0, 1] - pairs.halfwidth[0, 1] == pytest.approx(low)
    assert pairs.difference[0, 1] + pairs.halfwidth[0, 1] == pytest.approx(high)


def test_without_seeds_it_is_the_paired_test_of_the_images() -> None:
    a, b = answers((0.5,), 1), answers((0.6,), 2)
    rows = [summarise_runs(x, SOURCES, deterministic=True) for x in (a, b)]
    pairs = compare_rows(rows, SOURCES)
    gap = (a - b)[0]
    rng = np.random.default_rng(0)
    draws = np.mean(
        [
            gap[SOURCES == k][rng.integers(n, size=(4000, n))].mean(axis=1)
            for k, n in enumerate([80, 40, 60])
        ],
        axis=0,
    )
    assert pairs.error[0, 1] == pytest.approx(np.sqrt(image_variance(gap)))
    assert pairs.error[0, 1] == pytest.approx(draws.std(), rel=0.06)
    assert np.isinf(pairs.freedom[0, 1])
    z = abs(balanced(gap)) / pairs.error[0, 1]
    assert pairs.p_value[0, 1] == pytest.approx(2 * stats.norm.sf(z))
    assert pairs.corrected[0, 1] == pytest.approx(pairs.p_value[0, 1])
    assert pairs.halfwidth[0, 1] == pytest.approx(stats.norm.ppf(0.975) * pairs.error[0, 1])


def test_correction_is_holms_over_all_pairs() -> None:
    rows = [
        summarise_runs(answers((level,), k), SOURCES, deterministic=True)
        for k, level in enumerate((0.5, 0.55, 0.65, 0.7, 0.9))
    ]
    rows.append(summarise_runs(answers((0.8, 0.85, 0.83), 9), SOURCES))
    pairs = compare_rows(rows, SOURCES)
    upper = np.triu_indices(6, 1)
    assert pairs.pairs == 15
    assert pairs.corrected[upper] == pytest.approx(holm(pairs.p_value[upper]))


def test_one_run_is_compared_as_it_is() -> None:
    one = summarise_runs(answers((0.5,), 1), SOURCES)
    fixed = summarise_runs(answers((0.6,), 2), SOURCES, deterministic=True)
    several = summarise_runs(answers((0.6, 0.7, 0.8), 3), SOURCES)
    pairs = compare_rows([one, fixed, several], SOURCES)
    assert pairs.one_run.tolist() == [
        [False, True, True],
        [True, False, False],
        [True, False, False],
    ]
    gap = one.correct - several.correct
    expected = image_variance(gap) + (several.between - several.noise) / 3
    assert pairs.error[0, 2] == pytest.approx(np.sqrt(expected))
    known = compare_rows(
        [summarise_runs(answers((0.5,), 1), SOURCES, deterministic=True), fixed], SOURCES
    )
    assert pairs.p_value[0, 1] == known.p_value[0, 1]


def test_the_same_row_twice_does_not_differ_from_itself() -> None:
    for x in (answers((0.6,)), answers((0.5, 0.6, 0.7))):
        row = summarise_runs(x, SOURCES)
        pairs = compare_rows([row, row, row], SOURCES)
        assert (pairs.p_value == 1).all() and (pairs.corrected == 1).all()
        assert (pairs.difference == 0).all()
        assert (pairs.halfwidth[0, 1] == 0) == (len(x) == 1)
        assert (np.diag(pairs.halfwidth) == 0).all()


def test_always_right_against_always_wrong_is_as_sure_as_the_images_are_many() -> None:
    """No variance at all: swapping the rows on m images gives 2^m equally likely differences."""
    for images in (2, 3, 400):
        y = np.repeat([0, 1], images)
        rows = [summarise_runs([np.full(2 * images, v)], y, deterministic=True) for v in (1.0, 0.0)]
        pairs = compare_rows(rows, y)
        assert pairs.error[0, 1] == 0 and pairs.difference[0, 1] == pytest.approx(1)
        assert pairs.p_value[0, 1] == pytest.approx(2.0 ** (1 - 2 * images), abs=1e-15)


def test_a_handful_of_images_is_no_proof() -> None:
    """Four images that one row alone gets right: McNemar's exact test gives 1/8."""
    y = np.repeat([0, 1], 200)
    right = np.ones(400)
    fewer = right.copy()
    fewer[[0, 1, 200, 201]] = 0
    rows = [summarise_runs([x], y, deterministic=True) for x in (right, fewer)]
    assert compare_rows(rows, y).p_value[0, 1] == stats.binomtest(0, 4).pvalue == 0.125


def folded(
    seed: int, level: float, spread: float, count: int = 8
) -> tuple[NDArray, NDArray, NDArray]:
    """Correctness, sources and folds of a cross-validation whose folds are of unequal quality."""
    rng = np.random.default_rng(seed)
    folds, sources = np.repeat(np.arange(count), 60), np.tile(np.repeat([0, 1, 2], 20), count)
    level_of = level + rng.normal(0, spread, count)
    return (rng.random(60 * count) < level_of[folds]).astype(float), sources, folds


def test_folds_are_compared_by_their_paired_differences() -> None:
    a, sources, folds = folded(1, 0.6, 0.2)
    b, _, _ = folded(2, 0.7, 0.2)
    pairs = compare_rows([RunSummary(a, 8), RunSummary(b, 8)], sources, folds)
    accuracies = [[x[folds == f].mean() for f in range(8)] for x in (a, b)]
    expected = stats.ttest_rel(*accuracies)
    assert pairs.difference[0, 1] == pytest.approx(np.mean(accuracies[0]) - np.mean(accuracies[1]))
    assert pairs.freedom[0, 1] == 7
    assert pairs.p_value[0, 1] == pytest.approx(expected.pvalue)
    assert pairs.corrected[0, 1] == pairs.p_value[0, 1]


def test_folds_that_agree_leave_the_variance_of_the_images() -> None:
    a, sources, folds = folded(1, 0.6, 0.0)
    b = a.reshape(8, 60)[:, ::-1].reshape(-1)[np.argsort(np.argsort(sources, kind="stable"))]
    a = np.tile([1.0, 0.0], 240)
    pairs = compare_rows([RunSummary(a, 8), RunSummary(b, 8)], sources, folds)
    gap = a - b
    images = sum(gap[sources == k].var(ddof=1) / 160 for k in range(3)) / 9
    of_folds = np.var([gap[folds == f].mean() for f in range(8)], ddof=1) / 8
    assert pairs.error[0, 1] == pytest.approx(np.sqrt(max(images, of_folds)))
    assert not compare_rows([RunSummary(a, 1), RunSummary(b, 1)], sources, folds).one_run.any()


def test_folds_of_unequal_size_count_alike() -> None:
    folds = np.repeat([0, 1], [40, 8])
    sources = np.tile([0, 1], 24)
    one, other = np.where(folds == 0, 1.0, 0.5), np.zeros(48)
    pairs = compare_rows([RunSummary(one, 2), RunSummary(other, 2)], sources, folds)
    assert pairs.difference[0, 1] == pytest.approx(0.75)


def test_rows_can_be_put_into_another_order() -> None:
    levels = ((0.5, 0.6), (0.7, 0.8), (0.9, 0.95))
    rows = [summarise_runs(answers(level, k), SOURCES) for k, level in enumerate(levels)]
    turned = compare_rows([rows[2], rows[0], rows[1]], SOURCES)
    pairs = compare_rows(rows, SOURCES).in_order([2, 0, 1])
    for name in ("difference", "error", "freedom", "p_value", "corrected", "halfwidth"):
        assert getattr(pairs, name) == pytest.approx(getattr(turned, name))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than two"):
        summarise_runs(np.ones((2, 3)), [0, 0, 1])
    with pytest.raises(ValueError, match="runs by images"):
        summarise_runs(np.ones(3), [0, 0, 0])
    with pytest.raises(ValueError, match="3 images but sources"):
        summarise_runs(np.ones((2, 3)), [0, 0])
    rows = [RunSummary(np.ones(4), 2)] * 2
    with pytest.raises(ValueError, match="one fold"):
        compare_rows(rows, [0, 0, 1, 1], [0, 0, 0, 0])
    with pytest.raises(ValueError, match="but folds"):
        compare_rows(rows, [0, 0, 1, 1], [0, 1])
