"""Whether two runs judged the same images: what one finds easy in a source, the other does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.score import Integers


@dataclass(frozen=True)
class Agreement:
    """How alike two runs rank the images within sources.

    Attributes:
        correlation: Rank correlation within sources, pooled; 0 where a run tells no two images of
            a source apart.
        z: The same in standard deviations of its value for answers dealt to other images of the
            same sources; 0 likewise.
    """

    correlation: float
    z: float


def rank_agreement(first: ArrayLike, second: ArrayLike, labels: ArrayLike) -> Agreement:
    """Rank correlation, within sources, of the probabilities that two runs give the true source.

    With x and y the ranks (ties averaged) within each source, less their mean there,
    ``r = Σ x y / √(Σ x² Σ y²)``. If the answers of one run were dealt anew to the images of each
    source, r would have mean 0 and variance ``Σ_k X_k Y_k / (n_k − 1) / (Σ X_k Σ Y_k)``, X_k and
    Y_k being the sums of x² and y² in source k: the permutation moments of Daniels (1944), which
    z is measured by.

    Args:
        first: Shape (N, K), probabilities of one run.
        second: Of another run on the same images in the same order.
        labels: Shape (N,), the true sources as columns.

    Raises:
        ValueError: If shapes do not fit.

    >>> rng = np.random.default_rng(0)
    >>> labels, easy = np.repeat([0, 1], 50), rng.random(100)
    >>> own = np.where(labels == 0, easy, 1 - easy)
    >>> proba = np.stack([own, 1 - own], axis=1)
    >>> rank_agreement(proba, proba, labels).correlation
    1.0
    >>> abs(rank_agreement(proba, rng.permutation(proba), labels).z) < 3
    True
    """
    from scipy.stats import rankdata

    a, b, keys = np.asarray(first), np.asarray(second), np.asarray(labels, dtype=np.int64)
    if a.ndim != 2 or a.shape != b.shape or keys.shape != a.shape[:1]:
        raise ValueError(f"probabilities of shapes {a.shape} and {b.shape}, labels {keys.shape}")
    rows: Integers = np.arange(len(keys))
    own = a[rows, keys], b[rows, keys]
    product = variance = 0.0
    squares = np.zeros(2)
    for source in np.unique(keys):
        members = keys == source
        if members.sum() < 2:
            continue
        x, y = (rankdata(values[members]) for values in own)
        x, y = x - x.mean(), y - y.mean()
        product += float(x @ y)
        squares += (x @ x, y @ y)
        variance += float((x @ x) * (y @ y)) / (len(x) - 1)
    if variance == 0:
        return Agreement(0.0, 0.0)
    return Agreement(product / float(np.sqrt(squares.prod())), product / float(np.sqrt(variance)))
