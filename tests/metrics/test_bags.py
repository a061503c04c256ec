import numpy as np
import pytest

from fpbench.metrics import attribution, bags
from fpbench.metrics.score import NotComputable


def images(seed, per_source=60, sources=3, strength=0.4):
    """Images whose evidence favours source 1 a little, so that bags are not all right."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(sources), per_source)
    logits = rng.normal(size=(len(labels), sources))
    logits[np.arange(len(labels)), labels] += strength
    logits[:, 1] += 0.15
    proba = np.exp(logits)
    return labels, proba / proba.sum(axis=1, keepdims=True)


def test_bags_are_judged_by_the_product_of_their_images():
    _, proba = images(0)
    members = np.random.default_rng(0).integers(len(proba), size=(20, 5))
    log = bags.bag_log_proba(proba, members)
    geometric = np.prod(proba[members], axis=1) ** (1 / 5)
    assert np.exp(log) == pytest.approx(geometric / geometric.sum(axis=1, keepdims=True))
    assert bags.bag_log_proba(proba, list(members)) == pytest.approx(log)
    ragged = bags.bag_log_proba(proba, [[3], [1, 2, 4]])
    assert np.exp(ragged[0]) == pytest.approx(proba[3])
    with pytest.raises(ValueError, match="at least one image"):
        bags.bag_log_proba(proba, [[], [1]])


def test_one_impossible_image_does_not_outvote_a_bag():
    proba = np.array([[0.0, 1.0]] + [[0.99, 0.01]] * 9)
    assert bags.bag_log_proba(proba, [np.arange(10)]).argmax() == 0
    assert np.isfinite(bags.bag_log_proba(np.eye(2), [[0], [1]])).all()


def test_drawn_bags_hold_one_source_and_no_image_twice():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 2, 5], [30, 47, 12]))
    drawn = bags.draw_bags(labels, 6, 25, np.random.default_rng(1))
    assert drawn.shape == (75, 6)
    assert (labels[drawn] == labels[drawn[:, :1]]).all()
    assert labels[drawn[:, 0]].tolist() == [0] * 25 + [2] * 25 + [5] * 25
    assert all(len(set(bag)) == 6 for bag in drawn.tolist())
    used = np.bincount(drawn.ravel(), minlength=len(labels))[labels == 5]
    assert used.tolist() == pytest.approx([12.5] * 12, abs=0.5)
    assert (drawn == bags.draw_bags(labels, 6, 25, np.random.default_rng(1))).all()
    with pytest.raises(NotComputable, match="A bag holds 13 images, but source 5 has 12"):
        bags.draw_bags(labels, 13, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="cannot be drawn"):
        bags.draw_bags(labels, 0, 1, np.random.default_rng(0))


def test_bags_of_one_are_images():
    few, many = images(0), images(0, 700)
    for (labels, proba), real in ((few, None), (few, 1), (many, None)):
        single = bags.accuracy_bag_score(labels, proba, 1, real)
        assert single.value == pytest.approx(attribution.accuracy(labels, proba, real))
        assert single.chance == attribution.accuracy_score(labels, proba, real).chance


def test_bags_see_more_than_images():
    labels, proba = images(0)
    values = [bags.accuracy_bag_score(labels, proba, n, None).value for n in (1, 10, 60)]
    assert values[0] < values[1] < values[2]


def test_the_value_is_the_mean_over_all_bags():
    """Three images a source in bags of two: all nine bags can be written down."""
    labels, proba = images(1, per_source=3)
    log = np.log(proba)
    right = [
        (log[3 * s + i] + log[3 * s + j]).argmax() == s
        for s in range(3)
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert bags.accuracy_bag_score(labels, proba, 2, None).value == pytest.approx(
        np.mean(right), abs=0.04
    )


def test_no_value_without_enough_images():
    labels, proba = images(0)
    score = bags.accuracy_bag_score(labels, proba, 61, None)
    assert score.value is None
    assert score.reason == "A bag holds 61 images, but source 0 has 60 test images."
    assert "not finite" in bags.accuracy_bag_score(labels, proba * np.nan, 10, None).reason
    assert "listed twice" in bags.accuracy_bag_score(labels, proba, 2, None, ids=["a"] * 180).reason
    with pytest.raises(ValueError, match="at least one"):
        bags.accuracy_bag_score(labels, proba, 0, None)


def test_bags_that_are_all_right_have_no_interval_of_length_nought():
    labels = np.repeat([0, 1, 2], 40)
    score = bags.accuracy_bag_score(labels, np.eye(3)[labels], 10, None)
    assert (score.value, score.ci_high) == (1, 1)
    assert score.ci_low == pytest.approx(0.025 ** (1 / 12))


def coverage(size, per_source, repeats):
    labels, proba = images(10**6, per_source=size * 4000)
    fresh = np.arange(len(labels)).reshape(-1, size)
    right = bags.bag_log_proba(proba, fresh).argmax(axis=1) == labels[fresh[:, 0]]
    truth = right.mean()
    hits = ready = 0
    for seed in range(repeats):
        labels, proba = images(seed, per_source)
        score = bags.accuracy_bag_score(labels, proba, size, None, seed=seed, repeats=200)
        hits += score.ci_low <= truth <= score.ci_high
        drawn = bags.draw_bags(labels, size, 50, np.random.default_rng(seed))
        judged = np.exp(bags.bag_log_proba(proba, drawn))
        score = bags.accuracy_of_bags_score(labels, drawn, judged, None, seed=seed)
        ready += score.ci_low <= truth <= score.ci_high
    return hits / repeats, ready / repeats


def test_intervals_cover_the_accuracy_on_fresh_bags():
    resampled, ready = coverage(5, 60, 200)
    assert 0.90 <= resampled <= 0.99
    assert 0.90 <= ready


@pytest.mark.slow
@pytest.mark.parametrize(("size", "per_source"), [(10, 60), (10, 150), (50, 100)])
def test_intervals_of_larger_bags_cover_too(size, per_source):
    resampled, ready = coverage(size, per_source, 500)
    # With two bags to a source the interval errs towards width.
    assert 0.92 <= resampled <= (0.99 if per_source < 5 * size else 0.98)
    assert 0.92 <= ready


def test_ready_made_bags():
    labels, proba = images(0)
    drawn = bags.draw_bags(labels, 10, 30, np.random.default_rng(0))
    judged = np.exp(bags.bag_log_proba(proba, drawn))
    score = bags.accuracy_of_bags_score(labels, drawn, judged, None)
    truth = labels[drawn[:, 0]]
    assert score.value == pytest.approx((judged.argmax(axis=1) == truth).mean())
    assert score.n == 180
    assert score.ci_low < score.value < score.ci_high
    headline = bags.accuracy_of_bags_score(labels, drawn, judged, 1)
    kept = truth != 1
    assert headline.value == pytest.approx(
        (judged[kept][:, [0, 2]].argmax(axis=1) == truth[kept] // 2).mean()
    )
    assert (headline.n, headline.chance) == (120, 0.5)
    assert bags.accuracy_of_bags_score(labels, drawn, judged, 1, with_real=True) == score


def test_many_bags_of_the_same_images_claim_no_more_than_the_images_hold():
    labels, proba = images(0)
    few, many = (
        bags.draw_bags(labels, 30, number, np.random.default_rng(0)) for number in (2, 400)
    )
    scores = [
        bags.accuracy_of_bags_score(labels, b, np.exp(bags.bag_log_proba(proba, b)), None)
        for b in (few, many)
    ]
    assert scores[1].halfwidth > 0.1


def test_ready_made_bags_must_be_bags():
    labels, proba = images(0)
    good = bags.draw_bags(labels, 4, 5, np.random.default_rng(0))
    judged = np.exp(bags.bag_log_proba(proba, good))
    mixed = good.copy()
    mixed[0, 0] = 179
    with pytest.raises(ValueError, match="several sources"):
        bags.accuracy_of_bags_score(labels, mixed, judged, None)
    doubled = good.copy()
    doubled[0, 0] = doubled[0, 1]
    with pytest.raises(ValueError, match="image twice"):
        bags.accuracy_of_bags_score(labels, doubled, judged, None)
    with pytest.raises(ValueError, match="do not fit"):
        bags.accuracy_of_bags_score(labels, good[1:], judged, None)
    lacking = labels[good[:, 0]] != 2
    reason = bags.accuracy_of_bags_score(labels, good[lacking], judged[lacking], None).reason
    assert "column 2 has 0" in reason
    ids = ["a"] * 180
    assert "twice" in bags.accuracy_of_bags_score(labels, good, judged, None, ids=ids).reason
