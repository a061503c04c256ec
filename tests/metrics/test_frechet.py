import numpy as np
import pytest
from scipy import linalg, stats

from fpbench.metrics import frechet


def covariance(rng, d):
    root = rng.normal(size=(d, d))
    return root @ root.T / d


def test_equal_covariances_leave_the_distance_of_the_means():
    rng = np.random.default_rng(0)
    for d in (1, 5, 40):
        cov, a, b = covariance(rng, d), rng.normal(size=d), rng.normal(size=d)
        assert frechet.frechet_distance(a, cov, b, cov) == pytest.approx(((a - b) ** 2).sum())


def test_commuting_covariances_have_a_closed_form():
    rng = np.random.default_rng(0)
    axes = stats.ortho_group.rvs(12, random_state=0)
    one, two = rng.random((2, 12)) * 5
    a, b = rng.normal(size=(2, 12))
    expected = ((a - b) ** 2).sum() + ((np.sqrt(one) - np.sqrt(two)) ** 2).sum()
    got = frechet.frechet_distance(a, axes * one @ axes.T, b, axes * two @ axes.T)
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(10))
def test_equal_to_the_square_root_of_the_product(seed):
    rng = np.random.default_rng(seed)
    a, b = covariance(rng, 9), covariance(rng, 9)
    m, k = rng.normal(size=(2, 9))
    expected = ((m - k) ** 2).sum() + np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    assert frechet.frechet_distance(m, a, k, b) == pytest.approx(expected)
    assert frechet.frechet_distance(k, b, m, a) == pytest.approx(expected)


def test_equal_to_torchmetrics():
    torch = pytest.importorskip("torch")
    fid = pytest.importorskip("torchmetrics.image.fid")
    rng = np.random.default_rng(0)
    a, b = covariance(rng, 8), covariance(rng, 8)
    m, k = rng.normal(size=(2, 8))
    theirs = fid._compute_fid(*(torch.from_numpy(x) for x in (m, a, k, b)))
    assert frechet.frechet_distance(m, a, k, b) == pytest.approx(float(theirs), rel=1e-6)


def test_singular_covariances_are_no_special_case():
    a = np.diag([4.0, 0.0, 0.0])
    b = np.diag([0.0, 9.0, 0.0])
    zero = np.zeros(3)
    assert frechet.frechet_distance(zero, a, zero, b) == pytest.approx(13)
    assert frechet.frechet_distance(zero, a, zero, a) == pytest.approx(0, abs=1e-9)
    assert frechet.frechet_distance(zero, a * 0, zero + 2, b * 0) == pytest.approx(12)


@pytest.mark.parametrize(("n", "m", "d"), [(20, 30, 50), (40, 30, 35), (90, 20, 8)])
def test_samples_with_and_without_covariances_agree(n, m, d):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(n, d)), 2 * rng.normal(size=(m, d)) + 1
    expected = frechet.frechet_distance(a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T))
    assert frechet.frechet_of_samples(a, b) == pytest.approx(expected)
    turn = stats.ortho_group.rvs(d, random_state=1)
    assert frechet.frechet_of_samples(3 * a @ turn, 3 * b @ turn) == pytest.approx(9 * expected)
    assert frechet.frechet_of_samples(a, a) == pytest.approx(0, abs=1e-7)


def test_pairs_are_those_of_single_distances():
    rng = np.random.default_rng(0)
    means, covs = frechet.mean_and_covariance(rng.normal(size=(4, 30, 6)))
    assert covs[2] == pytest.approx(np.cov(np.random.default_rng(0).normal(size=(4, 30, 6))[2].T))
    roots = frechet.square_root(covs)
    table = frechet.frechet_pairs(means[:, None], roots[:, None], means, covs)
    for i in range(4):
        for j in range(4):
            assert table[i, j] == pytest.approx(
                frechet.frechet_distance(means[i], covs[i], means[j], covs[j])
            )


def test_one_embedding_has_no_covariance():
    with pytest.raises(ValueError, match="two embeddings"):
        frechet.mean_and_covariance(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="two embeddings"):
        frechet.frechet_of_samples(np.zeros((1, 3)), np.zeros((2, 3)))
