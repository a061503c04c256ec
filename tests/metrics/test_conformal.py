"""P-values are valid: closed forms, and coverage in simulation, ties and bags included."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import betabinom, binomtest

from fpbench.metrics.bags import bag_log_proba
from fpbench.metrics.conformal import (
    Calibration,
    bag_p_value,
    count_sets,
    coverage_interval,
    miss_rate,
    pooled,
    possible_sources,
    smallest_bag_p_value,
)


def not_above(rejected: int, trials: int, alpha: float) -> bool:
    """Whether a share of rejections is compatible with a probability of at most alpha."""
    return bool(binomtest(rejected, trials, alpha, alternative="greater").pvalue > 1e-3)


def softmax(scores: np.ndarray) -> np.ndarray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def test_p_values_are_ranks_among_the_images_of_their_own_source() -> None:
    known = Calibration(np.array([[0.9, 0.1], [0.5, 0.5], [0.7, 0.3], [0.4, 0.6]]), [0, 0, 0, 1])
    found = known.p_values([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]])
    assert found == pytest.approx(np.array([[3 / 4, 1 / 2], [2 / 4, 1 / 2], [1 / 4, 1]]))
    assert known.counts.tolist() == [3, 1]
    assert known.smallest == pytest.approx([1 / 4, 1 / 2])


def test_they_are_those_of_the_printed_formula_with_one_minus_p() -> None:
    rng = np.random.default_rng(0)
    # Halves, quarters and the like, of which 1 - p is exact: many ties.
    proba = rng.integers(0, 17, (60, 3)) / 16
    labels = np.repeat([0, 1, 2], 20)
    new = rng.integers(0, 17, (40, 3)) / 16
    found = Calibration(proba, labels).p_values(new)
    for k in range(3):
        nonconformity = 1 - proba[labels == k, k]
        for x in range(40):
            count = sum(s >= 1 - new[x, k] for s in nonconformity)
            assert found[x, k] == (1 + count) / 21


def test_a_source_without_calibration_images_is_never_ruled_out() -> None:
    found = Calibration(np.array([[0.9, 0.1]]), [0]).p_values([[0.0, 0.0]])
    assert found.tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize("levels", [0, 5, 2])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_a_true_source_is_missed_no_more_often_than_promised(levels: int, alpha: float) -> None:
    """Calibration and new images drawn alike, `levels` > 0 with that many distinct scores."""
    rng = np.random.default_rng([levels, int(100 * alpha)])
    known, trials = 20, 4000
    missed = 0
    for _ in range(trials):
        own = rng.beta(2, 1, known + 1)
        own = np.round(own * levels) / levels if levels else own
        proba = np.stack([own, 1 - own], axis=1)
        p = Calibration(proba[1:], np.zeros(known, int)).p_values(proba[:1])[0, 0]
        missed += not possible_sources(p, alpha)
    assert not_above(missed, trials, alpha)
    if not levels:
        # Without ties the rate is known exactly, so that the test would see too few as well.
        exact = miss_rate(known, alpha)
        assert binomtest(missed, trials, exact).pvalue > 1e-3


def test_another_order_is_not_covered() -> None:
    """The test above can fail: images that score lower than the calibration's are missed more."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(1000):
        own = np.append(rng.beta(2, 1, 20), rng.beta(1, 2))
        p = Calibration(np.stack([own[:20], 1 - own[:20]], 1), np.zeros(20, int)).p_values(
            [[own[20], 1 - own[20]]]
        )
        missed += not possible_sources(p[0, 0], 0.1)
    assert not not_above(missed, 1000, 0.1)


def test_coverage_of_many_images_is_beta_binomial() -> None:
    rng = np.random.default_rng(1)
    known, tested, alpha = 20, 150, 0.1
    covered = []
    for _ in range(3000):
        own = rng.random(known)
        p = (1 + np.searchsorted(np.sort(own), rng.random(tested), side="right")) / (known + 1)
        covered.append((p > alpha).sum())
    law = betabinom(tested, 19, 2)
    assert np.mean(covered) == pytest.approx(law.mean(), abs=4 * law.std() / math.sqrt(3000))
    assert np.std(covered) == pytest.approx(law.std(), rel=0.06)
    low, high = coverage_interval(known, tested, alpha)
    inside = np.mean([(low <= c / tested <= high) for c in covered])
    assert 0.94 < inside < 0.985
    assert coverage_interval(8, 10, 0.1) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("known", "alpha", "expected"),
    [(9, 0.1, 0.1), (8, 0.1, 0), (19, 0.1, 0.1), (20, 0.05, 1 / 21), (29, 0.1, 0.1), (0, 0.5, 0)],
)
def test_the_rate_of_misses_is_the_largest_rank_share_up_to_alpha(
    known: int, alpha: float, expected: float
) -> None:
    assert miss_rate(known, alpha) == pytest.approx(expected)


