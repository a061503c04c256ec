"""Ranks of methods: within one dataset, as ranges, and over several datasets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.score import Floats, NotComputable

ALPHA = 0.05


class RankRange(NamedTuple):
    """The ranks that a row may have.

    Attributes:
        low: 1 + the number of rows that are significantly better.
        high: The number of rows less those that are significantly worse.
    """

    low: int
    high: int


def rank_ranges(
    difference: ArrayLike, corrected: ArrayLike, alpha: float = ALPHA
) -> list[RankRange]:
    """Range of ranks of each row, from the comparisons of all pairs.

    Rows that no test separates overlap. Not being separated is not transitive: two rows whose
    ranges overlap may still differ from each other significantly.

    Args:
        difference: Shape (R, R), the score of a row less that of another; higher is better.
        corrected: Shape (R, R), p-values after correction for all pairs; the diagonal is ignored.
        alpha: Level.

    Returns:
        R ranges, in the order of the rows.

    Raises:
        ValueError: If shapes do not fit or p-values of pairs are not symmetric.

    >>> p = [[1, 0.6, 0.001], [0.6, 1, 0.001], [0.001, 0.001, 1]]
    >>> [tuple(found) for found in rank_ranges([[0, 0.1, 0.4], [-0.1, 0, 0.3], [-0.4, -0.3, 0]], p)]
    [(1, 2), (1, 2), (3, 3)]
    """
    gap = np.asarray(difference, dtype=np.float64)
    p = np.asarray(corrected, dtype=np.float64)
    if gap.shape != p.shape or gap.ndim != 2 or gap.shape[0] != gap.shape[1]:
        raise ValueError(f"differences of shape {gap.shape} and p-values of shape {p.shape}")
    if not np.array_equal(p, p.T):
        raise ValueError("p-values of pairs are not symmetric")
    apart = p <= alpha
    better, worse = (apart & (gap < 0)).sum(axis=1), (apart & (gap > 0)).sum(axis=1)
    return [
        RankRange(1 + int(above), len(gap) - int(below))
        for above, below in zip(better, worse, strict=True)
    ]


@dataclass(frozen=True)
class Friedman:
    """Whether k methods differ over N datasets (Friedman, 1937; Demšar, 2006).

    Attributes:
        average_ranks: Shape (k,), 1 being best.
        chi_square: Friedman's statistic, corrected for ties, with k − 1 degrees of freedom.
        f_statistic: That of Iman and Davenport (1980), with k − 1 and (k − 1)(N − 1) degrees,
            ``(N − 1) χ² / (N(k − 1) − χ²)``; less conservative. Infinite where all datasets agree.
        p_value: Of `f_statistic`.
        critical_difference: By which average ranks must differ to be separated (Nemenyi, 1963),
            ``q_α √(k(k + 1) / 6N)``.
        alpha: Level of `critical_difference`.
        datasets: N.
    """

    average_ranks: Floats
    chi_square: float
    f_statistic: float
    p_value: float
    critical_difference: float
    alpha: float
    datasets: int

    def separated(self) -> np.ndarray:
        """Which methods differ: bool (k, k), none of them unless `p_value` is below alpha."""
        apart = np.abs(self.average_ranks[:, None] - self.average_ranks[None, :])
        differ: np.ndarray = (apart >= self.critical_difference) & (self.p_value < self.alpha)
        return differ


def critical_difference(methods: int, datasets: int, alpha: float = ALPHA) -> float:
    """Nemenyi's critical difference of average ranks, ``q_α √(k(k + 1) / 6N)``.

    q_α is the quantile of the studentised range with infinite degrees of freedom, over √2.

    Raises:
        ValueError: If there are fewer than two methods or no dataset.

    >>> round(critical_difference(4, 14), 2)
    1.25
    """
    if methods < 2 or datasets < 1:
        raise ValueError(f"{methods} methods on {datasets} datasets have no critical difference")
    q = _studentised_range(methods, alpha) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * datasets)))


def _studentised_range(count: int, alpha: float) -> float:
    """What the range of `count` standard normal numbers exceeds with probability `alpha`.

    Solves ``1 − α = k ∫ φ(z) (Φ(z) − Φ(z − q))^(k − 1) dz`` by halving.
    """
    # The bare function: scipy.stats has the quantile, and takes longer to import than a board.
    from scipy.special import ndtr

    z = np.linspace(-9.0, 9.0, 2001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    low, high = 0.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = count * density * (ndtr(z) - ndtr(z - middle)) ** (count - 1)
        if inside.sum() * (z[1] - z[0]) < 1 - alpha:
            low = middle
        else:
            high = middle
    return high


def friedman(values: ArrayLike, alpha: float = ALPHA) -> Friedman:
    """Friedman's test over datasets, with Nemenyi's critical difference.

    Args:
        values: Shape (N, k), the score of each method on each dataset, higher is better.
        alpha: Level of the critical difference.

    Raises:
        ValueError: If `values` is not two-dimensional.
        NotComputable: If there are fewer than two datasets or two methods, a value is not
            finite, or every dataset has all methods tied.

    >>> result = friedman([[0.9, 0.8, 0.7], [0.8, 0.7, 0.6], [0.9, 0.5, 0.6]])
    >>> result.average_ranks.round(2).tolist(), round(result.chi_square, 2)
    ([1.0, 2.33, 2.67], 4.67)
    """
    from scipy.special import fdtrc

    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"values of shape {table.shape}; give datasets by methods")
    n, k = table.shape
    if n < 2 or k < 2:
        raise NotComputable(f"{k} methods on {n} datasets cannot be tested; two of each can.")
    if not np.isfinite(table).all():
        raise NotComputable("Some methods have no score on some datasets.")
    better = (table[:, None, :] > table[:, :, None]).sum(axis=2)
    tied = (table[:, None, :] == table[:, :, None]).sum(axis=2)
    ranks = better + (tied + 1) / 2
    average = ranks.mean(axis=0)
    within = float((ranks**2).sum() - n * k * (k + 1) ** 2 / 4)
    if within == 0:
        raise NotComputable("All methods are tied on every dataset.")
    chi = (k - 1) * n**2 * float(((average - (k + 1) / 2) ** 2).sum()) / within
    rest = n * (k - 1) - chi
    statistic = (n - 1) * chi / rest if rest > 1e-9 else np.inf
    p = float(fdtrc(k - 1, (k - 1) * (n - 1), statistic))
    return Friedman(average, chi, float(statistic), p, critical_difference(k, n, alpha), alpha, n)
