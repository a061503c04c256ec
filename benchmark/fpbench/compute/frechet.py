"""Distances between distributions of features: Fréchet distances of Gaussians, and kernel ones.

The Fréchet distance ``‖μa − μb‖² + tr(Σa + Σb − 2(ΣaΣb)^½)`` needs no matrix square root. With
``Σ = FᵀF``, the eigenvalues of ``ΣaΣb`` are the squared singular values of ``Fa Fbᵀ``, so the
trace of the root is the sum of those singular values. F is the centred features over √(n − 1)
where there are fewer of them than dimensions, and the triangle of their QR decomposition
otherwise; one factor per class serves all its pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.compute.threads import each_in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KERNEL_ROWS = 2048


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian fitted to features.

    Attributes:
        mean: float64 of shape (D,).
        factor: float64 of shape (m, D), m at most D; its transpose times itself is the
            covariance, normalised by n − 1.
    """

    mean: NDArray[np.float64]
    factor: NDArray[np.float64]

    @property
    def trace(self) -> float:
        """Trace of the covariance."""
        return float(np.square(self.factor).sum())


def fit_gaussian(features: NDArray[Any]) -> Gaussian:
    """The Gaussian of features (n, D).

    Raises:
        ValueError: If there are fewer than two features, or they are not finite.
    """
    rows = np.asarray(features, np.float64)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"features must have shape (n, D), not {rows.shape}")
    if len(rows) < 2:
        raise ValueError(f"a covariance needs at least two features, not {len(rows)}")
    if not np.isfinite(rows).all():
        raise ValueError("features contain values that are infinite or not a number")
    mean = rows.mean(axis=0)
    factor = (rows - mean) / np.sqrt(len(rows) - 1)
    if len(rows) > rows.shape[1]:
        factor = np.linalg.qr(factor, mode="r")
    return Gaussian(mean, factor)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Squared Fréchet (2-Wasserstein) distance between two Gaussians, never below zero.

    Raises:
        ValueError: If they have different dimensions.
    """
    if one.mean.shape != other.mean.shape:
        raise ValueError(
            f"features of {len(one.mean)} and of {len(other.mean)} dimensions have no distance"
        )
    apart = float(np.square(one.mean - other.mean).sum())
    shared = float(np.linalg.svd(one.factor @ other.factor.T, compute_uv=False).sum())
    return max(0.0, apart + one.trace + other.trace - 2.0 * shared)


def frechet_between(ones: Sequence[Gaussian], others: Sequence[Gaussian]) -> NDArray[np.float64]:
    """Fréchet distances between every two of two sequences: float64 of shape (len, len)."""
    result = np.zeros((len(ones), len(others)))

    def measure(place: int) -> None:
        row, column = divmod(place, len(others))
        result[row, column] = frechet_distance(ones[row], others[column])

    each_in_threads(measure, range(result.size))
    return result


def frechet_matrix(features: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Fréchet distances between all classes of features.

    Args:
        features: Shape (N, D).
        labels: Shape (N,); K distinct values.

    Returns:
        float64 of shape (K, K), symmetric with a zero diagonal, classes in the order of their
        sorted labels.

    Raises:
        ValueError: If features and labels do not fit together, features are not finite, or a
            class has fewer than two.
    """
    rows, names = np.asarray(features), np.asarray(labels)
    if rows.ndim != 2 or names.shape != (len(rows),):
        raise ValueError(f"features of shape {rows.shape} and labels of shape {names.shape}")
    classes = np.unique(names)
    for name in classes:
        if np.count_nonzero(names == name) < 2:
            raise ValueError(f"class {name} has a single feature, and no covariance")
    gaussians: list[Gaussian | None] = [None] * len(classes)

    def fit(number: int) -> None:
        gaussians[number] = fit_gaussian(rows[names == classes[number]])

    each_in_threads(fit, range(len(classes)))
    fitted = [gaussian for gaussian in gaussians if gaussian is not None]
    result = np.zeros((len(classes), len(classes)))
    above = list(zip(*np.triu_indices(len(classes), 1), strict=True))

    def measure(place: int) -> None:
        row, column = above[place]
        distance = frechet_distance(fitted[row], fitted[column])
        result[row, column] = result[column, row] = distance

    each_in_threads(measure, range(len(above)))
    return result


def kernel_distance(
    ones: NDArray[Any],
    others: NDArray[Any],
    *,
    degree: int = 3,
    gamma: float | None = None,
    offset: float = 1.0,
) -> float:
    """Squared maximum mean discrepancy under the kernel ``(γ x·y + c)^p``, estimated unbiased.

    With the defaults, ``(x·y/D + 1)³``, this is the kernel inception distance of Bińkowski et
    al. (ICLR 2018), over all features at once rather than a mean over random subsets. Being
    unbiased, it can be slightly below zero.

    Args:
        ones: Shape (n, D), n at least 2.
        others: Shape (m, D), m at least 2.
        degree: The exponent p.
        gamma: The factor γ, or None for 1/D.
        offset: The constant c.

    Raises:
        ValueError: If shapes do not fit or there are fewer than two features on a side.
    """
    one, other = np.asarray(ones, np.float64), np.asarray(others, np.float64)
    if one.ndim != 2 or other.ndim != 2 or one.shape[1:] != other.shape[1:] or 0 in one.shape[1:]:
        raise ValueError(f"features of shape {one.shape} and {other.shape} cannot be compared")
    if min(len(one), len(other)) < 2:
        raise ValueError("an unbiased estimate needs at least two features on each side")
    factor = 1.0 / one.shape[1] if gamma is None else gamma

    def mean(left: NDArray[np.float64], right: NDArray[np.float64], same: bool) -> float:
        total = 0.0
        for start in range(0, len(left), _KERNEL_ROWS):
            part = left[start : start + _KERNEL_ROWS]
            total += float(((factor * (part @ right.T) + offset) ** degree).sum())
            if same:
                own = np.einsum("nd,nd->n", part, part)
                total -= float(((factor * own + offset) ** degree).sum())
        return total / (len(left) * (len(right) - same))

    return mean(one, one, True) + mean(other, other, True) - 2.0 * mean(one, other, False)
