import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from fpbench.metrics import structure
from fpbench.metrics.score import NotComputable


def planted(seed=0, sizes=(3, 2, 4), within=0.8, between=0.2, noise=0.05):
    """Correlation matrix of sources in groups, alike within and not between."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(len(sizes)), sizes)
    rho = np.where(group[:, None] == group[None, :], within, between)
    rho = rho + rng.uniform(-noise, noise, size=rho.shape)
    np.fill_diagonal(rho, 0.95)
    return rho, group


def test_the_distance_is_one_less_the_symmetric_part():
    rho, _ = planted()
    distance = structure.similarity_distance(rho)
    assert (distance == distance.T).all()
    assert (np.diag(distance) == 0).all()
    assert distance[1, 4] == pytest.approx(1 - (rho[1, 4] + rho[4, 1]) / 2)


@pytest.mark.parametrize("method", ["average", "complete", "single"])
def test_trees_are_those_of_scipy_and_scikit_learn(method):
    rho, _ = planted(noise=0.19)
    distance = structure.similarity_distance(rho)
    tree = structure.cluster_sources(distance, method)
    flat = squareform(distance)
    theirs = scipy_linkage(flat, method)
    assert np.sort(tree.linkage[:, 2]) == pytest.approx(np.sort(theirs[:, 2]))
    assert tree.cophenetic == pytest.approx(cophenet(theirs, flat)[0])
    for k in (2, 3, 5):
        other = AgglomerativeClustering(k, metric="precomputed", linkage=method).fit(distance)
        assert adjusted_rand_score(tree.cut(k), other.labels_) == 1
        assert len(np.unique(tree.cut(k))) == k


def test_ward_of_fingerprints():
    rng = np.random.default_rng(0)
    vectors = np.repeat(np.eye(3, 10) * 5, 3, axis=0) + rng.normal(size=(9, 10)) * 0.1
    distance = structure.fingerprint_distance(vectors)
    assert distance[0, 4] == pytest.approx(np.linalg.norm(vectors[0] - vectors[4]))
    tree = structure.cluster_sources(distance, "ward")
    assert (
        tree.cut(3).tolist() in ([0] * 3 + [1] * 3 + [2] * 3,)
        or adjusted_rand_score(tree.cut(3), np.repeat([0, 1, 2], 3)) == 1
    )


def test_planted_groups_are_found_whatever_the_order():
    rho, group = planted()
    tree = structure.cluster_sources(structure.similarity_distance(rho))
    assert adjusted_rand_score(tree.cut(3), group) == 1
    assert tree.cophenetic > 0.9
    in_order = group[tree.order]
    assert (np.diff(in_order) != 0).sum() == 2
    assert sorted(tree.order.tolist()) == list(range(9))
    mixed = np.random.default_rng(1).permutation(9)
    other = structure.cluster_sources(structure.similarity_distance(rho[np.ix_(mixed, mixed)]))
    assert adjusted_rand_score(other.cut(3), group[mixed]) == 1


def test_clusters_are_numbered_along_the_leaves():
    rho, _ = planted()
    tree = structure.cluster_sources(structure.similarity_distance(rho))
    assert (np.diff(tree.cut(3)[tree.order]) >= 0).all()
    assert tree.cut(1).tolist() == [0] * 9
    assert sorted(tree.cut(9).tolist()) == list(range(9))
    with pytest.raises(ValueError, match="cannot make 10"):
        tree.cut(10)


def test_equal_distances_make_fewer_clusters_and_no_cophenetic_correlation():
    flat = structure.cluster_sources(1 - np.eye(4))
    assert flat.cophenetic is None
    assert len(np.unique(flat.cut(2))) == 1
    two = structure.cluster_sources(structure.similarity_distance([[1, 0.3], [0.3, 1]]))
    assert two.cophenetic is None


def correlations(seed, images, spread):
    rho, group = planted(noise=0)
    labels = np.repeat(np.arange(9), images)
    rng = np.random.default_rng(seed)
    return np.clip(rho[labels] + rng.normal(size=(len(labels), 9)) * spread, 0, 1), labels, group


def test_clusters_that_the_images_settle_stay_together():
    rows, labels, group = correlations(0, 50, 0.05)
    together = structure.coclustering(rows, labels, 3, repeats=50)
    assert (together == (group[:, None] == group[None, :])).all()
    assert (together == structure.coclustering(rows, labels, 3, repeats=50)).all()


def test_clusters_that_they_do_not_settle_come_apart():
    labels = np.repeat(np.arange(6), 20)
    rows = np.random.default_rng(0).random((120, 6)) * 0.2
    rows[np.arange(120), labels] = 0.9
    together = structure.coclustering(rows, labels, 3, repeats=100)
    off = together[~np.eye(6, dtype=bool)]
    assert ((off > 0.05) & (off < 0.95)).mean() > 0.5
    assert (np.diag(together) == 1).all()
    assert (together == together.T).all()


def test_no_tree_without_grounds():
    with pytest.raises(NotComputable, match="one source"):
        structure.similarity_distance([[1.0]])
    with pytest.raises(NotComputable, match="not finite"):
        structure.similarity_distance([[1.0, np.nan], [0.1, 1.0]])
    with pytest.raises(ValueError, match="square"):
        structure.similarity_distance(np.ones((2, 3)))
    with pytest.raises(ValueError, match="at most 1"):
        structure.similarity_distance([[1.0, 2.0], [0.1, 1.0]])
    with pytest.raises(NotComputable, match="one source"):
        structure.fingerprint_distance(np.ones((1, 4)))
    with pytest.raises(NotComputable, match="not finite"):
        structure.fingerprint_distance([[1.0, np.inf], [0.1, 1.0]])
    with pytest.raises(ValueError, match="no linkage 'median'"):
        structure.cluster_sources(1 - np.eye(3), "median")
    rows, labels, _ = correlations(0, 5, 0.1)
    with pytest.raises(NotComputable, match="Source 8 has no"):
        structure.coclustering(rows[labels < 8], labels[labels < 8], 3)
    with pytest.raises(ValueError, match="do not fit"):
        structure.coclustering(rows, labels[1:], 3)
