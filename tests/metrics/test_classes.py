"""Answers of a transfer class by class, against SciPy and against counting by hand."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from fpbench.metrics.classes import SAMPLED, class_shares
from fpbench.metrics.transfer import TransferTask, shared_confusion, shared_score


def test_interval_is_students_over_classes() -> None:
    table = np.diag([0.9, 0.2, 0.4, 0.6, 0.5]) + 0.01
    found = class_shares("abcde", table)
    shares = np.diag(table / table.sum(axis=1, keepdims=True))
    low, high = stats.t.interval(0.95, 4, shares.mean(), stats.sem(shares))
    assert (found.mean, found.low, found.high) == pytest.approx((shares.mean(), low, high))
    np.testing.assert_allclose(found.shares, shares)
    found = class_shares("abc", np.eye(3))
    assert (found.mean, found.low, found.high, found.chance) == (1.0, 1.0, 1.0, 1 / 3)


def test_p_is_the_share_of_renamings_that_do_as_well() -> None:
    rng = np.random.default_rng(0)
    table = rng.dirichlet(np.ones(5), 5)
    every = [table[np.arange(5), order].mean() for order in map(list, permutations(range(5)))]
    expected = np.mean(np.array(every) >= np.diag(table).mean() - 1e-12)
    assert class_shares("abcde", table).p_value == pytest.approx(expected)


def test_a_constant_answer_is_chance_and_a_perfect_one_the_least_that_p_can_be() -> None:
    constant = class_shares("abcdefg", np.tile([1, 0, 0, 0, 0, 0, 0], (7, 1)))
    assert (constant.mean, constant.p_value) == (pytest.approx(1 / 7), 1.0)
    assert class_shares("abcdefg", np.eye(7)).p_value == pytest.approx(1 / 5040)
    many = class_shares([str(k) for k in range(9)], np.eye(9))
    assert many.p_value == pytest.approx(1 / (SAMPLED + 1))


def test_p_holds_its_level_where_names_mean_nothing() -> None:
    rng = np.random.default_rng(1)
    p = [class_shares("abcdef", rng.dirichlet(np.full(6, 0.3), 6)).p_value for _ in range(400)]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.08


def test_what_is_no_confusion_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for 3 classes"):
        class_shares("abc", np.eye(2))
    with pytest.raises(ValueError, match="2 classes with images"):
        class_shares("ab", [[1, 0], [0, 0]])


def test_the_diagonal_is_the_score_of_shared_models() -> None:
    rng = np.random.default_rng(2)
    sources = np.repeat(["w", "x", "x2", "y", "z", "r"], [30, 10, 50, 20, 40, 25])
    architectures = np.repeat(["W", "X", "X", "Y", "Z", "Real"], [30, 10, 50, 20, 40, 25])
    families = np.where(architectures == "Real", "Real", "GAN")
    proba = rng.dirichlet([1] * 5, len(sources)).round(1)
    proba[proba.sum(axis=1) == 0] = 0.2
    proba /= proba.sum(axis=1, keepdims=True)
    task = TransferTask(
        proba, ["X", "Y", "X", "Real", "V"], ["GAN", "GAN", "GAN", "Real", "GAN"],
        sources, architectures, families,
    )  # fmt: skip
    names, confusion = shared_confusion(task)
    assert names == ("X", "Y") and np.allclose(confusion.sum(axis=1), 1)
    score = shared_score(task, masked=True, repeats=10)
    assert np.diag(confusion).mean() == pytest.approx(score.value)
    alone = TransferTask(proba, ["A", "B", "C", "Real", "D"], task.column_families, sources,
                         architectures, families)  # fmt: skip
    assert shared_confusion(alone)[0] == ()
