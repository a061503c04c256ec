"""Whether two lists order the same methods alike, and how much that hangs on one or two of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.bootstrap import percentile_interval
from fpbench.metrics.score import Floats, NotComputable

REPEATS = 9999
EXACT = 8
"""Methods up to which all orders are counted for p; of more, `REPEATS` are drawn."""


@dataclass(frozen=True)
class OrderAgreement:
    """Spearman's correlation of two lists of numbers for the same methods.

    Attributes:
        rho: The correlation of ranks, ties averaged.
        low: Lower end of the 95 % interval by bootstrap over methods.
        high: Upper end.
        p_value: Two-sided, of lists that have nothing to do with each other: the share of all
            orders that agree or disagree as much.
        without_one: By method, the correlation without it.
        without_two: By pair of methods, the correlation without both.
    """

    rho: float
    low: float
    high: float
    p_value: float
    without_one: Mapping[str, float]
    without_two: Mapping[tuple[str, str], float]


def order_agreement(
    first: Mapping[str, float], second: Mapping[str, float], seed: int = 0
) -> OrderAgreement:
    """Compare the order of the methods that both lists hold.

    A handful of methods, two of them far from the rest, order themselves alike whatever the rest
    do. The bootstrap over methods (Efron, 1979; percentiles) says what another handful would have
    given if methods are the sample, and leaving out one or two says which of them carry it.

    Args:
        first: Number by method.
        second: Number by method.
        seed: Of the resampling.

    Raises:
        NotComputable: If they share fewer than four methods, or one list ties all of them.

    >>> found = order_agreement(dict(zip("abcde", [5, 4, 3, 2, 1])),
    ...                         dict(zip("abcde", [9, 7, 8, 2, 1])))
    >>> round(found.rho, 3), round(min(found.without_one.values()), 3)
    (0.9, 0.8)
    """
    names = [name for name in first if name in second]
    if len(names) < 4:
        raise NotComputable(f"The lists share {len(names)} methods; four are needed.")
    x = np.array([first[name] for name in names], dtype=np.float64)
    y = np.array([second[name] for name in names], dtype=np.float64)
    rho = float(_correlations(x[None], y[None])[0])
    if np.isnan(rho):
        raise NotComputable("One list puts all methods level.")
    rng = np.random.default_rng(seed)
    size = len(names)
    drawn = rng.integers(size, size=(REPEATS, size))
    resampled = _correlations(x[drawn], y[drawn])
    low, high = percentile_interval(resampled[~np.isnan(resampled)])
    if size <= EXACT:
        orders = np.array(list(permutations(range(size))))
        as_far = np.abs(_correlations(np.broadcast_to(x, orders.shape), y[orders]))
        p_value = float((as_far >= abs(rho) - 1e-12).mean())
    else:
        orders = rng.permuted(np.tile(np.arange(size), (REPEATS, 1)), axis=1)
        as_far = np.abs(_correlations(np.broadcast_to(x, orders.shape), y[orders]))
        p_value = (1 + float((as_far >= abs(rho) - 1e-12).sum())) / (REPEATS + 1)

    def without(*left_out: int) -> float:
        kept = np.setdiff1d(np.arange(size), left_out)
        return float(_correlations(x[kept][None], y[kept][None])[0])

    return OrderAgreement(
        rho,
        low,
        high,
        p_value,
        {names[k]: without(k) for k in range(size)},
        {(names[j], names[k]): without(j, k) for j, k in combinations(range(size), 2)},
    )


def _correlations(first: ArrayLike, second: ArrayLike) -> Floats:
    """Spearman's correlation of each row; NaN where a row is constant."""
    from scipy.stats import rankdata

    a, b = (rankdata(np.asarray(x), axis=1) for x in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    found: Floats = np.full(len(a), np.nan)
    np.divide((a * b).sum(axis=1), scale, out=found, where=scale > 0)
    return found
