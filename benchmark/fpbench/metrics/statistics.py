"""Correction of p-values for their number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.score import Floats


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected for their number by Holm's step-down method.

    ``p̃_(i) = max_{j≤i} min(1, (m − j + 1) p_(j))``: rejecting where p̃ ≤ α keeps the chance of any
    false rejection at α, whatever the tests have to do with each other (Holm, 1979).

    Args:
        p_values: Shape (m,); NaN stands for a test that was not made and is not counted.

    Returns:
        Shape (m,), in the given order, NaN where there was none.

    Raises:
        ValueError: If a p-value is outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    made = np.flatnonzero(~np.isnan(p))
    if ((p[made] < 0) | (p[made] > 1)).any():
        raise ValueError("a p-value lies between 0 and 1")
    order = made[np.argsort(p[made], kind="stable")]
    corrected = np.full_like(p, np.nan)
    steps = np.arange(len(made), 0, -1) * p[order]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected
