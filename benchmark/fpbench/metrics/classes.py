"""A transfer's answers class by class: the interval and the test take architectures as the sample.

An interval over images says how well *these* models are told apart in *these* images. Whether a
method reads what an architecture leaves, whatever it is trained on, is a question about
architectures, of which two datasets share a handful: each is one observation, however many images
show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.bootstrap import LEVEL
from fpbench.metrics.score import Floats

EXACT = 8
"""Classes up to which all permutations are counted; of more, `SAMPLED` are drawn."""

SAMPLED = 9999


@dataclass(frozen=True)
class ClassShares:
    """How often each class is attributed correctly, and what classes as the sample say of the mean.

    Attributes:
        names: The S classes.
        shares: float64 of shape (S,), share of each that is attributed correctly.
        mean: Their mean.
        low: Lower end of the 95 % interval of the mean over classes, Student's with S − 1 degrees
            of freedom, not below 0.
        high: Upper end, not above 1.
        chance: 1 / S.
        p_value: One-sided, of answers that have nothing to do with the classes' names.
    """

    names: tuple[str, ...]
    shares: Floats
    mean: float
    low: float
    high: float
    chance: float
    p_value: float


def class_shares(names: Sequence[str], confusion: ArrayLike, seed: int = 0) -> ClassShares:
    """What a confusion between shared classes says, each class being one observation.

    If what a method learned of a class in one dataset has nothing to do with the class of that
    name in the other, the classes learned could be renamed in any order: the mean share named
    rightly is then one of S! equally likely ones, and p is the share of them that are as high
    (Fisher's permutation test). A constant answer gives 1 / S under each of them, so p = 1.

    Args:
        names: S classes.
        confusion: Shape (S, S), how often images of each class (rows) are given each name.
        seed: Of the permutations drawn for more than `EXACT` classes.

    Raises:
        ValueError: If shapes do not fit, there are fewer than two classes, or one has no image.

    >>> found = class_shares(["a", "b", "c"], [[8, 1, 1], [2, 8, 0], [1, 0, 9]])
    >>> found.shares.tolist(), round(found.p_value, 3)  # the best of 3! = 6 renamings
    ([0.8, 0.8, 0.9], 0.167)
    """
    from scipy.special import stdtrit

    counts = np.asarray(confusion, dtype=np.float64)
    size = len(names)
    if size < 2 or counts.shape != (size, size) or (counts.sum(axis=1) <= 0).any():
        raise ValueError(f"confusion of shape {counts.shape} for {size} classes with images")
    rates = counts / counts.sum(axis=1, keepdims=True)
    shares: Floats = np.diag(rates).copy()
    mean = float(shares.mean())
    half = float(stdtrit(size - 1, (1 + LEVEL) / 2) * shares.std(ddof=1) / np.sqrt(size))
    rows = np.arange(size)
    if size <= EXACT:
        orders = np.array(list(permutations(range(size))))
        found, drawn = rates[rows, orders].mean(axis=1), factorial(size)
        as_high = float((found >= mean - 1e-12).sum())
    else:
        rng = np.random.default_rng(seed)
        orders = rng.permuted(np.tile(rows, (SAMPLED, 1)), axis=1)
        found, drawn = rates[rows, orders].mean(axis=1), SAMPLED + 1
        as_high = 1 + float((found >= mean - 1e-12).sum())
    return ClassShares(
        tuple(names),
        shares,
        mean,
        max(0.0, mean - half),
        min(1.0, mean + half),
        1 / size,
        as_high / drawn,
    )
