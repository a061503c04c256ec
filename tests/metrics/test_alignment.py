import itertools
import math

import numpy as np
import pytest
from sklearn import metrics

from fpbench.metrics import alignment
from fpbench.metrics.score import NotComputable


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    clusters, kinds = rng.integers(4, size=16), rng.integers(3, size=16)
    got = alignment.align_clusters(clusters, [f"v{k}" for k in kinds], permutations=10)
    assert got.ami == pytest.approx(metrics.adjusted_mutual_info_score(kinds, clusters))
    assert got.ari == pytest.approx(metrics.adjusted_rand_score(kinds, clusters))
    assert got.nmi == pytest.approx(metrics.v_measure_score(kinds, clusters))
    assert got.homogeneity == pytest.approx(metrics.homogeneity_score(kinds, clusters))
    assert got.completeness == pytest.approx(metrics.completeness_score(kinds, clusters))
    information = alignment._information(clusters, kinds[None, :])[0]
    assert information == pytest.approx(metrics.mutual_info_score(kinds, clusters))
    nmi = information / alignment._mean_entropy(clusters, kinds)
    assert nmi == pytest.approx(got.nmi)


@pytest.mark.parametrize(
    ("sources", "k", "mean", "p95"),
    [(15, 4, 0.285, 0.457), (17, 5, 0.355, 0.49), (12, 6, 0.52, 0.67), (8, 5, 0.545, None)],
)
def test_random_labels_reach_the_tabled_nmi(sources, k, mean, p95):
    """Independent uniform labels of both kinds, as for the table."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(k, size=(400, 2, sources))
    values = np.array([metrics.normalized_mutual_info_score(*pair) for pair in drawn])
    assert values.mean() == pytest.approx(mean, abs=0.025)
    if p95 is not None:
        assert np.quantile(values, 0.95) == pytest.approx(p95, abs=0.035)
    chance = [
        alignment.align_clusters(one, [f"v{kind}" for kind in two], permutations=200).nmi_chance
        for one, two in drawn[:60]
    ]
    assert np.mean([c for c in chance if c is not None]) == pytest.approx(mean, abs=0.04)


def test_the_p_value_is_that_of_all_permutations():
    clusters = np.array([0, 0, 0, 1, 1, 2, 2])
    values = ["a", "a", "b", "b", "b", "c", "a"]
    observed = metrics.mutual_info_score(values, clusters)
    every = [
        metrics.mutual_info_score(list(p), clusters) >= observed - 1e-9
        for p in set(itertools.permutations(values))
    ]
    assert len(every) == math.factorial(7) // (6 * 6)
    got = alignment.align_clusters(clusters, values)
    assert got.p_value == pytest.approx(np.mean(every), abs=0.015)


def test_permutations_within_families_are_all_of_those():
    families = np.array(["GAN"] * 4 + ["VAE"] * 3)
    values = ["a", "b", "b", "a", "c", "c", "a"]
    clusters = np.array([0, 1, 1, 0, 2, 2, 0])
    every = [
        metrics.mutual_info_score(list(g) + list(v), clusters)
        for g in itertools.permutations(values[:4])
        for v in itertools.permutations(values[4:])
    ]
    expected = np.mean(np.array(every) >= metrics.mutual_info_score(values, clusters) - 1e-9)
    got = alignment.align_clusters(clusters, values, families)
    assert got.p_within_family == pytest.approx(expected, abs=0.015)
    assert got.p_value < got.p_within_family


def test_an_attribute_that_only_repeats_the_family_explains_no_more():
    families = ["GAN"] * 6 + ["VAE"] * 6
    loss = ["adv"] * 6 + ["elbo"] * 6
    got = alignment.align_clusters([0] * 6 + [1] * 6, loss, families)
    assert got.ami == 1
    assert got.p_value < 0.01
    assert got.p_within_family is None


def test_p_values_are_uniform_under_the_null():
    values = ["a"] * 5 + ["b"] * 5 + ["c"] * 6
    rejected = []
    for seed in range(200):
        clusters = np.random.default_rng(seed).integers(4, size=16)
        got = alignment.align_clusters(clusters, values, permutations=99, seed=seed)
        rejected.append(got.p_value <= 0.05)
    assert np.mean(rejected) <= 0.09


def fingerprints(values, seed=0, strength=5.0):
    """Directions by value, in noise."""
    names = sorted({v for v in values if v})
    centres = np.eye(len(names), 30) * strength
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(values), 30)) * 0.3
    return rows + np.array([centres[names.index(v)] if v else np.zeros(30) for v in values])


@pytest.mark.parametrize("algorithm", ["agglomerative", "kmeans"])
def test_the_planted_attribute_is_found_and_the_others_are_not(algorithm):
    up = ["nearest", "transposed", "shuffle"] * 5
    rng = np.random.default_rng(3)
    attributes = {
        "upsampling": up,
        "loss": rng.permutation(["a", "b"] * 7 + ["a"]).tolist(),
        "norm": ["same"] * 15,
        "name": [str(i) for i in range(15)],
    }
    got = alignment.align_sources(fingerprints(up), attributes, algorithm=algorithm)
    upsampling, loss, norm, name = got
    assert upsampling.ami == pytest.approx(1)
    assert upsampling.p_value < 0.001
    assert upsampling.p_holm == pytest.approx(2 * upsampling.p_value)
    assert (upsampling.clusters, upsampling.categories, upsampling.sources) == (3, 3, 15)
    assert loss.p_value > 0.05
    assert "All 15 known values are the same" in norm.reason
    assert "All 15 known values are different" in name.reason
    assert norm.p_holm is None
    assert name.ami is None


def test_sources_of_unknown_value_are_left_out():
    up = ["nearest", "shuffle", None, ""] * 4
    (got,) = alignment.align_sources(fingerprints(up), {"up": up})
    assert (got.sources, got.ami) == (8, 1)
    bare = alignment.align_clusters([0, 1] * 8, up)
    assert bare.sources == 8


def test_alignment_does_not_depend_on_names_or_order():
    rng = np.random.default_rng(0)
    clusters, kinds = rng.integers(3, size=14), rng.integers(3, size=14)
    one = alignment.align_clusters(clusters, [f"a{k}" for k in kinds])
    order = rng.permutation(14)
    two = alignment.align_clusters(
        np.array([7, 2, 5])[clusters[order]], [f"z{9 - kinds[i]}" for i in order]
    )
    assert two.ami == pytest.approx(one.ami)
    assert two.p_value == pytest.approx(one.p_value, abs=0.02)


def test_images_vote_for_the_cluster_of_their_source():
    values = ["a", "b", "c", "a", "b", "c"]
    labels = np.repeat(np.arange(6), 40)
    rows = fingerprints([values[i] for i in labels], strength=3)
    found = alignment.majority_clusters(rows, labels, 3)
    assert metrics.adjusted_rand_score(found, values) == 1
    with pytest.raises(NotComputable, match="Source 2 has no image"):
        alignment.majority_clusters(rows[labels != 2], labels[labels != 2], 3)
    with pytest.raises(NotComputable, match="2 images cannot make 3"):
        alignment.majority_clusters(rows[[0, 40]], labels[[0, 40]], 3)


def test_no_alignment_without_grounds():
    with pytest.raises(ValueError, match="3 sources but 2 values"):
        alignment.align_clusters([0, 1, 1], ["a", "b"])
    with pytest.raises(ValueError, match="no algorithm"):
        alignment.align_sources(np.eye(3), {}, algorithm="spectral")
    with pytest.raises(ValueError, match="3 sources but 2 values of 'up'"):
        alignment.align_sources(np.eye(3), {"up": ["a", "b"]})
    with pytest.raises(NotComputable, match="not finite"):
        alignment.align_sources(np.eye(3) * np.nan, {"up": ["a", "b", "a"]})
    with pytest.raises(NotComputable, match="no direction"):
        alignment.align_sources(np.eye(3) - np.eye(3), {"up": ["a", "b", "a"]})
