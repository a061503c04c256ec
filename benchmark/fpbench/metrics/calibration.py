"""Whether stated probabilities are what they say: the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.bootstrap import percentile_interval
from fpbench.metrics.predictions import check_predictions
from fpbench.metrics.score import Floats, Ids

BINS = 15
REPEATS = 200


@dataclass(frozen=True)
class Calibration:
    """How far confidence and accuracy lie apart.

    Attributes:
        error: Expected calibration error, from 0 to 1.
        excess: Mean confidence less accuracy: above 0 where a method is too sure.
        level: The error that probabilities which are true would show on as many images, mean of
            simulations; the error is never 0, because accuracy in a bin varies.
        highest: Upper end of the central 95 % of these simulations.
    """

    error: float
    excess: float
    level: float
    highest: float


def calibration(
    labels: ArrayLike, proba: ArrayLike, *, ids: Ids = None, bins: int = BINS, seed: int = 0
) -> Calibration:
    """Expected calibration error of the named source (Guo et al., ICML 2017, equation 3).

    Images are binned by the probability of the source that they are given, in `bins` bins of
    equal width: ``ECE = Σ_b n_b / N · |accuracy_b − confidence_b|``. Of sources that tie the first
    is named. What true probabilities would give is simulated by drawing, for each image, whether
    it is correct with the probability stated (consistency resampling, Bröcker and Smith,
    2007).

    Args:
        labels: Shape (N,), columns of the true sources.
        proba: Shape (N, K), probabilities.
        ids: Distinct names of the images, if known.
        bins: Number of bins.
        seed: Of the simulations.

    Raises:
        NotComputable: If these are no probabilities.

    >>> sure_and_wrong = calibration([0, 0, 1, 1], [[1, 0]] * 4)
    >>> sure_and_wrong.error, sure_and_wrong.excess
    (0.5, 0.5)
    """
    y, p = check_predictions(np.asarray(labels), proba, None, ids)
    confidence: Floats = p.max(axis=1)
    right = (p.argmax(axis=1) == y).astype(np.float64)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)

    def errors(hits: Floats) -> Floats:
        gaps = np.zeros((len(hits), bins))
        for b in np.unique(place):
            inside = place == b
            gaps[:, b] = np.abs((hits[:, inside] - confidence[inside]).sum(axis=1))
        found: Floats = gaps.sum(axis=1) / len(y)
        return found

    rng = np.random.default_rng(seed)
    drawn = (rng.random((REPEATS, len(y))) < confidence).astype(np.float64)
    simulated = errors(drawn)
    return Calibration(
        error=float(errors(right[None])[0]),
        excess=float((confidence - right).mean()),
        level=float(simulated.mean()),
        highest=percentile_interval(simulated)[1],
    )
