"""Turning scores into probabilities by one temperature, fitted on validation images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def softmax(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Row-wise softmax of shape (N, K), in float64 inside, each row summing to 1.

    >>> softmax(np.zeros((1, 4))).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    shifted = np.asarray(scores, np.float64)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def fit_temperature(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature t > 0 that minimises the negative log-likelihood of softmax(scores / t).

    Args:
        scores: Shape (N, K).
        labels: Integers of shape (N,).

    Returns:
        A temperature between 1e-4 and 1e4 times the spread of the scores, found by bounded
        scalar minimisation over its logarithm.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    scores = np.asarray(scores, np.float64)
    spread = float(scores.std()) or 1.0

    def loss(log_temperature: float) -> float:
        logs = log_softmax(scores / (spread * np.exp(log_temperature)), axis=1)
        return -float(logs[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(loss, bounds=(np.log(1e-4), np.log(1e4)), method="bounded")
    return float(spread * np.exp(found.x))
