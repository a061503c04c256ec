import numpy as np
import pytest
from scipy import stats

from fpbench.metrics import bootstrap
from fpbench.metrics.score import NotComputable


def test_multiplicities_are_multinomial_within_each_stratum():
    strata = np.repeat([7, 3, 5], [40, 10, 5])
    chunks = list(bootstrap.multiplicities(strata, 0, 3000, chunk=700))
    assert [c.shape[1] for c in chunks] == [700, 700, 700, 700, 200]
    counts = np.concatenate(chunks, axis=1)
    for source, size in ((7, 40), (3, 10), (5, 5)):
        part = counts[strata == source]
        assert (part.sum(axis=0) == size).all()
        assert part.mean(axis=1) == pytest.approx(1, abs=0.1)
        assert part.var(axis=1).mean() == pytest.approx(1 - 1 / size, rel=0.05)


def test_strata_means_have_the_moments_of_the_bootstrap():
    rng = np.random.default_rng(1)
    values = rng.normal(size=60)
    strata = np.repeat([0, 1], [40, 20])
    draws = bootstrap.strata_means(values, strata, 1, 20_000)
    for s in (0, 1):
        part = values[strata == s]
        assert draws[:, s].mean() == pytest.approx(part.mean(), abs=0.01)
        assert draws[:, s].std() == pytest.approx(part.std() / np.sqrt(len(part)), rel=0.03)


def test_interval_of_a_mean_agrees_with_scipy():
    values = np.random.default_rng(2).exponential(size=200)
    value, low, high = bootstrap.macro_mean_interval(values, np.zeros(200), repeats=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert value == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_the_limit_of_what_was_not_seen_is_clopper_pearson():
    for n in (5, 50, 2400):
        exact = stats.binomtest(0, n).proportion_ci(method="exact").high
        assert bootstrap.unseen_rate(n) == pytest.approx(exact)


def test_values_that_are_all_right_have_no_interval_of_length_nought():
    value, low, high = bootstrap.macro_mean_interval(np.ones(90), np.repeat([0, 1, 2], 30))
    assert (value, high) == (1, 1)
    assert low == pytest.approx(1 - bootstrap.unseen_rate(90))
    value, low, high = bootstrap.macro_mean_interval(np.zeros(90), np.repeat([0, 1, 2], 30))
    assert (value, low) == (0, 0)
    assert high == pytest.approx(bootstrap.unseen_rate(90))


def test_families_weigh_equally_however_many_sources_they_have():
    families = np.repeat(["GAN", "VAE"], [90, 10])
    sources = np.repeat(["a", "b", "c", "d"], [30, 30, 30, 10])
    values = np.where(families == "VAE", 1.0, 0.0)
    value, *_ = bootstrap.macro_mean_interval(values, families, sources)
    assert value == pytest.approx(0.5)
    assert bootstrap.macro_weights(families, sources).sum() == pytest.approx(1)
    with pytest.raises(ValueError, match="over two classes"):
        bootstrap.macro_weights(["GAN", "VAE"], ["a", "a"])


def test_one_image_makes_no_interval():
    with pytest.raises(NotComputable, match="Source b has one image"):
        bootstrap.macro_mean_interval([1, 0, 1], ["a", "a", "b"])


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(0).random(50)
    one = bootstrap.macro_mean_interval(values, np.zeros(50), seed=3)
    assert one == bootstrap.macro_mean_interval(values, np.zeros(50), seed=3)
    assert one != bootstrap.macro_mean_interval(values, np.zeros(50), seed=4)
