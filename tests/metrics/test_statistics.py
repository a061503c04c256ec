import numpy as np
import pytest
from scipy import stats

from fpbench.metrics import statistics
from fpbench.metrics.score import NotComputable, Score


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 9), (12, 12), (1, 20), (30, 15), (200, 150)])
def test_mcnemar_is_the_binomial_test(b, c):
    first = np.repeat([1, 0, 1, 0], [b, c, 40, 10])
    second = np.repeat([0, 1, 1, 0], [b, c, 40, 10])
    got = statistics.mcnemar(first, second)
    exact = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    if b + c < 25:
        assert got.test == "McNemar exact"
        assert got.p_value == pytest.approx(exact)
    else:
        assert got.test == "McNemar mid-p"
        assert got.p_value == pytest.approx(exact - stats.binom.pmf(min(b, c), b + c, 0.5))
    assert got.difference == pytest.approx((b - c) / (b + c + 50))


def methods_on_the_same_images(rng, gap, n=300, shared=0.5):
    """Two methods whose errors go together, of expected accuracy 0.7 + gap and 0.7."""
    hard = rng.normal(size=n)
    right = []
    for mean in (0.7 + gap, 0.7):
        own = rng.normal(size=n)
        mix = np.sqrt(shared) * hard + np.sqrt(1 - shared) * own
        right.append(mix < stats.norm.ppf(mean))
    return right


@pytest.mark.parametrize("n", [120, 300])
def test_paired_tests_reject_at_their_level_under_the_null(n):
    classes = np.arange(n) % 3
    repeats = 1000
    mcnemar = bootstrap = 0
    for seed in range(repeats):
        one, two = methods_on_the_same_images(np.random.default_rng(seed), 0.0, n)
        mcnemar += statistics.mcnemar(one, two).p_value < 0.05
        bootstrap += statistics.paired_bootstrap(one, two, classes, repeats=500).p_value < 0.05
    assert mcnemar / repeats <= 0.07
    assert 0.03 <= bootstrap / repeats <= 0.075


def equally_good(rng, accuracies, n, shared=0.5):
    """Correctness of methods whose errors go together, shape (M, n)."""
    hard, own = rng.normal(size=n), rng.normal(size=(len(accuracies), n))
    mix = np.sqrt(shared) * hard + np.sqrt(1 - shared) * own
    return mix < stats.norm.ppf(accuracies)[:, None]


def null_rejections(n, accuracy, repeats, shared=0.5):
    classes = np.arange(n) % (13 if n > 1000 else 4)
    found = np.zeros(2)
    for seed in range(repeats):
        one, two = equally_good(np.random.default_rng([n, seed]), [accuracy] * 2, n, shared)
        found += [
            statistics.mcnemar(one, two).p_value <= 0.05,
            statistics.paired_bootstrap(one, two, classes, seed=seed, repeats=500).p_value <= 0.05,
        ]
    return found / repeats


@pytest.mark.parametrize("n", [60, 400])
@pytest.mark.parametrize("accuracy", [0.1, 0.5, 0.97])
def test_paired_tests_keep_their_level_at_other_sizes_and_accuracies(n, accuracy):
    mcnemar, bootstrap = null_rejections(n, accuracy, 300)
    assert mcnemar <= 0.075
    assert bootstrap <= 0.08


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("shared", [0.3, 0.9])
def test_paired_tests_reject_at_their_level_at_the_size_of_a_test_set(accuracy, shared):
    mcnemar, bootstrap = null_rejections(1950, accuracy, 1000, shared)
    assert 0.03 <= mcnemar <= 0.065
    assert 0.03 <= bootstrap <= 0.07


@pytest.mark.parametrize("accuracies", [[0.5] * 5, [0.97] * 5, [0.5, 0.5, 0.5, 0.62, 0.62]])
def test_holm_keeps_the_family_wise_level_of_dependent_tests(accuracies):
    """All pairs of methods on the same images; a false rejection is one of equally good ones."""
    rate = np.array(accuracies)
    i, j = np.triu_indices(5, 1)
    equal = rate[i] == rate[j]
    wrong = 0
    for seed in range(200):
        right = equally_good(np.random.default_rng(seed), rate, 400)
        p = [statistics.mcnemar(right[a], right[b]).p_value for a, b in zip(i, j, strict=True)]
        wrong += (statistics.holm(p)[equal] <= 0.05).any()
    assert wrong / 200 <= 0.085


def test_the_interval_of_a_difference_covers_it():
    hits = 0
    for seed in range(500):
        one, two = methods_on_the_same_images(np.random.default_rng(seed), 0.08)
        got = statistics.paired_bootstrap(one, two, np.arange(300) % 3, repeats=500)
        hits += got.ci_low <= 0.08 <= got.ci_high
    assert 0.92 <= hits / 500 <= 0.98


