"""Spectra against NumPy and SciPy one image at a time, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import mean as labelled_mean

from fpbench.compute.spectra import autocorrelation, log_dct, log_magnitude, radial_average


def some_images(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", [(32, 32), (33, 20), (1, 7)])
def test_log_magnitude_equals_numpy(size: tuple[int, int]) -> None:
    images = some_images(5, *size, 3)
    planes = images.astype(np.float64) / 255
    expected = np.log(
        np.abs(np.fft.fftshift(np.fft.fft2(planes, axes=(1, 2)), axes=(1, 2))) + 1e-12
    )
    found = log_magnitude(images)
    assert found.dtype == np.float32 and found.shape == images.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(log_magnitude(planes), expected, atol=1e-5)
    np.testing.assert_allclose(log_magnitude(planes[..., 1]), expected[..., 1], atol=1e-5)


def test_a_constant_image_is_its_zero_frequency() -> None:
    found = log_magnitude(np.full((1, 16, 16, 3), 255, np.uint8))[0]
    assert found[8, 8] == pytest.approx(np.log(256), abs=1e-5)
    rest = np.delete(found.reshape(-1, 3), 8 * 16 + 8, axis=0)
    assert rest.max() < np.log(1e-9)


@pytest.mark.parametrize("size", [(32, 32), (9, 14)])
def test_log_dct_equals_scipy(size: tuple[int, int]) -> None:
    images = some_images(4, *size, 3)
    planes = images.astype(np.float64) / 255
    expected = np.log(np.abs(scipy.fft.dctn(planes, axes=(1, 2), norm="ortho")) + 1e-12)
    np.testing.assert_allclose(log_dct(images), expected, atol=1e-4)


def test_radial_average_equals_labelled_means() -> None:
    spectra = np.random.default_rng(1).normal(size=(3, 17, 24, 2))
    y, x = np.indices((17, 24))
    rings = np.hypot(y - 8, x - 12).astype(int)
    found = radial_average(spectra)
    assert found.shape == (3, rings.max() + 1, 2)
    for n in range(3):
        for c in range(2):
            expected = labelled_mean(spectra[n, :, :, c], rings, np.arange(rings.max() + 1))
            np.testing.assert_allclose(found[n, :, c], expected, atol=1e-12)
    np.testing.assert_allclose(radial_average(spectra[..., 1]), found[..., 1], atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 301), (64, 64), (31, 7)])
def test_no_ring_is_empty(size: tuple[int, int]) -> None:
    np.testing.assert_allclose(radial_average(np.ones((1, *size))), 1.0)


def test_a_radial_spectrum_comes_back() -> None:
    y, x = np.indices((40, 40)) - 20
    rings = np.floor(np.hypot(y, x))
    found = radial_average((rings**2)[None])[0]
    np.testing.assert_allclose(found, np.arange(len(found)) ** 2, atol=1e-9)


def test_autocorrelation_equals_its_definition() -> None:
    images = some_images(2, 9, 12, 3)
    found = autocorrelation(images)
    for n in range(2):
        for c in range(3):
            plane = images[n, :, :, c].astype(float)
            plane -= plane.mean()
            for dy, dx in [(0, 0), (1, 0), (0, 3), (-4, 5)]:
                lagged = np.roll(plane, (-dy, -dx), axis=(0, 1))
                expected = (plane * lagged).sum() / (plane**2).sum()
                assert found[n, 4 + dy, 6 + dx, c] == pytest.approx(expected, abs=1e-6)


def test_autocorrelation_shows_a_period_and_survives_constants() -> None:
    rng = np.random.default_rng(2)
    tile = np.tile(rng.normal(size=(4, 4)), (8, 8))
    found = autocorrelation(tile[None])[0]
    assert found[16 + 4, 16] == pytest.approx(1.0, abs=1e-6)
    assert np.abs(autocorrelation(np.full((1, 8, 8, 3), 7, np.uint8))).max() == 0
    assert np.abs(autocorrelation(np.full((1, 8, 8), 0.1))).max() == 0


def test_empty_and_bad_input() -> None:
    assert log_magnitude(some_images(0, 8, 8, 3)).shape == (0, 8, 8, 3)
    for function in (log_magnitude, log_dct, autocorrelation):
        with pytest.raises(ValueError, match="shape"):
            function(some_images(8, 8))
        with pytest.raises(ValueError, match="uint8 or floating"):
            function(some_images(1, 8, 8, 3).astype(np.int64))
    with pytest.raises(ValueError, match="shape"):
        radial_average(np.ones((8, 8)))
