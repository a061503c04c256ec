"""The Fréchet distance between Gaussians fitted to two sets of embeddings.

``FD(A, B) = ‖μ_A − μ_B‖² + Tr(Σ_A + Σ_B − 2 (Σ_A^{1/2} Σ_B Σ_A^{1/2})^{1/2})``, the squared
2-Wasserstein distance of N(μ_A, Σ_A) and N(μ_B, Σ_B) (Dowson & Landau, 1982). The symmetric form
needs eigenvalues of symmetric matrices only, so nothing turns complex and singular covariances
are no special case.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from fpbench.metrics.score import Floats


def mean_and_covariance(features: Floats) -> tuple[Floats, Floats]:
    """Means and unbiased covariances of sets of embeddings.

    Args:
        features: Shape (..., n, D) with n at least 2.

    Returns:
        Means of shape (..., D) and covariances of shape (..., D, D).

    Raises:
        ValueError: If a set has fewer than two embeddings.

    >>> mean, covariance = mean_and_covariance(np.array([[0.0, 0.0], [2.0, 0.0]]))
    >>> mean.tolist(), covariance.tolist()
    ([1.0, 0.0], [[2.0, 0.0], [0.0, 0.0]])
    """
    rows = np.asarray(features, dtype=np.float64)
    n = rows.shape[-2]
    if n < 2:
        raise ValueError(f"a covariance needs two embeddings, not {n}")
    mean = rows.mean(axis=-2)
    centred = rows - mean[..., None, :]
    return mean, np.swapaxes(centred, -1, -2) @ centred / (n - 1)


def square_root(covariances: Floats) -> Floats:
    """Symmetric square roots of positive semi-definite matrices of shape (..., D, D).

    >>> square_root(np.diag([4.0, 9.0])).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    values, vectors = np.linalg.eigh(covariances)
    scaled = vectors * np.sqrt(values.clip(0))[..., None, :]
    root: Floats = scaled @ np.swapaxes(vectors, -1, -2)
    return root


def frechet_distance(mean_a: Floats, cov_a: Floats, mean_b: Floats, cov_b: Floats) -> float:
    """Fréchet distance of two Gaussians; at least 0, and 0 for equal ones.

    Args:
        mean_a: Shape (D,).
        cov_a: Shape (D, D), symmetric, positive semi-definite.
        mean_b: Shape (D,).
        cov_b: Shape (D, D).

    >>> one = np.eye(2)
    >>> frechet_distance(np.zeros(2), one, np.array([3.0, 4.0]), one)
    25.0
    """
    return float(
        frechet_pairs(
            np.asarray(mean_a, dtype=np.float64),
            square_root(np.asarray(cov_a, dtype=np.float64)),
            np.asarray(mean_b, dtype=np.float64),
            np.asarray(cov_b, dtype=np.float64),
        )
    )


def frechet_pairs(mean_a: Floats, root_a: Floats, mean_b: Floats, cov_b: Floats) -> Floats:
    """Fréchet distances of many pairs, given the square root of one covariance of each.

    Args:
        mean_a: Shape (..., D).
        root_a: Shape (..., D, D), `square_root` of the first covariance.
        mean_b: Shape (..., D), broadcasting with `mean_a`.
        cov_b: Shape (..., D, D).

    Returns:
        Shape (...), at least 0.
    """
    inner = root_a @ cov_b @ root_a
    cross = np.sqrt(np.linalg.eigvalsh(inner).clip(0)).sum(axis=-1)
    spread = (root_a**2).sum(axis=(-2, -1)) + np.trace(cov_b, axis1=-2, axis2=-1)
    shift = ((mean_a - mean_b) ** 2).sum(axis=-1)
    distance: Floats = np.maximum(0.0, shift + spread - 2 * cross)
    return distance


class Sample:
    """A set of embeddings, and what its distances from other sets need, computed once.

    Args:
        rows: float64 of shape (n, D), n at least 2.

    Raises:
        ValueError: If there are fewer than two embeddings.
    """

    def __init__(self, rows: Floats) -> None:
        if len(rows) < 2:
            raise ValueError(f"a covariance needs two embeddings, not {len(rows)}")
        self.rows = rows

    @cached_property
    def centred(self) -> tuple[Floats, Floats, np.float64]:
        """The mean, the centred rows over √(n − 1), and the trace of the covariance."""
        mean = self.rows.mean(axis=0)
        centred = self.rows - mean
        centred /= np.sqrt(len(self.rows) - 1)
        return mean, centred, (centred**2).sum()

    @cached_property
    def moments(self) -> tuple[Floats, Floats]:
        """Mean and covariance."""
        return mean_and_covariance(self.rows)

    @cached_property
    def root(self) -> Floats:
        """Square root of the covariance."""
        return square_root(self.moments[1])

    def distance(self, other: Sample) -> float:
        """Fréchet distance of the Gaussians fitted to this set and another.

        For fewer embeddings than dimensions it never forms a covariance: with centred rows X_A
        and X_B, ``Tr (Σ_A^{1/2} Σ_B Σ_A^{1/2})^{1/2}`` is the nuclear norm of
        ``X_A X_Bᵀ / √((n_A − 1)(n_B − 1))``.

        >>> points = np.random.default_rng(0).normal(size=(10, 50))
        >>> round(Sample(points).distance(Sample(points + 1)), 6)
        50.0
        """
        if max(len(self.rows), len(other.rows)) > self.rows.shape[1]:
            return float(frechet_pairs(self.moments[0], self.root, *other.moments))
        mean_a, rows_a, spread_a = self.centred
        mean_b, rows_b, spread_b = other.centred
        cross = np.linalg.svd(rows_a @ rows_b.T, compute_uv=False).sum()
        shift = ((mean_a - mean_b) ** 2).sum()
        return max(0.0, float(shift + spread_a + spread_b - 2 * cross))


def frechet_of_samples(a: Floats, b: Floats) -> float:
    """Fréchet distance of the Gaussians fitted to two sets of embeddings, see `Sample`.

    Args:
        a: Shape (n_A, D).
        b: Shape (n_B, D).

    Raises:
        ValueError: If a set has fewer than two embeddings.
    """
    return Sample(a).distance(Sample(b))
