"""Scores do not depend on the unit of the embeddings, however large or small."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fpbench.metrics.decorrelation import decorrelation
from fpbench.metrics.features import all_equal, in_range
from fpbench.metrics.imageclusters import align_images
from fpbench.metrics.neighbourhood import purity_score, silhouette_score
from fpbench.metrics.separability import separability_scores

RNG = np.random.default_rng(0)
LABELS = np.repeat(np.arange(3), 40)
TRAIN, TEST = (
    (RNG.normal(size=(120, 12)) + 2 * np.eye(3, 12)[LABELS]).astype(np.float32) for _ in range(2)
)


def _separability(train: np.ndarray, test: np.ndarray) -> list[float | None]:
    scores = separability_scores(train, test, LABELS, n=40, d=4)
    return [scores[key].value for key in ("fdr", "fdr_raw")]


def _decorrelation(train: np.ndarray, test: np.ndarray) -> list[float | None]:
    return [score.value for score in decorrelation(train, LABELS, test, LABELS).values()]


def _neighbourhood(train: np.ndarray, test: np.ndarray) -> list[float | None]:
    return [purity_score(test, LABELS).value, silhouette_score(test, LABELS).value]


def _clusters(train: np.ndarray, test: np.ndarray) -> list[float | None]:
    return [align_images(test, LABELS, permutations=20).ami]


@pytest.mark.parametrize("exponent", [100, -100])
@pytest.mark.parametrize("scores", [_separability, _decorrelation, _neighbourhood, _clusters])
def test_another_unit_gives_the_same_scores(
    scores: Callable[[np.ndarray, np.ndarray], list[float | None]], exponent: int
) -> None:
    expected = scores(TRAIN, TEST)
    assert None not in expected
    scaled = scores(np.ldexp(TRAIN, exponent), np.ldexp(TEST, exponent))
    assert scaled == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e30])
def test_equal_is_what_differs_by_rounding_only(size: float) -> None:
    rows = np.full((5, 7), size, np.float32)
    assert all_equal(rows)
    rows[0, 0] = np.nextafter(rows[0, 0], np.float32(np.inf))
    assert all_equal(rows)
    rows[0, 0] *= np.float32(1.001)
    assert not all_equal(rows)


def test_ordinary_embeddings_are_not_touched() -> None:
    for rows in (TRAIN, np.zeros((2, 3), np.float32), np.array([[np.inf, 1.0]]), np.arange(6)):
        assert in_range(rows) is rows
    np.testing.assert_array_equal(in_range(np.ldexp(TRAIN, 90)), np.ldexp(TRAIN, -3))
