"""The Fréchet distance between Gaussians fitted to two sets of embeddings.

``FD(A, B) = ‖μ_A − μ_B‖² + Tr(Σ_A + Σ_B − 2 (Σ_A^{1/2} Σ_B Σ_A^{1/2})^{1/2})``, the squared
2-Wasserstein distance of N(μ_A, Σ_A) and N(μ_B, Σ_B) (Dowson & Landau, 1982). The symmetric form
needs eigenvalues of symmetric matrices only, so nothing turns complex and singular covariances
are no special case.
"""

from __future__ import annotations

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


def frechet_of_samples(a: Floats, b: Floats) -> float:
    """Fréchet distance of the Gaussians fitted to two sets of embeddings.

    For fewer embeddings than dimensions it never forms a covariance: with centred rows X_A and
    X_B, ``Tr (Σ_A^{1/2} Σ_B Σ_A^{1/2})^{1/2}`` is the nuclear norm of
    ``X_A X_Bᵀ / √((n_A − 1)(n_B − 1))``.

    Args:
        a: Shape (n_A, D).
        b: Shape (n_B, D).

    Raises:
        ValueError: If a set has fewer than two embeddings.

    >>> points = np.random.default_rng(0).normal(size=(10, 50))
    >>> round(frechet_of_samples(points, points + 1), 6)
    50.0
    """
    if max(len(a), len(b)) > a.shape[1]:
        mean_a, cov_a = mean_and_covariance(a)
        mean_b, cov_b = mean_and_covariance(b)
        return frechet_distance(mean_a, cov_a, mean_b, cov_b)
    if min(len(a), len(b)) < 2:
        raise ValueError("a covariance needs two embeddings")
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    rows_a = (a - mean_a) / np.sqrt(len(a) - 1)
    rows_b = (b - mean_b) / np.sqrt(len(b) - 1)
    cross = np.linalg.svd(rows_a @ rows_b.T, compute_uv=False).sum()
    shift = ((mean_a - mean_b) ** 2).sum()
    return max(0.0, float(shift + (rows_a**2).sum() + (rows_b**2).sum() - 2 * cross))
