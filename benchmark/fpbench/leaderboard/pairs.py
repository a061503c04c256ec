"""Paired tests between all rows of a table at once, in matrix products: these decide the ranks.

`fpbench.leaderboard.boards` hands the p-values to `fpbench.metrics.ranking.ranks_that_tie`, and the
site's comparison shows the same ones. `fpbench.metrics.ranking.rank_methods` asks the same question
by a paired bootstrap, one pair after the other; it needs ``4 · pairs / α`` resamples a pair to
survive Holm's correction, ten million for 500 rows, so it serves a few rows outside boards, and as
the reference that a test holds this module against.

For single runs on equally many images a source this is McNemar's test, exactly as
`fpbench.metrics.statistics.mcnemar` makes it. Where correctness is a mean over seeds, or sources
differ in size, it is a randomisation test: if two rows are equally good, the sign of each image's
weighted gap ``a_i = w_i (x_i − y_i)`` is a coin toss, so ``Σ a_i`` has variance ``Σ a_i²``; its
normal tail is taken after the largest possible single step has been subtracted, the continuity
correction that makes it McNemar's with Edwards' correction where the two coincide, and otherwise
errs towards not separating.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.statistics import holm

Floats = NDArray[np.float64]

_EXACT_BELOW = 25  # discordant images, as in fpbench.metrics.statistics.mcnemar
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Pairs:
    """All pairs of R rows.

    Attributes:
        difference: Shape (R, R), balanced accuracy of the row less that of the column.
        halfwidth: Shape (R, R), half the 95 % interval of the difference (normal, images
            resampled within sources).
        p_value: Shape (R, R), two-sided, before correction; 1 on the diagonal.
        corrected: Shape (R, R), after Holm's correction for all pairs.
        mcnemar: Shape (R, R), bool: McNemar's test, else the randomisation test.
    """

    difference: Floats
    halfwidth: Floats
    p_value: Floats
    corrected: Floats
    mcnemar: NDArray[np.bool_]


def compare_all(correct: ArrayLike, classes: ArrayLike) -> Pairs:
    """Test every pair of rows on the same images.

    Args:
        correct: Shape (R, N), correctness in [0, 1] of each row on each image.
        classes: int (N,), the images' sources, from 0; each has two images or more.

    Raises:
        ValueError: If shapes do not fit or a source has fewer than two images.
    """
    x = np.asarray(correct, dtype=np.float64)
    y = np.asarray(classes)
    if x.ndim != 2 or y.shape != x.shape[1:]:
        raise ValueError(f"correctness of shape {x.shape} does not fit {y.shape} images")
    counts = np.bincount(y)
    if counts.min() < 2:
        raise ValueError("a source has fewer than two images")
    weights = 1 / (len(counts) * counts[y])
    accuracy = x @ weights
    difference = accuracy[:, None] - accuracy[None, :]
    # Rounding leaves traces where two rows agree, and a tie must not hang on them.
    difference[np.abs(difference) < 1e-12] = 0.0

    p = _randomisation(x * weights, difference, float(weights.max()))
    binary = np.isin(x, (0, 1)).all(axis=1)
    usable: NDArray[np.bool_] = np.zeros((len(x), len(x)), dtype=np.bool_)
    if (counts == counts[0]).all():
        usable = np.logical_and.outer(binary, binary)
        if usable.any():
            p = np.where(usable, _mcnemar(x), p)
    np.fill_diagonal(p, 1.0)
    corrected = np.ones_like(p)
    upper = np.triu_indices(len(x), 1)
    corrected[upper] = corrected.T[upper] = holm(p[upper])
    return Pairs(difference, _halfwidth(x, y, counts), p, corrected, usable)


def _squared_gaps(rows: Floats) -> Floats:
    """``Σ_i (r_ai − r_bi)²`` for all pairs, not below zero by rounding."""
    gram = rows @ rows.T
    own = np.diag(gram)
    squared: Floats = np.maximum(own[:, None] + own[None, :] - 2 * gram, 0.0)
    return squared


def _randomisation(weighted: Floats, difference: Floats, step: float) -> Floats:
    from scipy.special import erfc

    deviation = np.sqrt(_squared_gaps(weighted))
    beyond = np.maximum(np.abs(difference) - step, 0.0)
    z = np.divide(beyond, deviation, out=np.zeros_like(beyond), where=deviation > 1e-9 * step)
    p: Floats = erfc(z / np.sqrt(2))
    return (p + p.T) / 2


def _mcnemar(x: Floats) -> Floats:
    # The bare functions: importing scipy.stats takes longer than all of this.
    from scipy.special import bdtr, gammaln

    only = np.rint(x @ (1 - x).T)
    fewer, discordant = np.minimum(only, only.T), only + only.T
    # Few combinations occur among many pairs.
    codes, inverse = np.unique(discordant * (x.shape[1] + 1) + fewer, return_inverse=True)
    n, k = np.divmod(codes, x.shape[1] + 1)
    p = 2 * bdtr(k, n.astype(np.int64), 0.5)
    ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    p = np.where(n < _EXACT_BELOW, p, p - np.exp(ways - n * np.log(2)))
    # Where the tail underflows, the point probability is still there to be taken from it.
    found: Floats = np.clip(p, 0.0, 1.0)[inverse].reshape(only.shape)
    return found


def _halfwidth(x: Floats, y: NDArray[np.integer], counts: NDArray[np.integer]) -> Floats:
    members = np.equal(y, np.arange(len(counts))[:, None]).astype(np.float64)
    means = (x @ members.T) / counts
    centred = x - means[:, y]
    scale = 1 / (len(counts) * np.sqrt(counts * (counts - 1.0)))
    half: Floats = _Z95 * np.sqrt(_squared_gaps(centred * scale[y]))
    return half
