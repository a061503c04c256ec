import numpy as np
import pytest
from scipy.stats import binom

from fpbench.metrics.attribution import accuracy
from fpbench.metrics.null_control import (
    POWERLESS,
    chance_interval,
    chance_p_value,
    commonest_answer,
)


def test_of_independent_guesses_is_the_binomial_interval() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 400)
    guesses = np.eye(5)[generator.integers(0, 5, len(labels))]
    low, high = chance_interval(labels, guesses, None)
    expected = binom.ppf([0.025, 0.975], len(labels), 0.2) / len(labels)
    np.testing.assert_allclose([low, high], expected, atol=0.012)


def test_of_sources_told_apart_counts_the_fixed_points_of_a_permutation() -> None:
    """Six sources, each called one wrong or right name: P(fixed points ≥ 4) is 16/720."""
    labels = np.repeat(np.arange(6), 10)
    proba = np.eye(6)[labels]
    assert chance_interval(labels, proba, None) == (0.0, 0.5)
    assert chance_interval(labels, proba, None, level=0.999)[1] > 0.6


@pytest.mark.parametrize("clumped", [True, False])
def test_holds_its_level(clumped: bool) -> None:
    """Renaming columns at random leaves accuracy inside in about 95 of 100 cases."""
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(8), 50)
    inside = 0
    for repeat in range(300):
        base = labels if clumped else generator.integers(0, 8, len(labels))
        proba = np.eye(8)[generator.permutation(8)[base]]
        low, high = chance_interval(labels, proba, None, seed=repeat, repeats=500)
        inside += low <= accuracy(labels, proba, None) <= high
    assert 0.92 <= inside / 300 <= 1


def test_real_is_left_out() -> None:
    labels = np.repeat(np.arange(3), 20)
    proba = np.eye(3)[labels]
    assert chance_interval(labels, proba, real=0) == (0.0, 1.0)


def test_one_answer_to_nearly_all_images_is_known_for_what_it_is() -> None:
    """It is at chance whatever it was trained on: the p-value alone would pass it."""
    labels = np.repeat(np.arange(4), 50)
    answers = np.full(200, 2)
    answers[:8] = 1
    proba = np.eye(4)[answers]
    assert chance_p_value(labels, proba, None) > 0.5
    assert commonest_answer(labels, proba, None) == pytest.approx(0.96)
    assert commonest_answer(labels, proba, None) >= POWERLESS
    # Images of Real are not asked: those that are left get four answers evenly.
    assert commonest_answer(labels, np.eye(4)[labels], real=0) == pytest.approx(1 / 3)
    # The same shares for every image name no source, and tell nothing apart either.
    assert commonest_answer(labels, np.full((200, 4), 0.25), None) == 1.0
