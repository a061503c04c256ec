"""Agreement of two orders of methods, against SciPy and by construction."""

import numpy as np
import pytest
from scipy import stats

from fpbench.metrics.orderings import order_agreement
from fpbench.metrics.score import NotComputable

NAMES = "abcdefgh"


def lists(x: object, y: object, names: str = NAMES) -> tuple[dict[str, float], dict[str, float]]:
    return dict(zip(names, np.asarray(x), strict=True)), dict(
        zip(names, np.asarray(y), strict=True)
    )


def test_correlation_is_spearmans_and_p_exact() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random(6).round(1), rng.random(6)
    found = order_agreement(*lists(x, y, "abcdef"))
    assert found.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    test = stats.permutation_test(
        (x,), lambda z: stats.spearmanr(z, y).statistic, permutation_type="pairings",
        n_resamples=np.inf,
    )  # fmt: skip
    assert found.p_value == pytest.approx(test.pvalue)
    kept = [0, 1, 3, 5]
    expected = stats.spearmanr(x[kept], y[kept]).statistic
    assert found.without_two["c", "e"] == pytest.approx(expected)
    assert found.without_one["b"] == pytest.approx(
        stats.spearmanr(np.delete(x, 1), np.delete(y, 1)).statistic
    )


def test_two_anchors_carry_an_agreement_that_the_rest_do_not_have() -> None:
    x = [0.0, 1.0, 0.50, 0.51, 0.52, 0.53, 0.54, 0.55]
    y = [0.1, 0.9, 0.52, 0.55, 0.51, 0.54, 0.50, 0.53]
    found = order_agreement(*lists(x, y))
    assert found.rho > 0.3
    assert min(found.without_two, key=found.without_two.__getitem__) == ("a", "b")
    assert found.without_two["a", "b"] < 0
    assert found.low < 0 < found.rho <= found.high < 1


def test_same_and_opposite_orders() -> None:
    found = order_agreement(*lists(range(8), range(8)))
    assert (found.rho, found.low, found.high) == pytest.approx((1, 1, 1))
    assert found.p_value == pytest.approx(2 / 40320)
    assert order_agreement(*lists(range(8), range(8, 0, -1))).rho == pytest.approx(-1)


def test_many_methods_are_permuted_at_random() -> None:
    names = NAMES + "ijkl"
    rng = np.random.default_rng(3)
    p = [
        order_agreement(*lists(rng.random(12), rng.random(12), names), seed=k).p_value
        for k in range(20)
    ]
    assert 0.2 < np.mean(p) < 0.8
    found = order_agreement(*lists(range(12), range(12), names))
    assert found.p_value == pytest.approx(1e-4)


def test_too_few_or_level_methods_have_none() -> None:
    with pytest.raises(NotComputable, match="share 3 methods"):
        order_agreement(*lists(range(3), range(3), "abc"))
    with pytest.raises(NotComputable, match="all methods level"):
        order_agreement(*lists([1] * 8, range(8)))
