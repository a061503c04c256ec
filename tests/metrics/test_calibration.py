"""Calibration error against scikit-learn, torchmetrics and probabilities that are true."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve  # type: ignore[import-untyped]

from fpbench.metrics.calibration import calibration
from fpbench.metrics.score import NotComputable


@pytest.mark.parametrize("bins", [10, 15])
def test_equal_to_the_reliability_curve_of_scikit_learn(bins: int) -> None:
    rng = np.random.default_rng(bins)
    proba = rng.dirichlet([0.3] * 5, 700)
    labels = rng.integers(0, 5, 700)
    confidence, right = proba.max(axis=1), proba.argmax(axis=1) == labels
    accuracies, confidences = calibration_curve(right, confidence, n_bins=bins)
    counts, _ = np.histogram(confidence, np.linspace(0, 1, bins + 1))
    expected = counts[counts > 0] @ np.abs(accuracies - confidences) / 700
    assert calibration(labels, proba, bins=bins).error == pytest.approx(expected)


@pytest.mark.slow  # its import takes longer than all other tests of this module
@pytest.mark.parametrize("bins", [10, 15])
def test_equal_to_torchmetrics(bins: int) -> None:
    torch = pytest.importorskip("torch")
    classification = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(bins)
    proba = rng.dirichlet([0.3] * 5, 700)
    labels = rng.integers(0, 5, 700)
    expected = classification.multiclass_calibration_error(
        torch.tensor(proba), torch.tensor(labels), num_classes=5, n_bins=bins, norm="l1"
    )
    assert calibration(labels, proba, bins=bins).error == pytest.approx(float(expected), abs=1e-6)


def test_by_hand() -> None:
    """Two bins: 0.6 to 0.667 with one of two right, and 0.867 to 0.933 with all right."""
    proba = [[0.62, 0.38], [0.62, 0.38], [0.9, 0.1], [0.1, 0.9]]
    found = calibration([0, 1, 0, 1], proba)
    assert found.error == pytest.approx((2 * 0.12 + 2 * 0.1) / 4)
    assert found.excess == pytest.approx((0.62 + 0.62 + 0.9 + 0.9 - 3) / 4)


def test_true_probabilities_show_the_simulated_level() -> None:
    rng = np.random.default_rng(0)
    found = []
    for seed in range(60):
        proba = rng.dirichlet([0.5] * 4, 300)
        labels = np.array([rng.choice(4, p=row) for row in proba])
        found.append(calibration(labels, proba, seed=seed))
    errors = np.array([x.error for x in found])
    assert errors.mean() == pytest.approx(np.mean([x.level for x in found]), rel=0.1)
    assert np.mean(errors <= [x.highest for x in found]) >= 0.9
    assert abs(np.mean([x.excess for x in found])) < 0.01


def test_too_sure_and_too_modest() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(1000) < 0.6
    labels = np.where(right, 0, 1)
    sure = calibration(labels, np.tile([0.95, 0.05], (1000, 1)))
    assert sure.error == pytest.approx(sure.excess) and sure.excess > 0.3
    assert sure.error > sure.highest
    modest = calibration(np.zeros(100, int), np.tile([0.55, 0.45], (100, 1)))
    assert modest.error == pytest.approx(0.45) and modest.excess == pytest.approx(-0.45)


def test_what_are_no_probabilities_has_none() -> None:
    with pytest.raises(NotComputable, match="do not sum to 1"):
        calibration([0, 1], [[0.9, 0.9], [0.1, 0.1]])
