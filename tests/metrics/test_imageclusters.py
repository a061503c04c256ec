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
    table = imageclusters._table(labels, cut)
    assert imageclusters._nmi(table) == pytest.approx(found.nmi)
    both = imageclusters._nmi(np.stack([table, np.ones_like(table)]))
    assert both == pytest.approx([found.nmi, 0])


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


def test_main_axes_keep_the_distances_of_few_dimensions():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 20)) @ rng.normal(size=(20, 90))
    kept = imageclusters.main_axes(rows)
    assert kept.shape == (80, 50)
    np.testing.assert_allclose(
        np.linalg.norm(kept[:40] - kept[40:], axis=1),
        np.linalg.norm(rows[:40] - rows[40:], axis=1),
    )


def interval_coverage(strength, repeats, images=60):
    """How often the interval holds the agreement of the whole population, known in closed form."""
    shares = np.full((4, 4), (1 - strength) / 4) + np.eye(4) * strength
    joint = shares / 4
    # Without chance agreement, as in a population, AMI is MI over entropy.
    mi = np.log(4) + np.sum(joint * np.log(shares))
    truth = mi / np.log(4)
    rng = np.random.default_rng(0)
    origin = np.repeat(np.arange(4), images)
    hits = 0
    for _ in range(repeats):
        found = np.concatenate([rng.choice(4, images, p=row) for row in shares])
        ami = metrics.adjusted_mutual_info_score(origin, found)
        low, high = imageclusters.ami_interval(origin, found, np.arange(4), ami, rng)
        hits += low <= truth <= high
    return hits / repeats


@pytest.mark.parametrize("strength", [0.3, 0.7])
def test_the_interval_holds_the_agreement_of_the_population(strength):
    assert 0.88 <= interval_coverage(strength, 100) <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize("strength", [0.3, 0.5, 0.8])
def test_the_interval_covers_at_500_repeats(strength):
    assert 0.92 <= interval_coverage(strength, 500) <= 0.98
