import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import PCA

from fpbench.metrics import projection, separability
from fpbench.metrics.frechet import frechet_distance
from fpbench.metrics.score import NotComputable


def gaussians(seed, sources=5, n=64, d=8, apart=0.0):
    """Sources with unit covariance whose means lie `apart` from the origin."""
    means = np.random.default_rng(7).normal(size=(sources, d))
    means *= apart / np.linalg.norm(means, axis=1, keepdims=True)
    labels = np.repeat(np.arange(sources), n)
    return means[labels] + np.random.default_rng(seed).normal(size=(sources * n, d)), labels


def scores(features, labels, n=64, d=8, seed=0, raw=False, **options):
    return separability.separability_scores(
        features, features, labels, n=n, d=d, seed=seed, raw=raw, **options
    )


def test_equal_to_the_formula_halving_by_halving():
    features, _ = gaussians(0, sources=3, n=32, d=4, apart=2)
    sample = features.reshape(3, 32, 4)
    order = np.argsort(np.random.default_rng(1).random((3, 32)), axis=1)
    inter, intra = separability._distances(*separability._moments(sample, order))
    first = [sample[i, order[i, :16]] for i in range(3)]
    second = [sample[i, order[i, 16:]] for i in range(3)]

    def distance(a, b):
        return frechet_distance(a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T))

    assert inter == pytest.approx(
        np.mean([distance(first[i], second[j]) for i, j in ((0, 1), (0, 2), (1, 2))])
    )
    assert intra == pytest.approx(np.mean([distance(first[i], second[i]) for i in range(3)]))


def test_leaving_a_group_out_is_computing_without_it():
    features, _ = gaussians(0, sources=3, n=64, d=4, apart=2)
    sample = features.reshape(3, 64, 4)
    rng = np.random.default_rng(1)
    order = np.argsort(rng.random((3, 64)), axis=1)
    groups = np.argsort(rng.random((3, 64)), axis=1) % 20
    means, covs, *_ = separability._leaving_out(sample, order, groups, 20)
    for source in range(3):
        half = order[source, :32]
        assert covs[source, 0] == pytest.approx(np.cov(sample[source, half].T))
        for group in (0, 7, 19):
            rest = sample[source, half[groups[source, half] != group]]
            assert means[source, group + 1] == pytest.approx(rest.mean(axis=0))
            assert covs[source, group + 1] == pytest.approx(np.cov(rest.T))


@pytest.mark.parametrize(
    ("d", "n", "apart", "inter", "intra", "matched", "literature"),
    [
        (64, 512, 0, None, 8.98 * 500 / 512, 1.00, 0.50),
        (64, 512, 3, None, 8.96 * 500 / 512, 3.0, 2.4),
        (16, 2000, 10, 207, 0.04 * 4, 5063 / 4, 5066 / 4),
    ],
)
def test_the_worked_table_of_gaussians(d, n, apart, inter, intra, matched, literature):
    """Means on five axes, so that each pair is 2·apart² apart, as the table's are on average."""
    means = np.zeros((5, d))
    means[np.arange(5), np.arange(5)] = apart
    labels = np.repeat(np.arange(5), n)
    features = means[labels] + np.random.default_rng(0).normal(size=(5 * n, d))
    got = scores(features, labels, n=n, d=d, raw=True)
    assert got["fdr_intra"].value == pytest.approx(intra, rel=0.1)
    assert got["fdr"].value == pytest.approx(matched, rel=0.15)
    assert got["fdr_raw"].value == pytest.approx(literature, rel=0.15)
    if inter is not None:
        assert got["fdr_inter"].value == pytest.approx(inter, rel=0.1)


