import numpy as np
import pytest

from fpbench.leaderboard.pairs import compare_all
from fpbench.metrics.ranking import rank_methods, ranks_that_tie
from fpbench.metrics.statistics import holm, mcnemar


def binary_rows(rows: int, per_source: int, sources: int = 3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hard = rng.random(per_source * sources)
    levels = np.linspace(0.3, 0.9, rows)
    noise = rng.random((rows, hard.size)) * 0.3
    return (hard + noise - 0.15 < levels[:, None]).astype(float)


def test_single_runs_are_compared_by_mcnemars_test() -> None:
    x = binary_rows(7, 40)
    pairs = compare_all(x, np.repeat([0, 1, 2], 40))
    for i in range(7):
        for j in range(7):
            if i != j:
                expected = mcnemar(x[i], x[j])
                assert pairs.p_value[i, j] == pytest.approx(expected.p_value, rel=1e-9)
                assert pairs.difference[i, j] == pytest.approx(expected.difference, abs=1e-12)
    assert pairs.mcnemar.all()


def test_correction_is_holms_over_all_pairs() -> None:
    pairs = compare_all(binary_rows(5, 30), np.repeat([0, 1, 2], 30))
    upper = np.triu_indices(5, 1)
    assert pairs.corrected[upper] == pytest.approx(holm(pairs.p_value[upper]))
    assert np.array_equal(pairs.corrected, pairs.corrected.T)


@pytest.mark.parametrize(("seeds", "order"), [(1, [4, 4, 2, 2, 1]), (3, [4, 4, 3, 2, 1])])
def test_ranks_are_those_of_the_paired_bootstrap(seeds: int, order: list[int]) -> None:
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1, 2], 100)
    hard = rng.random(300)
    levels = np.array([0.45, 0.47, 0.68, 0.7, 0.9])
    noise = rng.normal(0, 0.05, (seeds, 5, 300))
    x = (hard + noise < levels[:, None]).mean(axis=0)
    pairs = compare_all(x, y)
    ranks = ranks_that_tie([float(value) for value in x.mean(axis=1)], pairs.p_value)
    expected, p = rank_methods(list(x), y)
    assert ranks == expected == order
    # What the site says of a pair is what the ranks rest on.
    better = (pairs.difference < 0) & (pairs.corrected <= 0.05)
    assert ranks == (1 + better.sum(axis=1)).tolist()
    assert min(pairs.p_value[0, 1], p[0, 1]) > 0.05


def sign_flip_p(gap: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> float:
    """Monte Carlo version of the randomisation test, nothing approximated."""
    steps = gap * weights
    signs = rng.choice([-1.0, 1.0], size=(40_000, gap.size))
    return float((np.abs(signs @ steps) >= abs(steps.sum()) - 1e-12).mean())


def test_means_over_seeds_are_compared_by_randomisation() -> None:
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], 150)
    hard = rng.random(300)
    for shift in (0.02, 0.05, 0.09):
        rows = np.stack(
            [
                np.mean([(hard + rng.normal(0, 0.1, 300) < level) for _ in range(3)], axis=0)
                for level in (0.6, 0.6 + shift)
            ]
        )
        pairs = compare_all(rows, y)
        assert not pairs.mcnemar[0, 1]
        exact = sign_flip_p(rows[0] - rows[1], np.full(300, 1 / 300), rng)
        found = pairs.p_value[0, 1]
        # The continuity correction takes off a whole image, so it errs towards a tie.
        assert exact - 0.01 <= found
        assert found <= exact * 2.5 + 0.05


def test_randomisation_rejects_at_most_at_its_level() -> None:
    rng = np.random.default_rng(5)
    y = np.concatenate([np.zeros(60, int), np.ones(30, int)])
    rejected = 0
    for _ in range(400):
        hard = rng.random(90)
        rows = (hard + rng.normal(0, 0.3, (2, 90)) < 0.6).astype(float)
        pairs = compare_all(rows, y)
        assert not pairs.mcnemar.any()
        rejected += pairs.p_value[0, 1] <= 0.05
    assert rejected <= 0.05 * 400 + 2 * np.sqrt(400 * 0.05 * 0.95)


def test_interval_of_the_difference_matches_resampling_images() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [80, 40, 60])
    x = (rng.random((2, 180)) < [[0.8], [0.6]]).astype(float)
    pairs = compare_all(x, y)
    gap = x[0] - x[1]
    draws = np.mean(
        [
            gap[y == k][rng.integers((y == k).sum(), size=(4000, (y == k).sum()))].mean(axis=1)
            for k in range(3)
        ],
        axis=0,
    )
    assert pairs.halfwidth[0, 1] == pytest.approx(1.96 * draws.std(), rel=0.06)


def test_p_values_that_underflow_are_zero_and_not_less() -> None:
    y = np.repeat([0, 1], 2000)
    x = np.stack([np.ones(4000), np.zeros(4000), np.arange(4000) % 20 == 0]).astype(float)
    pairs = compare_all(x, y)
    assert (pairs.p_value >= 0).all()
    assert pairs.corrected[0, 1] == 0


def test_equal_rows_are_not_separated() -> None:
    x = np.tile(binary_rows(1, 20), (3, 1))
    pairs = compare_all(x, np.repeat([0, 1, 2], 20))
    assert (pairs.p_value == 1).all()
    assert (pairs.difference == 0).all()
    assert (pairs.halfwidth == 0).all()


def test_a_source_of_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than two"):
        compare_all(np.ones((2, 3)), [0, 0, 1])