def test_pairing_finds_what_separate_intervals_do_not():
    one, two = methods_on_the_same_images(np.random.default_rng(2), 0.06, 600, shared=0.98)
    classes = np.arange(600) % 3
    paired = statistics.paired_bootstrap(one, two, classes)
    apart = statistics.paired_bootstrap(one, np.random.default_rng(1).permutation(two), classes)
    assert paired.ci_high - paired.ci_low < 0.6 * (apart.ci_high - apart.ci_low)
    assert paired.p_value < 0.01


def test_equal_methods_are_never_separated():
    right = np.random.default_rng(0).random(50) < 0.5
    got = statistics.paired_bootstrap(right, right, np.zeros(50))
    assert (got.difference, got.ci_low, got.ci_high, got.p_value) == (0, 0, 0, 1)
    assert statistics.mcnemar(right, right).p_value == 1


def test_p_value_and_interval_of_the_paired_bootstrap_agree():
    for seed in range(40):
        one, two = methods_on_the_same_images(np.random.default_rng(seed), 0.05)
        got = statistics.paired_bootstrap(one, two, np.zeros(300))
        if abs(got.p_value - 0.05) > 0.01:
            assert (got.p_value < 0.05) == (got.ci_low > 0 or got.ci_high < 0)


def test_paired_tests_want_the_same_images():
    with pytest.raises(ValueError, match="same images"):
        statistics.mcnemar([1, 0], [1])
    with pytest.raises(ValueError, match="right"):
        statistics.mcnemar([0.5, 0], [1, 1])
    with pytest.raises(NotComputable, match="no image"):
        statistics.mcnemar([], [])
    with pytest.raises(NotComputable, match="listed twice"):
        statistics.paired_bootstrap([1, 0], [1, 1], [0, 0], ids=["a", "a"])
    with pytest.raises(NotComputable, match="not finite"):
        statistics.paired_bootstrap([1, np.nan], [1, 1], [0, 0])
    with pytest.raises(ValueError, match="classes or strata"):
        statistics.paired_bootstrap([1, 0], [1, 1], [0, 0, 0])


def test_holm_by_hand_and_against_bonferroni():
    assert statistics.holm([0.01, 0.02, 0.03, 0.04]).tolist() == pytest.approx(
        [0.04, 0.06, 0.06, 0.06]
    )
    p = np.random.default_rng(0).random(30) ** 3
    corrected = statistics.holm(p)
    assert corrected.min() == pytest.approx(30 * p.min())
    assert (corrected >= p).all()
    assert (corrected <= np.minimum(1, 30 * p)).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()
    gaps = statistics.holm([0.01, np.nan, 0.04])
    assert np.isnan(gaps[1])
    assert gaps[[0, 2]].tolist() == [0.02, 0.04]
    assert statistics.holm([]).shape == (0,)
    with pytest.raises(ValueError, match="between 0 and 1"):
        statistics.holm([1.2])


def test_holm_keeps_the_family_wise_level():
    rng = np.random.default_rng(0)
    rejected = [(statistics.holm(rng.random(10)) <= 0.05).any() for _ in range(4000)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.012)


def test_one_seed_is_its_own_mean_and_a_missing_one_is_told():
    one = Score(0.5, 0.4, 0.6, 10, 0.1)
    for combine in (statistics.combine_seeds, statistics.combine_folds):
        assert combine([one]) is one
        lost = combine([one, Score.missing("No images.")])
        assert lost.reason == "A run has no value: No images."
        with pytest.raises(ValueError, match="no score"):
            combine([])
        same = combine([Score(0.5, n=5), Score(0.5, n=5)])
        assert (same.ci_low, same.ci_high) == (0.5, 0.5)


def test_seeds_that_agree_leave_the_interval_of_the_images():
    runs = [Score(0.5, 0.4, 0.6, 10, 0.1)] * 4
    both = statistics.combine_seeds(runs)
    assert (both.ci_low, both.ci_high, both.n) == pytest.approx((0.4, 0.6, 10))
    assert both.chance == 0.1
    folds = statistics.combine_folds(runs)
    assert folds.n == 40
    assert folds.halfwidth == pytest.approx(0.05 / 1.96 * stats.t.ppf(0.975, 3), rel=1e-3)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_over_seeds_cover(seeds):
    """A run's value is the truth + an error of the shared images + one of its own seed."""
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        values = 0.5 + 0.02 * rng.normal() + 0.02 * rng.normal(size=seeds)
        half = 1.96 * 0.02
        got = statistics.combine_seeds([Score(v, v - half, v + half, 10) for v in values])
        hits += got.ci_low <= 0.5 <= got.ci_high
    assert 0.93 <= hits / 2000 <= 0.99


def test_intervals_over_folds_cover():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        values = 0.5 + 0.02 * rng.normal(size=5)
        half = 1.96 * 0.02
        got = statistics.combine_folds([Score(v, v - half, v + half, 10) for v in values])
        hits += got.ci_low <= 0.5 <= got.ci_high
    assert 0.93 <= hits / 2000 <= 0.995
