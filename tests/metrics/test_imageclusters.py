import numpy as np
import pytest
from sklearn import metrics
from sklearn.cluster import AgglomerativeClustering

from fpbench.metrics import imageclusters
from fpbench.metrics.score import NotComputable


def clouds(apart, sources=4, images=30, dimension=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(sources), images)
    return np.eye(sources, dimension)[labels] * apart + rng.normal(size=(len(labels), 6)), labels


def test_ward_clusters_are_those_of_scikit_learn():
    rows, _ = clouds(3)
    theirs = AgglomerativeClustering(4, linkage="ward").fit_predict(rows)
    ours = imageclusters.cluster_images(rows, 4, "ward")
    assert metrics.adjusted_rand_score(theirs, ours) == pytest.approx(1)


@pytest.mark.parametrize("algorithm", imageclusters.ALGORITHMS)
def test_planted_sources_are_found_and_noise_is_at_chance(algorithm):
    rows, labels = clouds(8)
    found = imageclusters.align_images(rows, labels, algorithm=algorithm, permutations=200)
    assert found.ami == pytest.approx(1) and found.ari == pytest.approx(1)
    assert found.p_value == pytest.approx(1 / 201) and found.images == 120
    rows, labels = clouds(0)
    noise = imageclusters.align_images(rows, labels, algorithm=algorithm, permutations=200)
    assert abs(noise.ami) < 0.06 and noise.p_value > 0.02
    assert noise.nmi == pytest.approx(noise.nmi_chance, abs=0.06)
    assert noise.ami_low <= noise.ami <= noise.ami_high


def test_scores_are_those_of_scikit_learn():
    rows, labels = clouds(2.5)
    found = imageclusters.align_images(rows, labels, algorithm="ward", permutations=10)
    cut = imageclusters.cluster_images(rows, 4, "ward")
    assert found.nmi == pytest.approx(metrics.normalized_mutual_info_score(labels, cut))
    assert found.ami == pytest.approx(metrics.adjusted_mutual_info_score(labels, cut))
    assert imageclusters._nmi(labels, cut) == pytest.approx(found.nmi)


def test_a_choice_is_tested_over_sources_and_not_over_images():
    """Four sources in two pairs allow three arrangements, however many images there are."""
    rows, labels = clouds(8)
    rows[:, 5] += np.where(labels < 2, 40, 0)
    found = imageclusters.align_images(rows, labels, ["a", "a", "b", "b"], permutations=600)
    assert found.clusters == 2 and found.ami == pytest.approx(1)
    assert found.p_value == pytest.approx(1 / 3, abs=0.06)


def test_no_alignment_without_grounds():
    rows, labels = clouds(1)
    for bad, reason in ((np.ones_like(rows), "equal"), (rows * np.nan, "not finite")):
        with pytest.raises(NotComputable, match=reason):
            imageclusters.align_images(bad, labels)
    with pytest.raises(NotComputable, match="one value"):
        imageclusters.align_images(rows, labels, ["x"] * 4)
    with pytest.raises(NotComputable, match="one value"):
        imageclusters.align_images(rows, labels * 0)
    with pytest.raises(ValueError, match="no algorithm"):
        imageclusters.align_images(rows, labels, algorithm="dbscan")
