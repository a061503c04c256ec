import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from fpbench.metrics import attribution
from fpbench.metrics.score import NotComputable


def predictions(seed, sizes=(30, 50, 20, 40), strength=1.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    logits = rng.normal(size=(len(labels), len(sizes)))
    logits[np.arange(len(labels)), labels] += strength
    proba = np.exp(logits)
    return labels, proba / proba.sum(axis=1, keepdims=True)


def generators(labels, proba, real):
    kept = labels != real
    columns = [k for k in range(proba.shape[1]) if k != real]
    part = proba[kept][:, columns]
    renamed = np.array([columns.index(k) for k in labels[kept]])
    return renamed, part / part.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("real", [None, 0, 2])
def test_equal_to_scikit_learn(seed, real):
    labels, proba = predictions(seed)
    y, p = generators(labels, proba, real)
    assert attribution.accuracy(labels, proba, real) == pytest.approx(
        balanced_accuracy_score(y, p.argmax(axis=1))
    )
    assert attribution.accuracy_with_real(labels, proba, real) == pytest.approx(
        balanced_accuracy_score(labels, proba.argmax(axis=1))
    )
    assert attribution.auc(labels, proba, real) == pytest.approx(
        roc_auc_score(y, p, multi_class="ovr", average="macro")
    )
    assert attribution.auc_with_real(labels, proba, real) == pytest.approx(
        roc_auc_score(labels, proba, multi_class="ovr", average="macro")
    )
    assert (
        attribution.confusion_matrix(labels, proba, real)
        == sklearn_confusion(labels, proba.argmax(axis=1))
    ).all()
    if real is not None:
        assert attribution.auc_real(labels, proba, real) == pytest.approx(
            roc_auc_score(labels == real, proba[:, real])
        )


@pytest.mark.parametrize("seed", range(5))
def test_auc_counts_ties_as_scikit_learn_does(seed):
    labels, proba = predictions(seed)
    coarse = np.round(proba, 1) + 0.05
    coarse /= coarse.sum(axis=1, keepdims=True)
    assert attribution.auc(labels, coarse, None) == pytest.approx(
        roc_auc_score(labels, coarse, multi_class="ovr", average="macro")
    )


def test_the_bootstrap_of_auc_is_the_auc_of_resampled_images():
    labels, proba = predictions(3)
    proba = np.round(proba, 1) + 0.05
    proba /= proba.sum(axis=1, keepdims=True)
    counts = next(attribution.multiplicities(labels, 0, 20))
    draws = attribution._macro_auc(attribution._rankings(labels, proba), counts)
    for r in range(20):
        drawn = np.repeat(np.arange(len(labels)), counts[:, r])
        assert draws[r] == pytest.approx(
            roc_auc_score(labels[drawn], proba[drawn], multi_class="ovr")
        )


def test_telling_real_from_generated_gains_nothing_in_the_headline():
    labels, proba = predictions(0, strength=0)
    lifted = proba.copy()
    lifted[:, 1] = 0
    lifted /= lifted.sum(axis=1, keepdims=True)
    lifted[labels == 1] = np.eye(4)[1]
    assert attribution.accuracy(labels, lifted, 1) == pytest.approx(
        attribution.accuracy(labels, proba, 1)
    )
    assert attribution.auc(labels, lifted, 1) == pytest.approx(attribution.auc(labels, proba, 1))
    assert attribution.auc_real(labels, lifted, 1) == 1
    flipped = np.stack([1 - lifted[:, 1], lifted[:, 1]], axis=1)
    assert attribution.auc_real((labels == 1).astype(int), flipped, 1) == 1
    assert attribution.auc_real((labels == 1).astype(int), flipped[:, ::-1], 1) == 0


@pytest.mark.parametrize("seed", range(5))
def test_scores_do_not_depend_on_the_order_of_sources_or_images(seed):
    labels, proba = predictions(seed)
    proba[:10] = np.eye(4)[0]  # rows with tied generator columns, Real being column 0
    rng = np.random.default_rng(seed)
    order = rng.permutation(4)
    images = rng.permutation(len(labels))
    place = np.argsort(order)
    for point in (attribution.accuracy, attribution.auc, attribution.auc_with_real):
        assert point(place[labels][images], proba[images][:, order], int(place[0])) == (
            pytest.approx(point(labels, proba, 0))
        )


def test_a_method_that_knows_nothing_scores_chance():
    labels, proba = predictions(0)
    flat = np.full_like(proba, 0.25)
    assert attribution.accuracy(labels, flat, 0) == pytest.approx(1 / 3)
    assert attribution.accuracy_with_real(labels, flat, 0) == pytest.approx(1 / 4)
    assert attribution.auc(labels, flat, 0) == 0.5
    only_real = np.tile(np.eye(4)[0], (len(labels), 1))
    assert attribution.accuracy(labels, only_real, 0) == pytest.approx(1 / 3)
    shuffled = [
        attribution.accuracy(np.random.default_rng(s).permutation(labels), proba, 0)
        for s in range(200)
    ]
    assert np.mean(shuffled) == pytest.approx(1 / 3, abs=0.01)
    assert attribution.accuracy_score(labels, proba, 0).chance == pytest.approx(1 / 3)


def test_the_confusion_matrix_holds_the_accuracy():
    labels, proba = predictions(1)
    proba[:10] = 0.25
    matrix = attribution.confusion_matrix(labels, proba, 2, with_real=False)
    assert matrix.sum(axis=1) == pytest.approx([30, 50, 40])
    assert (np.diag(matrix) / matrix.sum(axis=1)).mean() == pytest.approx(
        attribution.accuracy(labels, proba, 2)
    )


def test_correctness_of_images_averages_to_the_accuracy():
    labels, proba = predictions(1)
    hit, y = attribution.image_correctness(labels, proba, 2)
    assert np.mean([hit[y == c].mean() for c in range(3)]) == pytest.approx(
        attribution.accuracy(labels, proba, 2)
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda y, p: (y[:0], p[:0], None), "no test image"),
        (lambda y, p: (y, np.where(p > 0.9, np.nan, p), None), "not finite"),
        (lambda y, p: (y, p - 0.5, None), "negative or do not sum"),
        (lambda y, p: (y[y != 2], p[y != 2], None), "column 2 has 0 test images"),
        (lambda y, p: (y * 0, np.ones((len(y), 1)), None), "1 sources to tell apart"),
        (lambda y, p: (y % 2, np.full((len(y), 2), 0.5), 1), "1 sources to tell apart"),
    ],
)
def test_no_value_without_grounds(change, reason):
    labels, proba, real = change(*predictions(0))
    for score in (attribution.accuracy_score, attribution.auc_score):
        result = score(labels, proba, real)
        assert result.value is None
        assert reason in result.reason
    with pytest.raises(NotComputable, match=reason):
        attribution.accuracy(labels, proba, real)