def test_sources_that_are_alike_score_their_chance_level():
    values = [scores(*gaussians(seed)) for seed in range(10)]
    assert np.mean([s["fdr"].value for s in values]) == pytest.approx(1, abs=0.06)
    assert np.mean([s["fdr"].chance for s in values]) == pytest.approx(1, abs=0.06)
    apart = scores(*gaussians(0, apart=3))
    assert apart["fdr"].chance == pytest.approx(1, abs=0.2)
    assert apart["fdr"].value > 4
    raw = [separability.raw_ratio_score(*gaussians(seed), n=64) for seed in range(10)]
    assert np.mean([s.value for s in raw]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([s.chance for s in raw]) == pytest.approx(0.5, abs=0.05)


def test_the_ratio_does_not_depend_on_scale_offset_or_rotation():
    features, labels = gaussians(0, d=12, apart=2)
    turn = stats.ortho_group.rvs(12, random_state=0)
    one = scores(features, labels, raw=True)
    other = scores(1000 * features @ turn + 5, labels, raw=True)
    for key in ("fdr", "fdr_raw"):
        assert other[key].value == pytest.approx(one[key].value, rel=1e-6)
    assert other["fdr_inter"].value == pytest.approx(1e6 * one["fdr_inter"].value, rel=1e-6)


def test_more_images_than_declared_are_matched_to_it():
    features, labels = gaussians(0, n=300, apart=2)
    got = scores(features, labels, n=64)
    assert got["fdr"].n == 5 * 64
    assert got["fdr_intra"].value == pytest.approx(
        scores(*gaussians(1, apart=2))["fdr_intra"].value, rel=0.2
    )
    assert scores(features, labels, n=256)["fdr"].value > 2 * got["fdr"].value


def test_the_seed_settles_everything():
    features, labels = gaussians(0, n=80, apart=1)
    assert scores(features, labels, seed=3) == scores(features, labels, seed=3)
    assert scores(features, labels, seed=3) != scores(features, labels, seed=4)


@pytest.mark.parametrize(("count", "size"), [(200, 30), (25, 40)])
def test_principal_axes_are_those_of_scikit_learn(count, size):
    rows = np.random.default_rng(0).normal(size=(count, size)) * np.linspace(3, 0.5, size) + 9
    axes = projection.principal_axes(rows.astype(np.float32), 6)
    assert axes.T @ axes == pytest.approx(np.eye(6), abs=1e-6)
    theirs = PCA(6, svd_solver="full").fit(rows).components_.T
    assert np.abs((axes * theirs).sum(axis=0)) == pytest.approx(1, abs=1e-5)


def test_principal_axes_need_more_embeddings_than_axes():
    with pytest.raises(NotComputable, match="3 training embeddings; 5 axes"):
        projection.principal_axes(np.eye(3, 9), 5)
    with pytest.raises(NotComputable, match="span fewer than 5"):
        projection.principal_axes(np.repeat(np.eye(2, 9), 4, axis=0), 5)
    with pytest.raises(NotComputable, match="not finite"):
        projection.principal_axes(np.full((9, 3), np.nan), 2)
    with pytest.raises(ValueError, match="10 axes"):
        projection.principal_axes(np.eye(12, 9), 10)


def test_a_handful_of_images_still_has_a_value():
    got = scores(*gaussians(0, n=9, d=3, apart=3), n=8, d=1)
    assert got["fdr"].ci_low < got["fdr"].value < got["fdr"].ci_high


def nothing(*args, **options):
    got = scores(*args, **options)
    assert tuple(got) == separability.KEYS
    assert {s.value for s in got.values()} == {None}
    return got["fdr"].reason


def test_no_value_without_grounds():
    features, labels = gaussians(0)
    assert nothing(features, labels, n=70) == "Source 0 has 64 test images; 70 are declared."
    assert "one source only" in nothing(features, labels * 0)
    assert "not finite" in nothing(np.where(features > 2, np.nan, features), labels)
    assert "listed twice" in nothing(features, labels, ids=["a"] * len(labels))
    for kind in (np.float32, np.float64):
        flat = features.astype(kind)
        flat[labels == 2] = 0.1
        assert "Embeddings of source 2 do not vary" in nothing(flat, labels)
    assert scores(features, labels)["fdr_raw"].reason == "Not asked for."
    along_nothing = np.concatenate([features, 9 * features[:, :1]], axis=1)
    along_nothing[labels == 1, 0] = along_nothing[labels == 1, 8] = 0.1
    across = separability.separability_scores(
        along_nothing[:, [0, 8]], along_nothing[:, [0, 8]], labels, n=64, d=1
    )
    assert "source 1 do not vary" in across["fdr"].reason


def test_the_raw_ratio_has_its_reasons_too():
    features, labels = gaussians(0)
    raw = separability.raw_ratio_score
    assert raw(features, labels, n=64) == scores(features, labels, raw=True)["fdr_raw"]
    assert raw(features, labels, n=70).reason.endswith("70 are declared.")
    assert "do not vary" in raw(np.ones_like(features), labels, n=64).reason
    assert "not finite" in raw(features * np.nan, labels, n=64).reason
    with pytest.raises(ValueError, match="four are needed"):
        raw(features, labels, n=3)


def test_faults_of_the_caller_are_errors():
    features, labels = gaussians(0)
    with pytest.raises(ValueError, match="d is 9, but with n = 64 it can be 1 to 8"):
        scores(features, labels, d=9)
    with pytest.raises(ValueError, match="two halvings"):
        scores(features, labels, halvings=1)
    with pytest.raises(ValueError, match="do not fit 8 dimensions"):
        separability.separability_scores(features[:, :3], features, labels, n=64, d=8)


def coverage(repeats, key="fdr", **shape):
    drawn = [
        scores(*gaussians(seed, **shape), n=shape["n"], d=shape["d"], seed=seed)[key]
        for seed in range(repeats)
    ]
    truth = np.mean([s.value for s in drawn])
    return np.mean([s.ci_low <= truth <= s.ci_high for s in drawn])


def test_the_interval_covers_the_expectation_at_this_n_and_d():
    assert 0.90 <= coverage(100, sources=4, n=48, d=6, apart=2) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("key", ["fdr", "fdr_inter", "fdr_intra"])
def test_intervals_cover_at_500_repeats(key):
    assert 0.92 <= coverage(500, key, sources=4, n=64, d=8, apart=2) <= 0.98


@pytest.mark.slow
def test_fewer_halvings_in_the_jackknife_cover_too(monkeypatch):
    monkeypatch.setattr(separability, "_JACKKNIFE_FLOPS", 0)
    assert 0.92 <= coverage(500, sources=4, n=64, d=8, apart=2) <= 0.985


@pytest.mark.slow
def test_at_chance_the_interval_errs_towards_width():
    assert 0.94 <= coverage(300, sources=4, n=64, d=8, apart=0)


@pytest.mark.slow
@pytest.mark.parametrize("n", [64, 150])
def test_heavy_tails_cost_the_distance_within_sources_its_coverage(n):
    """Student's t with 5 degrees in each dimension: the fourth moment is barely there."""
    means = np.random.default_rng(7).normal(size=(4, 8))
    means *= 2 / np.linalg.norm(means, axis=1, keepdims=True)
    labels = np.repeat(np.arange(4), n)
    drawn = [
        scores(
            means[labels]
            + np.random.default_rng([1, seed]).standard_t(5, size=(4 * n, 8)) * np.sqrt(3 / 5),
            labels,
            n=n,
            seed=seed,
        )
        for seed in range(200)
    ]
    for key, least in (("fdr", 0.88), ("fdr_inter", 0.90), ("fdr_intra", 0.79)):
        truth = np.mean([s[key].value for s in drawn])
        covered = np.mean([s[key].ci_low <= truth <= s[key].ci_high for s in drawn])
        assert least <= covered <= 0.98, key
