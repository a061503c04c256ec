"""Ranks of methods: within one dataset, where rows tie, and over several datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.score import Floats, NotComputable
from fpbench.metrics.statistics import holm, paired_bootstrap

ALPHA = 0.05


def ranks_that_tie(
    values: Sequence[float | None], p_values: ArrayLike, alpha: float = ALPHA
) -> list[int | None]:
    """Rank of each row: 1 + the number of rows that are significantly better.

    A row is better if its value is higher and the paired test between the two, corrected by Holm
    over all pairs of rows, rejects at `alpha`. Rows that no test separates from the best share
    rank 1. A rank may be skipped, and two rows of one rank may still differ from each other
    significantly: being tied is not transitive.

    Args:
        values: M scores, higher is better; None for a row without score.
        p_values: Shape (M, M), p-values of the paired tests before correction, symmetric; NaN
            where no test could be made (such rows tie). The diagonal is ignored.
        alpha: Level.

    Returns:
        M ranks, None for a row without score.

    Raises:
        ValueError: If shapes do not fit or p-values are not symmetric.

    >>> ranks_that_tie([0.9, 0.88, 0.5], [[1, 0.6, 0.001], [0.6, 1, 0.001], [0.001, 0.001, 1]])
    [1, 1, 3]
    """
    p = np.asarray(p_values, dtype=np.float64)
    rows = len(values)
    if p.shape != (rows, rows):
        raise ValueError(f"{rows} rows but p-values of shape {p.shape}")
    upper = np.triu_indices(rows, 1)
    if not np.array_equal(p[upper], p.T[upper], equal_nan=True):
        raise ValueError("p-values of pairs are not symmetric")
    absent = np.array([value is None for value in values], dtype=bool)
    pairs = p[upper].copy()
    pairs[absent[upper[0]] | absent[upper[1]]] = np.nan
    corrected = np.full((rows, rows), np.nan)
    corrected[upper] = corrected.T[upper] = holm(pairs)
    score = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    better = (score[:, None] > score[None, :]) & (corrected <= alpha)
    return [None if absent[row] else 1 + int(better[:, row].sum()) for row in range(rows)]


def rank_methods(
    correct: Sequence[ArrayLike | None],
    classes: ArrayLike,
    *,
    alpha: float = ALPHA,
    seed: int = 0,
    repeats: int | None = None,
) -> tuple[list[int | None], Floats]:
    """Ranks by balanced accuracy, and the p-values of all pairs, from per-image correctness.

    Args:
        correct: M arrays of shape (N,), each in [0, 1] (averaged over seeds if several), of the
            same images in the same order; None for a row without predictions.
        classes: Shape (N,), the images' sources.
        alpha: Level of the ranks.
        seed: Seed of the resampling, the same for every pair.
        repeats: Resamples a pair; by default 10,000, or more where the rows are so many that
            the smallest p-value, 2/(repeats + 1), could not survive Holm's correction.

    Returns:
        M ranks, and p-values of shape (M, M) before correction, NaN where no test was made.

    Raises:
        ValueError: If shapes differ.

    >>> rng = np.random.default_rng(0)
    >>> y, hard = np.repeat([0, 1], 300), rng.random(600)
    >>> rank_methods([hard < 0.5, hard < 0.8, None], y)[0]
    [2, 1, None]
    """
    rows = len(correct)
    arrays = [None if c is None else np.asarray(c, dtype=np.float64) for c in correct]
    names = np.asarray(classes)
    pairs = rows * (rows - 1) // 2
    draws = max(10_000, int(np.ceil(4 * pairs / alpha))) if repeats is None else repeats
    p = np.full((rows, rows), np.nan)
    values: list[float | None] = []
    for i, one in enumerate(arrays):
        if one is None:
            values.append(None)
            continue
        if one.shape != names.shape:
            raise ValueError(f"{len(names)} images but correctness of shape {one.shape}")
        values.append(float(np.mean([one[names == name].mean() for name in np.unique(names)])))
        for j, two in enumerate(arrays[:i]):
            if two is not None:
                test = paired_bootstrap(one, two, names, seed=seed, repeats=draws)
                p[i, j] = p[j, i] = test.p_value
    return ranks_that_tie(values, p, alpha), p


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
    from scipy.stats import studentized_range

    if methods < 2 or datasets < 1:
        raise ValueError(f"{methods} methods on {datasets} datasets have no critical difference")
    q = studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * datasets)))


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
    from scipy.stats import f, rankdata

    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"values of shape {table.shape}; give datasets by methods")
    n, k = table.shape
    if n < 2 or k < 2:
        raise NotComputable(f"{k} methods on {n} datasets cannot be tested; two of each can.")
    if not np.isfinite(table).all():
        raise NotComputable("Some methods have no score on some datasets.")
    ranks = rankdata(-table, axis=1)
    average = ranks.mean(axis=0)
    within = float((ranks**2).sum() - n * k * (k + 1) ** 2 / 4)
    if within == 0:
        raise NotComputable("All methods are tied on every dataset.")
    chi = (k - 1) * n**2 * float(((average - (k + 1) / 2) ** 2).sum()) / within
    rest = n * (k - 1) - chi
    statistic = (n - 1) * chi / rest if rest > 1e-9 else np.inf
    p = float(f.sf(statistic, k - 1, (k - 1) * (n - 1)))
    return Friedman(average, chi, float(statistic), p, critical_difference(k, n, alpha), alpha, n)
