"""Wavelet residuals against PyWavelets and SciPy, image by image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pywt
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from fpbench.compute.residuals import wavelet_residual
from fpbench.compute.threads import thread_count

pytestmark = [pytest.mark.benchmark, pytest.mark.shared_data]

_PART = 128


def plain_residual(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """As one would write it with PyWavelets: σ = 5, four levels, windows of 3 to 9."""
    residual = np.empty(image.shape)
    for channel in range(3):
        plane = image[..., channel].astype(np.float64)
        coefficients = pywt.wavedec2(plane, "db4", level=4)
        noise: list[Any] = [np.zeros_like(coefficients[0])]
        for details in coefficients[1:]:
            kept = []
            for detail in details:
                energy = detail**2
                variance = np.min(
                    [
                        np.maximum(uniform_filter(energy, w, mode="constant") - 25, 0)
                        for w in (3, 5, 7, 9)
                    ],
                    axis=0,
                )
                kept.append(detail * 25 / (variance + 25))
            noise.append(tuple(kept))
        residual[..., channel] = pywt.waverec2(noise, "db4")[: plane.shape[0], : plane.shape[1]]
    return residual


def test_residuals(
    race: Callable[..., Any], benchmark: Any, faces: tuple[NDArray[np.uint8], Any]
) -> None:
    """512 images of 256×256; the plain version does a part of them and is scaled up."""
    images = faces[0][:512]
    expected = np.stack([plain_residual(image) for image in images[:4]])
    np.testing.assert_allclose(wavelet_residual(images)[:4], expected, atol=1e-4)
    times = race(
        lambda: wavelet_residual(images),
        lambda: [plain_residual(image) for image in images[:_PART]],
        rounds=3,
        scale=len(images) / _PART,
    )
    benchmark.extra_info["threads"] = thread_count()
    assert times.ratio >= 8
