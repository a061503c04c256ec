import numpy as np
import pytest

from fpbench.metrics import statistics


def test_holm_by_hand_and_against_bonferroni():
    assert statistics.holm([0.01, 0.02, 0.03, 0.04]).tolist() == pytest.approx(
        [0.04, 0.06, 0.06, 0.06]
    )
    p = np.random.default_rng(0).random(30) ** 3
    corrected = statistics.holm(p)
    assert corrected.min() == pytest.approx(30 * p.min())
    assert (corrected >= p).all()
    assert (corrected <= np.minimum(1, 30 * p)).all()
    assert (np.diff(corrected[np.argsort(p)]) >= 0).all()
    gaps = statistics.holm([0.01, np.nan, 0.04])
    assert np.isnan(gaps[1])
    assert gaps[[0, 2]].tolist() == [0.02, 0.04]
    assert statistics.holm([]).shape == (0,)
    with pytest.raises(ValueError, match="between 0 and 1"):
        statistics.holm([1.2])


def test_holm_keeps_the_family_wise_level():
    rng = np.random.default_rng(0)
    rejected = [(statistics.holm(rng.random(10)) <= 0.05).any() for _ in range(4000)]
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.012)
