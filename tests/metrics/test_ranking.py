import numpy as np
import pytest
from scipy import stats

from fpbench.metrics import ranking
from fpbench.metrics.score import NotComputable

# Table 6 of Demšar (2006): C4.5, with pruning by m, by cf, and by both, on 14 datasets.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.974],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_the_worked_example_of_demsar():
    got = ranking.friedman(DEMSAR)
    assert got.average_ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert got.critical_difference == pytest.approx(1.25, abs=0.005)
    assert ranking.critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)
    # The paper leaves out the correction for ties: 12N/(k(k+1)) (Σ R² − k(k+1)²/4) = 9.28.
    plain = 12 * 14 / 20 * ((got.average_ranks**2).sum() - 4 * 25 / 4)
    assert plain == pytest.approx(9.28, abs=0.005)
    assert 13 * plain / (14 * 3 - plain) == pytest.approx(3.69, abs=0.005)
    assert got.chi_square > plain
    # The paper finds C4.5 against C4.5 with both separated at 0.10, nothing at 0.05.
    assert not got.separated().any()
    loose = ranking.friedman(DEMSAR, alpha=0.10)
    assert loose.separated()[0].tolist() == [False, True, False, True]


@pytest.mark.parametrize("seed", range(5))
def test_friedman_equals_scipy(seed):
    table = np.random.default_rng(seed).integers(0, 8, size=(9, 5)).astype(float)
    got = ranking.friedman(table)
    assert got.chi_square == pytest.approx(stats.friedmanchisquare(*table.T).statistic)
    assert got.average_ranks == pytest.approx(stats.rankdata(-table, axis=1).mean(axis=0))
    assert got.p_value == pytest.approx(stats.f.sf(got.f_statistic, 4, 32))


@pytest.mark.parametrize("methods", [2, 5, 17, 100])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.1])
def test_critical_difference_has_scipys_quantile(methods, alpha):
    quantile = stats.studentized_range.ppf(1 - alpha, methods, np.inf)
    expected = quantile / np.sqrt(2) * np.sqrt(methods * (methods + 1) / (6 * 7))
    assert ranking.critical_difference(methods, 7, alpha) == pytest.approx(expected, rel=1e-6)


def test_friedman_without_ties_is_the_printed_formula():
    table = np.random.default_rng(0).random((10, 4))
    got = ranking.friedman(table)
    plain = 12 * 10 / 20 * ((got.average_ranks**2).sum() - 4 * 25 / 4)
    assert got.chi_square == pytest.approx(plain)
    assert got.f_statistic == pytest.approx(9 * plain / (30 - plain))
    assert got.p_value == pytest.approx(stats.f.sf(got.f_statistic, 3, 27))


def test_datasets_that_all_agree():
    got = ranking.friedman(np.arange(20.0).reshape(5, 4))
    assert got.average_ranks.tolist() == [4, 3, 2, 1]
    assert got.p_value == 0


def test_friedman_without_grounds():
    with pytest.raises(NotComputable, match="tied on every"):
        ranking.friedman(np.ones((3, 4)))
    with pytest.raises(NotComputable, match="no score"):
        ranking.friedman([[1, np.nan], [1, 2]])
    with pytest.raises(NotComputable, match="two of each"):
        ranking.friedman([[1.0, 2.0]])
    with pytest.raises(ValueError, match="datasets by methods"):
        ranking.friedman([1.0, 2.0])
    with pytest.raises(ValueError, match="no critical difference"):
        ranking.critical_difference(1, 3)


def test_ranks_are_ranges_between_what_is_better_and_what_is_worse():
    gap = np.subtract.outer([0.7, 0.9, 0.6, 0.8], [0.7, 0.9, 0.6, 0.8])
    p = np.full((4, 4), 0.5)
    assert ranking.rank_ranges(gap, p) == [(1, 4)] * 4
    p[:] = 0.001
    assert ranking.rank_ranges(gap, p) == [(3, 3), (1, 1), (4, 4), (2, 2)]
    p[0, 3] = p[3, 0] = 0.06
    assert ranking.rank_ranges(gap, p) == [(2, 3), (1, 1), (4, 4), (2, 3)]
    assert ranking.rank_ranges(gap, p, alpha=0.1) == [(3, 3), (1, 1), (4, 4), (2, 2)]
    assert ranking.rank_ranges(np.zeros((0, 0)), np.zeros((0, 0))) == []


def test_equal_values_overlap_whatever_the_test_says():
    assert ranking.rank_ranges(np.zeros((2, 2)), np.zeros((2, 2))) == [(1, 2), (1, 2)]


def test_ranges_need_a_p_value_of_each_pair():
    with pytest.raises(ValueError, match="of shape"):
        ranking.rank_ranges([[0.0]], np.ones((2, 2)))
    with pytest.raises(ValueError, match="symmetric"):
        ranking.rank_ranges(np.zeros((2, 2)), [[1, 0.5], [0.4, 1]])
