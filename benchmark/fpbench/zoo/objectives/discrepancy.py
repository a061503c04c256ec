"""Maximum mean discrepancy between two sets of vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def rational_quadratic(x: Tensor, y: Tensor, scales: Sequence[float]) -> Tensor:
    """Sum over scales a of (1 + |x - y|² / 2a)^-a: shape (N, M).

    Bińkowski et al. 2018 (arXiv:1801.01401), equation 11.

    Args:
        x: Vectors of shape (N, D).
        y: Vectors of shape (M, D).
        scales: The exponents a.
    """
    # Differences, not |x|² + |y|² - 2xy: that cancels in single precision.
    squared = (x[:, None] - y[None]).square().sum(2)
    kernel = torch.zeros_like(squared)
    for scale in scales:
        kernel = kernel + (1 + squared / (2 * scale)) ** -scale
    return kernel


def squared_mmd(x: Tensor, y: Tensor, scales: Sequence[float]) -> Tensor:
    """Unbiased estimate of the squared discrepancy (Gretton et al. 2012, equation 3): a scalar.

    Args:
        x: Vectors of shape (N, D), N at least 2.
        y: Vectors of shape (M, D), M at least 2.
        scales: Scales of the rational quadratic kernel.
    """

    def off_diagonal_mean(kernel: Tensor) -> Tensor:
        count = len(kernel)
        return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))

    within = off_diagonal_mean(rational_quadratic(x, x, scales))
    within = within + off_diagonal_mean(rational_quadratic(y, y, scales))
    return within - 2 * rational_quadratic(x, y, scales).mean()
