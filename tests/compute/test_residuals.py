"""Residuals against a plain per-image version in PyWavelets and SciPy, and against truths."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter, uniform_filter

from fpbench.compute import threads
from fpbench.compute.residuals import high_pass_residual, wavelet_levels, wavelet_residual
from fpbench.compute.residuals_gpu import plane_residuals


def plain_residual(
    image: NDArray[np.uint8], levels: int = 4, sigma: float = 5.0
) -> NDArray[np.float64]:
    """The residual of one image as the textbook writes it: image minus denoised image."""
    levels = max(1, min(levels, pywt.dwt_max_level(min(image.shape[:2]), "db4")))
    result = np.empty(image.shape)
    for channel in range(image.shape[2]):
        plane = image[:, :, channel].astype(np.float64)
        approximation, *details = pywt.wavedec2(plane, "db4", mode="symmetric", level=levels)
        denoised = [approximation]
        for bands in details:
            shrunk = []
            for band in bands:
                means = [uniform_filter(band**2, w, mode="constant") for w in (3, 5, 7, 9)]
                variance = np.min([np.maximum(m - sigma**2, 0) for m in means], axis=0)
                shrunk.append(band * variance / (variance + sigma**2))
            denoised.append(tuple(shrunk))
        back = pywt.waverec2(denoised, "db4", mode="symmetric")
        result[:, :, channel] = plane - back[: plane.shape[0], : plane.shape[1]]
    return result


def textured(rng: np.random.Generator, *shape: int) -> NDArray[np.uint8]:
    """Images with smooth parts, edges and noise, so that every branch of the filter acts."""
    count, height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    smooth = 90 + 60 * np.sin(x / 9 + rng.uniform(0, 6)) * np.cos(y / 13)
    edges = 80.0 * ((x // 11 + y // 7) % 2)
    base = (smooth + edges)[None, :, :, None] * rng.uniform(0.3, 1, (count, 1, 1, channels))
    noise = rng.normal(0, rng.uniform(1, 12, (count, 1, 1, 1)), shape)
    return np.clip(np.round(base + noise), 0, 255).astype(np.uint8)


@pytest.mark.filterwarnings("ignore:Level value")  # of PyWavelets, about tiny images
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (109, 89), (8, 8), (5, 9), (256, 256)])
@pytest.mark.parametrize(("levels", "sigma"), [(4, 5.0), (1, 2.0)])
def test_equals_pywavelets(size: tuple[int, int], levels: int, sigma: float) -> None:
    images = textured(np.random.default_rng(1), 3, *size, 3)
    expected = np.stack([plain_residual(image, levels, sigma) for image in images])
    found = wavelet_residual(images, levels=levels, sigma=sigma)
    assert found.dtype == np.float32 and found.shape == images.shape
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_noise_images_at_full_range() -> None:
    images = np.random.default_rng(2).choice(np.array([0, 255], np.uint8), (2, 64, 64, 3))
    expected = np.stack([plain_residual(image) for image in images])
    np.testing.assert_allclose(wavelet_residual(images), expected, atol=1e-4, rtol=0)


def test_a_constant_image_has_no_residual() -> None:
    images = np.full((2, 40, 40, 3), 255, np.uint8)
    assert np.abs(wavelet_residual(images)).max() < 1e-4


def test_finds_planted_noise() -> None:
    """The residual of a smooth image plus noise is mostly that noise."""
    rng = np.random.default_rng(3)
    noise = np.round(rng.normal(0, 3, (4, 96, 96, 3)))
    ramp = np.linspace(60, 180, 96)[None, :, None, None]
    images = (np.round(ramp) + noise).astype(np.uint8)
    found = wavelet_residual(images)
    correlation = np.corrcoef(found.ravel(), noise.ravel())[0, 1]
    assert correlation > 0.9


def test_an_image_does_not_depend_on_its_batch() -> None:
    images = textured(np.random.default_rng(4), 9, 128, 128, 3)
    together = wavelet_residual(images)
    alone = np.concatenate([wavelet_residual(images[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("size", [(128, 128), (20, 33)])
def test_threads_change_nothing(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    images = textured(np.random.default_rng(7), 70, *size, 3)
    alone = wavelet_residual(images)
    monkeypatch.setattr(threads, "thread_count", lambda: 3)
    np.testing.assert_array_equal(wavelet_residual(images), alone)


@pytest.mark.filterwarnings("ignore:Level value")
@pytest.mark.parametrize("size", [(33, 47), (64, 64), (8, 8)])
def test_matrices_for_gpus_agree(size: tuple[int, int]) -> None:
    """What runs on a GPU, here on the CPU."""
    images = textured(np.random.default_rng(8), 2, *size, 3)
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float() - 128
    levels = wavelet_levels(*size)
    found = plane_residuals(planes, levels, 25.0).permute(0, 2, 3, 1).numpy()
    expected = np.stack([plain_residual(image) for image in images])
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=0)


def test_reads_only_and_strided_arrays() -> None:
    images = textured(np.random.default_rng(5), 4, 32, 32, 3)
    expected = wavelet_residual(images[::2, :, ::-1].copy())
    view = images[::2, :, ::-1]
    view.setflags(write=False)
    np.testing.assert_array_equal(wavelet_residual(view), expected)
    assert wavelet_residual(images[:0]).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("side", [7, 8, 14, 31, 32, 55, 56, 64, 128, 256, 1024])
def test_levels_are_those_of_pywavelets(side: int) -> None:
    possible = pywt.dwt_max_level(side, "db4")
    assert wavelet_levels(side, side + 3, 10) == max(1, possible)
    assert wavelet_levels(side, side + 3, 2) == max(1, min(2, possible))


def test_bad_input_is_refused() -> None:
    good = np.zeros((1, 16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match="uint8"):
        wavelet_residual(good.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sigma"):
        wavelet_residual(good, sigma=0)
    with pytest.raises(ValueError, match="levels"):
        wavelet_residual(good, levels=0)
    with pytest.raises(ValueError, match="odd"):
        high_pass_residual(good, size=4)
    with pytest.raises(ValueError, match="too small"):
        high_pass_residual(good[:, :2], size=5)


@pytest.mark.parametrize("size", [3, 5])
def test_high_pass_equals_scipy(size: int) -> None:
    images = textured(np.random.default_rng(6), 3, 21, 34, 3)
    expected = np.stack(
        [
            image.astype(float) - median_filter(image, (size, size, 1), mode="mirror")
            for image in images
        ]
    )
    np.testing.assert_array_equal(high_pass_residual(images, size=size), expected)
