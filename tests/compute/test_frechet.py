"""Fréchet and kernel distances against closed forms, SciPy's matrix root and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from torchmetrics.image.kid import poly_mmd

from fpbench.compute import threads
from fpbench.compute.frechet import (
    fit_gaussian,
    frechet_between,
    frechet_distance,
    frechet_matrix,
    kernel_distance,
)


def by_matrix_root(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The printed formula, with SciPy's general matrix square root."""
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    root = sqrtm(first @ second)
    apart = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    return float(apart + np.trace(first + second - 2 * root.real))


def classes(counts: list[int], dimension: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = [
        rng.normal(size=(n, dimension)) @ rng.normal(size=(dimension, dimension)) / 4
        + rng.normal(size=dimension)
        for n in counts
    ]
    labels = np.repeat(np.arange(len(counts)), counts)
    order = rng.permutation(len(labels))
    return np.concatenate(features)[order], labels[order]


@pytest.mark.parametrize("dimension", [3, 20])
def test_equals_the_formula_with_more_features_than_dimensions(dimension: int) -> None:
    features, labels = classes([60, 200, 31], dimension, 0)
    found = frechet_matrix(features, labels)
    for i in range(3):
        for j in range(3):
            expected = by_matrix_root(features[labels == i], features[labels == j])
            if i != j:
                assert found[i, j] == pytest.approx(expected, rel=1e-6)
    assert (np.diagonal(found) == 0).all() and np.array_equal(found, found.T)


def test_equals_the_formula_with_fewer_features_than_dimensions() -> None:
    """The covariances are singular, where SciPy's root is itself inaccurate."""
    features, labels = classes([30, 50, 90], 64, 1)
    found = frechet_matrix(features, labels)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        one, other = features[labels == i], features[labels == j]
        first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
        values, vectors = np.linalg.eigh(first)
        root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
        shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
        expected = ((one.mean(0) - other.mean(0)) ** 2).sum()
        expected += np.trace(first) + np.trace(second) - 2 * shared
        assert found[i, j] == pytest.approx(expected, rel=1e-6)
        assert found[i, j] == pytest.approx(by_matrix_root(one, other), rel=1e-3)


def test_closed_forms() -> None:
    """Shifted copies differ by the shift alone; scaled ones by (s − 1)² times the trace."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(200, 10)) * np.arange(1, 11)
    plain = fit_gaussian(rows)
    assert frechet_distance(plain, plain) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(plain, fit_gaussian(rows + 3)) == pytest.approx(90)
    centred = rows - rows.mean(axis=0)
    scaled = frechet_distance(fit_gaussian(centred), fit_gaussian(2.5 * centred))
    assert scaled == pytest.approx(1.5**2 * np.trace(np.cov(rows, rowvar=False)))
    one = np.array([[-1.0], [1.0]])  # of variance 2
    assert frechet_distance(fit_gaussian(one), fit_gaussian(3 * one + 1)) == pytest.approx(1 + 8)


def test_large_offsets_and_float32() -> None:
    features, labels = classes([80, 90], 12, 3)
    expected = frechet_matrix(features, labels)
    np.testing.assert_allclose(frechet_matrix(features + 1e5, labels), expected, rtol=1e-6)
    np.testing.assert_allclose(
        frechet_matrix(features.astype(np.float32), labels), expected, rtol=1e-4
    )


def test_sequences_labels_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = classes([40, 50, 60, 20], 8, 4)
    whole = frechet_matrix(features, labels)
    names = np.array(["d", "a", "c", "b"])[labels]
    order = [1, 3, 2, 0]
    np.testing.assert_allclose(frechet_matrix(features, names), whole[np.ix_(order, order)])
    fitted = [fit_gaussian(features[labels == i]) for i in range(4)]
    between = frechet_between(fitted[:1], fitted[1:])
    np.testing.assert_allclose(between, whole[:1, 1:])
    monkeypatch.setattr(threads, "thread_count", lambda: 3)
    np.testing.assert_array_equal(frechet_matrix(features, labels), whole)


def test_kernel_distance_equals_torchmetrics_and_its_definition() -> None:
    rng = np.random.default_rng(5)
    one, other = rng.normal(size=(70, 16)), rng.normal(0.2, 1.3, size=(70, 16))

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        return (a @ b.T / 16 + 1) ** 3

    expected = float(
        poly_mmd(torch.from_numpy(one), torch.from_numpy(other), degree=3, gamma=None, coef=1.0)
    )
    assert kernel_distance(one, other) == pytest.approx(expected, rel=1e-9)
    off = ~np.eye(70, dtype=bool)
    expected = (
        kernel(one, one)[off].mean()
        + kernel(other[:50], other[:50])[off[:50, :50]].mean()
        - 2 * kernel(one, other[:50]).mean()
    )
    assert kernel_distance(one, other[:50]) == pytest.approx(expected, rel=1e-9)


def test_kernel_distance_of_one_distribution_is_zero_on_average() -> None:
    rng = np.random.default_rng(6)
    draws = [kernel_distance(*rng.normal(size=(2, 40, 5))) for _ in range(200)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(200)
    assert min(draws) < 0 < max(draws)


def test_kernel_distance_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    one, other = rng.normal(size=(33, 4)), rng.normal(size=(20, 4))
    whole = kernel_distance(one, other, degree=2, gamma=0.3, offset=0.5)
    monkeypatch.setattr("fpbench.compute.frechet._KERNEL_ROWS", 7)
    assert kernel_distance(one, other, degree=2, gamma=0.3, offset=0.5) == pytest.approx(whole)


def test_bad_input_is_refused() -> None:
    rows = np.ones((6, 3))
    with pytest.raises(ValueError, match="class 1 has a single"):
        frechet_matrix(rows, np.array([0, 0, 0, 0, 0, 1]))
    with pytest.raises(ValueError, match="labels of shape"):
        frechet_matrix(rows, np.zeros(5, int))
    with pytest.raises(ValueError, match="infinite"):
        fit_gaussian(np.array([[1.0, np.nan], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="at least two"):
        fit_gaussian(rows[:1])
    with pytest.raises(ValueError, match="shape"):
        fit_gaussian(rows[:, :0])
    with pytest.raises(ValueError, match="dimensions"):
        frechet_distance(fit_gaussian(rows), fit_gaussian(rows[:, :2]))
    with pytest.raises(ValueError, match="compared"):
        kernel_distance(rows, rows[:, :2])
    with pytest.raises(ValueError, match="at least two"):
        kernel_distance(rows, rows[:1])
