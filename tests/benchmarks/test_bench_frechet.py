"""All Fréchet distances between classes against a matrix square root for each pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.linalg import sqrtm

from fpbench.compute.frechet import frechet_matrix
from fpbench.compute.threads import thread_count

pytestmark = pytest.mark.benchmark


def test_frechet(race: Callable[..., Any], benchmark: Any) -> None:
    """20 classes of 500 features of 2,048 dimensions; SciPy does one of the 190 pairs."""
    rng = np.random.default_rng(0)
    scales = np.arange(1, 2049) ** -0.5
    features = rng.normal(size=(20, 500, 2048)) * scales
    features += 0.3 * rng.normal(size=(20, 1, 2048)) * scales
    labels = np.repeat(np.arange(20), 500)
    found: dict[str, Any] = {}

    def ours() -> None:
        found["ours"] = frechet_matrix(features.reshape(-1, 2048), labels)

    def theirs() -> None:
        one, other = features[0], features[1]
        first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
        root = sqrtm(first @ second)
        apart = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
        found["theirs"] = apart + np.trace(first + second - 2 * root.real)

    times = race(ours, theirs, rounds=1, scale=190)
    benchmark.extra_info["threads"] = thread_count()
    # The root of a singular product is what SciPy cannot do well.
    assert found["ours"][0, 1] == pytest.approx(found["theirs"], rel=1e-3)
    assert times.ratio >= 30
