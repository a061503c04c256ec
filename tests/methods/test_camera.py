"""The camera's post-processing, and what it does to a generator's fingerprint."""

import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, MethodDeclined
from fpbench_methods.prnu import PRNU
from fpbench_methods.prnu.camera import camera_processing, wiener_spectrum, zero_mean

SOURCES = (Source("real", "Real", "Real"), Source("a", "GAN", "a"), Source("b", "GAN", "b"))


def test_rows_and_columns_of_each_lattice_sum_to_zero() -> None:
    planes = np.random.default_rng(0).normal(3, 2, (2, 9, 12, 3))
    found = zero_mean(planes)
    for row in (0, 1):
        for column in (0, 1):
            part = found[:, row::2, column::2]
            np.testing.assert_allclose(part.mean(axis=1), 0, atol=1e-12)
            np.testing.assert_allclose(part.mean(axis=2), 0, atol=1e-12)
    np.testing.assert_allclose(zero_mean(found), found, atol=1e-12)


def test_checkerboards_and_stripes_vanish_and_planes_are_not_changed_in_place() -> None:
    y, x = np.mgrid[:16, :16]
    board = ((y + x) % 2).astype(float)[None, :, :, None]
    stripes = np.cos(2 * np.pi * y / 8)[None, :, :, None]
    kept = board.copy()
    np.testing.assert_allclose(zero_mean(board), 0, atol=1e-12)
    np.testing.assert_allclose(zero_mean(stripes), 0, atol=1e-12)
    np.testing.assert_array_equal(board, kept)


def test_the_filter_equals_its_definition() -> None:
    plane = np.random.default_rng(0).normal(0, 2, (20, 24))
    plane += 3 * np.cos(2 * np.pi * np.arange(24) / 4)
    spectrum = np.fft.fft2(plane)
    energy = np.abs(spectrum) ** 2 / (20 * 24)
    variances = []
    for width in (3, 5, 7, 9):
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(energy, width // 2), (width, width)
        )
        variances.append(np.maximum(windows.mean(axis=(2, 3)) - plane.var(), 0))
    least = np.min(variances, axis=0)
    expected = np.fft.ifft2(spectrum * plane.var() / (least + plane.var())).real
    found = wiener_spectrum(plane[None, :, :, None])[0, :, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_white_noise_passes_nearly_whole() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (1, 64, 64, 1))
    found = wiener_spectrum(noise)
    assert np.corrcoef(found.ravel(), noise.ravel())[0, 1] > 0.95


@pytest.mark.parametrize(("size", "share"), [(32, 0.6), (128, 0.1)])
def test_a_wave_is_held_back_the_more_the_larger_the_image(size: int, share: float) -> None:
    y, x = np.mgrid[:size, :size]
    wave = np.cos(2 * np.pi * (3 * x + 2 * y) / 8)
    plane = (wave + np.random.default_rng(0).normal(0, 0.1, wave.shape))[None, :, :, None]
    found = camera_processing(plane)[0, :, :, 0]
    left = (found * wave).sum() / (wave * wave).sum()
    assert 0 <= left < share


def test_constant_planes_stay_finite() -> None:
    assert (camera_processing(np.full((1, 8, 8, 3), 5.0)) == 0).all()


def planted(per_source: int, seed: int, size: int) -> ImageSet:
    """Smooth images with noise; sources a and b carry a periodic pattern of their own."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_source)
    y, x = np.mgrid[:size, :size]
    slow = 30 * np.cos(2 * np.pi * (y * generator.uniform(0, 2, (len(labels), 1, 1)) / size))
    images = 128 + slow[..., None] + generator.normal(0, 5, (len(labels), size, size, 3))
    patterns = np.zeros((3, size, size))
    patterns[1] = np.cos(2 * np.pi * (3 * x + 2 * y) / 8)
    patterns[2] = np.cos(2 * np.pi * (2 * x - 3 * y) / 8)
    images += 3 * patterns[labels][..., None]
    return ImageSet(np.clip(np.rint(images), 0, 255).astype(np.uint8), SOURCES, labels)


def recovered(method: PRNU, images: ImageSet) -> NDArray[np.float64]:
    """Share of each generator's fingerprint that is its planted pattern."""
    size = images.size[0]
    y, x = np.mgrid[:size, :size]
    patterns = [np.cos(2 * np.pi * (3 * x + 2 * y) / 8), np.cos(2 * np.pi * (2 * x - 3 * y) / 8)]
    found = method.fingerprints().reshape(3, size, size, 3)[1:]
    return np.array(
        [
            np.corrcoef(fingerprint.mean(axis=2).ravel(), pattern.ravel())[0, 1] ** 2
            for fingerprint, pattern in zip(found, patterns, strict=True)
        ]
    )


def test_camera_processing_erases_a_planted_pattern_and_the_default_does_not() -> None:
    train, test = planted(6, 0, 128), planted(10, 2, 128)

    def fit(camera: bool) -> PRNU:
        return PRNU(camera=camera).fit(
            train,
            reference=train.of_source("real"),
            validation=planted(4, 1, 128),
            context=FitContext(),
        )

    plain, processed = fit(False), fit(True)
    assert recovered(plain, train).min() > 0.7
    assert recovered(processed, train).max() < 0.1
    # What is left of the pattern in an image correlates far less with its source.
    generated = test.labels > 0
    own = [
        method.correlations(test)[np.arange(len(test)), test.labels][generated].mean()
        for method in (plain, processed)
    ]
    assert own[1] < 0.2 * own[0]


def test_nlm_leaves_the_residual_of_scikit_image() -> None:
    from skimage.restoration import denoise_nl_means

    images = planted(2, 0, 24)
    image = images.pixels[3].astype(np.float32)
    clean = denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=5.0, sigma=5.0, channel_axis=-1,
        preserve_range=True,
    )  # fmt: skip
    found = PRNU(denoiser="nlm").residual(images.select([3]))[0]
    np.testing.assert_allclose(found, image - clean, atol=1e-3)


def test_nlm_without_scikit_image_is_declined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.restoration", None)
    images = planted(2, 0, 24)
    with pytest.raises(MethodDeclined, match=r"pip install .*\[nlm\]"):
        PRNU(denoiser="nlm").fit(images, reference=images, validation=images, context=FitContext())
