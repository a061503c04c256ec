"""Images for the zoo's tests."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def small_images():
    """uint8 of shape (48, 16, 16, 3): smooth colour ramps, no noise."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 256, (48, 2, 2, 3)).astype(float)
    along = np.linspace(0, 1, 16)
    weights = np.stack([1 - along, along])
    return np.einsum("yi,nyxc,xj->nijc", weights, corners, weights).round().astype(np.uint8)