def test_images_listed_twice_give_no_value():
    labels, proba = predictions(0)
    ids = [str(i // 2) for i in range(len(labels))]
    for score in (
        attribution.accuracy_score,
        attribution.auc_score,
        attribution.auc_real_score,
    ):
        assert "listed twice" in score(labels, proba, 0, ids=ids).reason


def test_real_against_generated_needs_real_images():
    labels, proba = predictions(0)
    assert attribution.auc_real_score(labels, proba, None).reason == "No source is Real."
    kept = labels != 1
    assert "0 real" in attribution.auc_real_score(labels[kept], proba[kept], 1).reason


def test_faults_of_the_caller_are_errors():
    labels, proba = predictions(0)
    with pytest.raises(ValueError, match="do not fit"):
        attribution.accuracy(labels[1:], proba, None)
    with pytest.raises(ValueError, match="Real is column 4"):
        attribution.accuracy(labels, proba, 4)
    with pytest.raises(ValueError, match="labels reach"):
        attribution.accuracy(labels + 1, proba, None)
    with pytest.raises(ValueError, match="give integers"):
        attribution.accuracy(labels + 0.5, proba, None)


def gaussian_scores(rng, sizes, shift):
    """Two sources whose evidence is normal: accuracy Φ(shift/2), AUC Φ(shift/√2)."""
    labels = np.repeat([0, 1], sizes)
    evidence = rng.normal(size=len(labels)) + shift * labels
    p = 1 / (1 + np.exp(-(evidence - shift / 2)))
    return labels, np.stack([1 - p, p], axis=1)


def covered(score, truth, repeats, sizes=(60, 90), shift=1.5):
    hits = 0
    for seed in range(repeats):
        result = score(*gaussian_scores(np.random.default_rng(seed), sizes, shift), seed)
        hits += result.ci_low <= truth <= result.ci_high
    return hits / repeats


def accuracy_interval(labels, proba, seed):
    return attribution.accuracy_score(labels, proba, None, seed=seed)


def auc_interval(labels, proba, seed):
    return attribution.auc_score(labels, proba, None, seed=seed, repeats=400)


def auc_real_interval(labels, proba, seed):
    return attribution.auc_real_score(labels, proba, 1, seed=seed, repeats=400)


def test_intervals_cover_the_truth():
    assert 0.92 <= covered(accuracy_interval, norm.cdf(0.75), 500) <= 0.98
    assert 0.92 <= covered(auc_interval, norm.cdf(1.5 / np.sqrt(2)), 500) <= 0.98
    assert 0.90 <= covered(auc_real_interval, norm.cdf(1.5 / np.sqrt(2)), 200) <= 0.99


def test_a_faultless_test_is_no_proof_of_a_faultless_method():
    labels = np.repeat([0, 1, 2], 40)
    proba = np.eye(3)[labels] * 0.9 + 0.1 / 3
    accuracy = attribution.accuracy_score(labels, proba, None)
    assert (accuracy.value, accuracy.ci_high) == (1, 1)
    assert 0.95 < accuracy.ci_low < 0.98
    auc = attribution.auc_score(labels, proba, None)
    assert (auc.value, auc.ci_high) == (1, 1)
    assert 0.9 < auc.ci_low < accuracy.ci_low
    real = attribution.auc_real_score(labels, proba, 2)
    assert real.value == 1
    assert real.ci_low < 0.95


def test_intervals_narrow_with_more_images():
    few = attribution.auc_score(*gaussian_scores(np.random.default_rng(0), (50, 50), 1), None)
    many = attribution.auc_score(*gaussian_scores(np.random.default_rng(0), (800, 800), 1), None)
    assert few.halfwidth / many.halfwidth == pytest.approx(4, rel=0.25)
