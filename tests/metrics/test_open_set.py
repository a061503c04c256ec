"""Open-set measures against scikit-learn, sweeps of the threshold, and numbers by hand."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_mutual_info_score, roc_auc_score

from fpbench.metrics.open_set import (
    OpenImages,
    cluster_unknown,
    directions,
    open_auroc,
    open_fpr95,
    open_set_scores,
    oscr,
    unknown_ami_score,
)
from fpbench.metrics.score import NotComputable

Floats = NDArray[np.float64]


def images(counts: dict[int, int], unknown: set[int]) -> OpenImages:
    sources = np.concatenate([np.full(n, source) for source, n in counts.items()])
    return OpenImages(sources, np.isin(sources, list(unknown)))


UNEQUAL = {0: 7, 1: 20, 2: 11, 3: 5, 4: 16}


def looks(seed: int, of: OpenImages, *, ties: bool) -> Floats:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=len(of.sources)) + 0.7 * of.unknown + 0.1 * of.sources
    return np.round(values, 1) if ties else values


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_mean_over_pairs_of_generators(seed: int, ties: bool) -> None:
    of = images(UNEQUAL, {3, 4})
    u = looks(seed, of, ties=ties)
    pairs = []
    for known, new in product((0, 1, 2), (3, 4)):
        chosen = np.isin(of.sources, (known, new))
        pairs.append(roc_auc_score(of.unknown[chosen], u[chosen]))
    assert open_auroc(u, of) == pytest.approx(np.mean(pairs))
    # The same by weights: every generator weighs the same on its side.
    assert open_auroc(u, of) == pytest.approx(
        roc_auc_score(of.unknown, u, sample_weight=of.weights)
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_fpr95_and_oscr_follow_from_a_sweep_of_the_threshold(seed: int, ties: bool) -> None:
    of = images(UNEQUAL, {2, 4})
    u = looks(seed, of, ties=ties)
    correct = np.random.default_rng(seed + 50).choice([0, 0.5, 1], len(u))

    def share(accepted: NDArray[np.bool_], of_sources: tuple[int, ...], value: Floats) -> float:
        return float(
            np.mean([(accepted * value)[of.sources == source].mean() for source in of_sources])
        )

    thresholds = [-np.inf, *np.unique(u)]
    accept = [u <= threshold for threshold in thresholds]
    ones = np.ones(len(u))
    known = [share(a, (0, 1, 3), ones) for a in accept]
    new = [share(a, (2, 4), ones) for a in accept]
    right = [share(a, (0, 1, 3), correct) for a in accept]
    first = next(k for k, value in enumerate(known) if value >= 0.95 - 1e-12)
    assert open_fpr95(u, of) == pytest.approx(new[first])
    assert oscr(u, correct, of) == pytest.approx(trapezoid(right, new))


def test_oscr_is_the_accuracy_at_best_and_half_of_it_by_chance() -> None:
    of = images({0: 40, 1: 40, 2: 60}, {2})
    correct = np.tile([1.0, 1.0, 0.0, 1.0], 35)
    apart = of.unknown.astype(float)
    assert oscr(apart, correct, of) == pytest.approx(0.75)
    assert oscr(np.zeros(140), correct, of) == pytest.approx(0.375)
    assert oscr(-apart, correct, of) == 0
    assert oscr(apart, np.zeros(140), of) == 0
    score = open_set_scores({"msp": apart}, of, correct=correct, repeats=20)["oscr"]
    assert score.value == pytest.approx(0.75) and score.chance == pytest.approx(0.375)


def test_all_scores_agree_with_the_single_functions_and_lie_in_their_intervals() -> None:
    of = images({0: 60, 1: 40, 2: 50, 3: 30}, {2, 3})
    u, correct = looks(0, of, ties=False), np.ones(180)
    found = open_set_scores(
        {"msp": u, "knn": -u}, of, correct=correct, groups={"family": [3]}, repeats=200
    )
    assert list(found) == [
        "open_auroc_msp", "open_fpr95_msp", "open_auroc_msp_family",
        "open_auroc_knn", "open_fpr95_knn", "open_auroc_knn_family", "oscr",
    ]  # fmt: skip
    assert found["open_auroc_msp"].value == pytest.approx(open_auroc(u, of))
    assert found["open_fpr95_knn"].value == pytest.approx(open_fpr95(-u, of))
    assert found["oscr"].value == pytest.approx(oscr(u, correct, of))
    part = of.sources != 2
    alone = OpenImages(of.sources[part], of.unknown[part])
    assert found["open_auroc_msp_family"].value == pytest.approx(open_auroc(u[part], alone))
    assert found["open_auroc_msp_family"].n == 130 and found["open_auroc_msp"].n == 180
    assert found["open_auroc_msp"].value == pytest.approx(1 - (found["open_auroc_knn"].value or 0))
    for score in found.values():
        assert score.value is not None and score.ci_low is not None and score.ci_high is not None
        assert 0 <= score.ci_low < score.value < score.ci_high <= 1


def test_intervals_hold_the_truth_where_nothing_is_to_be_seen() -> None:
    of = images(dict.fromkeys(range(5), 40), {3, 4})
    held = {"open_auroc_msp": 0, "open_fpr95_msp": 0, "oscr": 0}
    rng = np.random.default_rng(1)
    for seed in range(100):
        u = rng.normal(size=200)
        found = open_set_scores({"msp": u}, of, correct=np.ones(200), seed=seed, repeats=200)
        for key in held:
            low, high = found[key].ci_low, found[key].ci_high
            chance = found[key].chance
            assert low is not None and high is not None and chance is not None
            held[key] += low <= chance <= high
    # 95 of 100 but for 3 standard errors; of a quantile near the end fewer.
    assert held["open_auroc_msp"] >= 88 and held["oscr"] >= 88 and held["open_fpr95_msp"] >= 85, (
        held
    )


def test_perfect_separation_is_not_certain() -> None:
    of = images({0: 50, 1: 50, 2: 50}, {2})
    found = open_set_scores({"msp": of.unknown.astype(float)}, of, repeats=50)
    auroc, fpr = found["open_auroc_msp"], found["open_fpr95_msp"]
    assert auroc.value == 1 and auroc.ci_low is not None and 0.85 < auroc.ci_low < 0.95
    assert fpr.value == 0 and fpr.ci_high is not None and 0.05 < fpr.ci_high < 0.15
    assert "oscr" not in found


def test_what_defines_no_value_is_told() -> None:
    with pytest.raises(NotComputable, match="no image of a generator that is unknown"):
        images({0: 5, 1: 5}, set())
    with pytest.raises(NotComputable, match="no image of a generator that is known"):
        images({0: 5, 1: 5}, {0, 1})
    with pytest.raises(NotComputable, match="Source 1 has one image"):
        images({0: 5, 1: 1, 2: 4}, {2})
    of = images({0: 5, 1: 5}, {1})
    broken = np.where(of.unknown, np.nan, 0.0)
    assert "5 images look is not finite" in (
        open_set_scores({"msp": broken}, of, repeats=5)["open_auroc_msp"].reason or ""
    )
    with pytest.raises(ValueError, match="10 images but"):
        open_auroc(np.zeros(3), of)


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, 20))
    truth = np.repeat([0, 1, 2], 25)
    rows = centres[truth] * rng.uniform(1, 4, (75, 1)) + 0.6 * rng.normal(size=(75, 20))
    expected = AgglomerativeClustering(3, metric="cosine", linkage="average").fit_predict(rows)
    found = cluster_unknown(rows, 3)
    assert adjusted_mutual_info_score(found, expected) == pytest.approx(1)
    score = unknown_ami_score(found, truth, seed=seed)
    assert score.value == pytest.approx(adjusted_mutual_info_score(truth, found))
    assert score.ci_low is not None and score.ci_high is not None
    assert score.ci_low <= score.value <= score.ci_high and score.chance == 0


def test_clusters_of_noise_agree_with_nothing() -> None:
    rng = np.random.default_rng(0)
    score = unknown_ami_score(
        cluster_unknown(rng.normal(size=(90, 40)), 3), np.repeat([0, 1, 2], 30)
    )
    assert score.value is not None and abs(score.value) < 0.1


def test_clusters_need_two_sources_and_embeddings_that_differ() -> None:
    rows = np.random.default_rng(0).normal(size=(10, 4))
    with pytest.raises(NotComputable, match="one unknown source only"):
        cluster_unknown(rows, 1)
    with pytest.raises(NotComputable, match="point one way"):
        cluster_unknown(np.full((10, 4), 3.0) * np.arange(1, 11)[:, None], 2)
    with pytest.raises(NotComputable, match="1 images cannot make 2"):
        cluster_unknown(rows[:1], 2)
    assert unknown_ami_score([0, 1], [5, 5]).reason == "There is one unknown source only."


def test_directions_have_length_one_or_are_zero() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 9)) * 1e6
    rows[2] = 0
    lengths = np.linalg.norm(directions(rows), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 0, 1, 1, 1], rtol=1e-6)
