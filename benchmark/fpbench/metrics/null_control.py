"""What accuracy a classifier reaches whose training labels had nothing to do with the sources."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.attribution import confusion_matrix, judged
from fpbench.metrics.score import Floats

POWERLESS = 0.95
"""Share of images with one answer from which on a null control is without power."""


def chance_interval(
    labels: ArrayLike,
    proba: ArrayLike,
    real: int | None,
    *,
    level: float = 0.95,
    seed: int = 0,
    repeats: int = 4000,
) -> tuple[float, float]:
    """Interval of the balanced accuracy among generators under shuffled training labels.

    Shuffled labels make the names of the columns exchangeable: whatever the classifier tells
    apart, it is as likely to have called it one name as another. The interval holds the middle
    `level` of the accuracies over random renamings π, ``1/C Σ_c M_{c,π(c)} / n_c`` with M the
    confusion matrix; as a permutation test it is exact for any classifier. A binomial interval
    would be far too narrow: images of one source are called by one name together.

    Args:
        labels: int (N,), column of each image's source.
        proba: float (N, K), of a classifier trained on shuffled labels.
        real: Column of Real, or None.
        level: Probability that the accuracy lies inside.
        seed: Seed of the renamings.
        repeats: Number of renamings.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: If shapes do not fit or the level is not between 0 and 1.
        NotComputable: As `fpbench.metrics.attribution.accuracy`.

    >>> told_apart = np.eye(4)[[0, 0, 1, 1, 2, 2, 3, 3]]
    >>> chance_interval([0, 0, 1, 1, 2, 2, 3, 3], told_apart, None)
    (0.0, 1.0)
    """
    if not 0 < level < 1:
        raise ValueError(f"a level of {level} is not between 0 and 1")
    _, accuracies = _renamed(labels, proba, real, seed, repeats)
    tail = (1 - level) / 2
    low, high = np.quantile(accuracies, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def chance_p_value(
    labels: ArrayLike, proba: ArrayLike, real: int | None, *, seed: int = 0, repeats: int = 4000
) -> float:
    """Two-sided p-value of the accuracy under random renamings, see `chance_interval`.

    Twice the share of renamings (the true names counted) that reach as far to the same side.

    Args:
        labels: int (N,), column of each image's source.
        proba: float (N, K).
        real: Column of Real, or None.
        seed: Seed of the renamings.
        repeats: Number of renamings.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: As `fpbench.metrics.attribution.accuracy`.

    >>> told_apart = np.eye(6)[np.repeat(np.arange(6), 2)]
    >>> chance_p_value(np.repeat(np.arange(6), 2), told_apart, None) < 0.01
    True
    >>> chance_p_value([0, 0, 1, 1, 2, 2], np.full((6, 3), 1 / 3), None)
    1.0
    """
    value, accuracies = _renamed(labels, proba, real, seed, repeats)
    # Means over the same numbers in another order differ in their last digits.
    above = 1 + int((accuracies >= value - 1e-9).sum())
    below = 1 + int((accuracies <= value + 1e-9).sum())
    return min(1.0, 2 * min(above, below) / (1 + repeats))


def commonest_answer(labels: ArrayLike, proba: ArrayLike, real: int | None) -> float:
    """Share of the images of generators that are given the commonest answer.

    Real is left out, as in the accuracy; a shared highest probability counts for each source that
    shares it. A classifier near 1 tells nothing apart, so whatever it was trained on it is at
    chance.

    Args:
        labels: int (N,), column of each image's source.
        proba: float (N, K).
        real: Column of Real, or None.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: As `fpbench.metrics.attribution.accuracy`.

    >>> commonest_answer([0, 0, 1, 1], np.eye(2)[[0, 0, 0, 1]], None)
    0.75
    """
    _, answers = judged(labels, proba, real)
    return float((answers == answers.max(axis=1, keepdims=True)).mean(axis=0).max())


def _renamed(
    labels: ArrayLike, proba: ArrayLike, real: int | None, seed: int, repeats: int
) -> tuple[float, Floats]:
    """The accuracy, and those under random renamings of the columns."""
    matrix = confusion_matrix(labels, proba, real, with_real=False)
    share = matrix / matrix.sum(axis=1, keepdims=True)
    names = np.arange(len(share))
    rng = np.random.default_rng(seed)
    renamed = rng.permuted(np.tile(names, (repeats, 1)), axis=1)
    return float(share[names, names].mean()), np.asarray(share[names, renamed].mean(axis=1))