def test_a_p_value_equal_to_alpha_rules_out() -> None:
    for known in (9, 19, 29, 39, 49, 99):
        own = np.linspace(0.5, 1, known)
        low = Calibration(np.stack([own, 1 - own], 1), np.zeros(known, int)).p_values([[0, 1.0]])
        rank = round(0.1 * (known + 1))
        assert low[0, 0] == 1 / (known + 1)
        assert not possible_sources(rank / (known + 1), 0.1)


def test_a_bag_of_one_has_the_p_value_of_its_image() -> None:
    rng = np.random.default_rng(2)
    proba = softmax(rng.normal(size=(25, 4)))
    known = Calibration(proba[:20], np.zeros(20, int))
    for row in proba[20:]:
        single = known.p_values(row[None])[0, 0]
        assert bag_p_value(proba[:20], row[None], 0) == pytest.approx(single)


def test_the_p_value_of_a_bag_is_its_rank_among_all_subsets() -> None:
    rng = np.random.default_rng(3)
    known, bag = softmax(rng.normal(size=(6, 3))), softmax(rng.normal(size=(3, 3)))
    whole = np.concatenate([bag, known])
    scores = {subset: bag_log_proba(whole, [subset])[0, 1] for subset in combinations(range(9), 3)}
    expected = np.mean([score <= scores[0, 1, 2] + 1e-12 for score in scores.values()])
    assert bag_p_value(known, bag, 1) == pytest.approx(expected)
    drawn = bag_p_value(known, bag, 1, draws=70, seed=5)
    assert drawn == pytest.approx(expected, abs=0.25)
    assert round(drawn * 71) == pytest.approx(drawn * 71)
    # Few calibration images and many in the bag: subsets are drawn by what they leave out.
    many = softmax(rng.normal(size=(40, 3)))
    assert 0 < bag_p_value(known[:3], many, 1, draws=99) <= 1


@pytest.mark.parametrize(("known", "images"), [(20, 5), (5, 20), (20, 1), (3, 2)])
@pytest.mark.parametrize("ties", [False, True])
def test_bags_of_their_own_source_are_missed_no_more_often_than_promised(
    known: int, images: int, ties: bool
) -> None:
    rng = np.random.default_rng([known, images])
    alpha, trials = 0.1, 300
    missed = 0
    for trial in range(trials):
        scores = rng.normal(size=(known + images, 3)) * 2
        proba = softmax(np.round(scores) if ties else scores)
        p = bag_p_value(proba[:known], proba[known:], 0, draws=99, seed=trial)
        assert p >= smallest_bag_p_value(known, images, 99)
        missed += p <= alpha
    assert not_above(missed, trials, alpha)


def test_a_bag_sees_what_an_image_does_not() -> None:
    rng = np.random.default_rng(4)
    own = softmax(rng.normal([1, 0], size=(20, 2)))
    others = softmax(rng.normal([0, 1], size=(30, 2)))
    known = Calibration(own, np.zeros(20, int))
    assert bag_p_value(own, others, 0) < 0.01
    assert np.median(known.p_values(others)[:, 0]) > 0.05
    found = Calibration(np.concatenate([own, others]), np.repeat([0, 1], [20, 30])).bag_p_values(
        softmax(rng.normal([1, 0], size=(15, 2)))
    )
    assert found[0] > 0.1 and found[1] < 0.01


def test_the_smallest_p_value_of_a_bag_is_told() -> None:
    assert smallest_bag_p_value(4, 1) == 1 / 5
    assert smallest_bag_p_value(4, 2) == 1 / 15
    assert smallest_bag_p_value(0, 7) == 1
    assert smallest_bag_p_value(40, 40) == 1 / 2000
    assert bag_p_value(np.empty((0, 2)), [[0.0, 1.0]], 0) == 1


def test_sets_are_counted_by_source_and_together() -> None:
    sets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0]], bool)
    first = count_sets(sets, 0)
    assert (first.covered, first.single, first.right, first.empty) == (2, 2, 1, 1)
    unknown = count_sets(sets, None)
    assert (unknown.covered, unknown.single, unknown.empty) == (0, 2, 1)
    assert pooled([first, unknown]).images == 8


@pytest.mark.parametrize(
    ("proba", "labels"),
    [([[0.5, 0.5]], [2]), ([[0.5, 0.5]], [0, 1]), ([[np.nan, 0.5]], [0]), ([0.5], [0])],
)
def test_calibration_that_does_not_fit_is_refused(proba: object, labels: object) -> None:
    with pytest.raises(ValueError, match=r"fit|finite|labels"):
        Calibration(np.array(proba), labels)  # type: ignore[arg-type]


def test_probabilities_that_do_not_fit_are_refused() -> None:
    known = Calibration(np.array([[0.5, 0.5]]), [0])
    with pytest.raises(ValueError, match="2 sources"):
        known.p_values([[1.0]])
    with pytest.raises(ValueError, match="finite"):
        known.p_values([[np.nan, 1]])
    with pytest.raises(ValueError, match="between 0 and 1"):
        possible_sources([0.5], 1)
    with pytest.raises(ValueError, match="compared"):
        bag_p_value([[0.5, 0.5]], np.empty((0, 2)), 0)
