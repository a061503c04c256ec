"""Ranks of images in two runs, against SciPy and against shuffling."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fpbench.metrics.agreement import rank_agreement

Floats = NDArray[np.float64]


def runs(
    rng: np.random.Generator, sources: int, images: int, shared: float
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Two runs for which the same images are easy, by `shared`."""
    labels = np.repeat(np.arange(sources), images)
    easy = rng.normal(size=len(labels))
    both = []
    for _ in range(2):
        own = 1 / (1 + np.exp(-shared * easy - rng.normal(size=len(labels))))
        proba = np.repeat((1 - own)[:, None] / (sources - 1), sources, axis=1)
        proba[np.arange(len(labels)), labels] = own
        both.append(proba)
    return both[0], both[1], labels


def test_of_one_source_it_is_spearmans_correlation() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.dirichlet([1, 1, 1], 40), rng.dirichlet([1, 1, 1], 40)
    first[:5] = first[5]  # ties
    found = rank_agreement(first, second, np.full(40, 2))
    expected = stats.spearmanr(first[:, 2], second[:, 2]).statistic
    assert found.correlation == pytest.approx(expected)
    assert found.z == pytest.approx(expected * np.sqrt(39))


def test_z_is_standard_normal_for_shuffled_answers() -> None:
    rng = np.random.default_rng(1)
    first, second, labels = runs(rng, 4, 25, 2.0)
    found = []
    for _ in range(400):
        dealt = second.copy()
        for k in range(4):
            members = np.flatnonzero(labels == k)
            dealt[members] = second[rng.permutation(members)]
        found.append(rank_agreement(first, dealt, labels).z)
    assert abs(np.mean(found)) < 0.2 and 0.88 < np.std(found) < 1.12
    assert rank_agreement(first, second, labels).z > 5


def test_that_sources_differ_is_no_agreement() -> None:
    """One source is easy for both runs; within sources they have nothing in common."""
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 200)
    own = np.where(labels == 0, 0.9, 0.1)
    first, second = (own + rng.uniform(-0.05, 0.05, 400) for _ in range(2))
    p, q = (np.stack([x, 1 - x], axis=1) for x in (first, second))
    p[labels == 1] = p[labels == 1][:, ::-1]
    q[labels == 1] = q[labels == 1][:, ::-1]
    assert np.corrcoef(first, second)[0, 1] > 0.95
    assert abs(rank_agreement(p, q, labels).z) < 3


def test_what_cannot_be_told_apart_has_none() -> None:
    same = np.full((6, 2), 0.5)
    found = rank_agreement(same, same, [0, 0, 0, 1, 1, 1])
    assert (found.correlation, found.z) == (0.0, 0.0)
    assert rank_agreement(np.eye(2), np.eye(2), [0, 1]).z == 0.0
    with pytest.raises(ValueError, match=r"shapes \(6, 2\) and \(5, 2\)"):
        rank_agreement(same, same[:5], [0, 0, 0, 1, 1, 1])
