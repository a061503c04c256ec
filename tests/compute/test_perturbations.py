"""Perturbations against Pillow by hand, an explicit convolution, and what they promise."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fpbench.compute.perturbations import PERTURBATIONS, TABLE, Strength, perturb_at_random

Pixels = NDArray[np.uint8]
BY_KEY = {strength.key: strength for strength in TABLE}


@pytest.fixture(scope="module")
def pictures() -> Pixels:
    """Smooth coloured pictures with some noise, neither square nor of even size."""
    rng = np.random.default_rng(0)
    small = rng.integers(40, 215, (7, 5, 6, 3), np.uint8)
    large = [
        np.asarray(Image.fromarray(s).resize((29, 34), Image.Resampling.BICUBIC)) for s in small
    ]
    noisy = np.stack(large).astype(int) + rng.integers(-6, 7, (7, 34, 29, 3))
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


def test_the_table_is_complete_and_in_order() -> None:
    assert [strength.key for strength in TABLE] == [
        "jpeg_95", "jpeg_85", "jpeg_75", "jpeg_60", "jpeg_40",
        "webp_90", "webp_75", "webp_50",
        "resize_0.9", "resize_0.75", "resize_0.5",
        "crop_0.95", "crop_0.85", "crop_0.7",
        "blur_0.5", "blur_1", "blur_2",
        "noise_1", "noise_2", "noise_4", "noise_8",
        "gamma_0.9", "gamma_1.1", "gamma_1.3",
        "shift", "repost",
    ]  # fmt: skip
    assert sorted(k for own in PERTURBATIONS.values() for k in own) == list(range(26))
    assert PERTURBATIONS["crop"] == (11, 12, 13)


@pytest.mark.parametrize("strength", TABLE, ids=lambda strength: strength.key)
def test_an_image_becomes_what_it_becomes_alone_and_the_given_ones_stay(
    strength: Strength, pictures: Pixels
) -> None:
    before = pictures.copy()
    found = strength.apply(pictures)
    assert found.shape == pictures.shape and found.dtype == np.uint8
    np.testing.assert_array_equal(pictures, before)
    assert (found != pictures).any()
    order = [4, 0, 6, 1, 5, 2, 3]
    np.testing.assert_array_equal(strength.apply(pictures[order]), found[order])
    np.testing.assert_array_equal(strength.apply(pictures[2:3]), found[2:3])


def through_pillow(pixels: Pixels, key: str) -> Pixels:
    """What Pillow makes of one image, written out."""
    image = Image.fromarray(pixels)
    kind, _, value = key.partition("_")
    bicubic = Image.Resampling.BICUBIC

    def saved(img: Image.Image, file_type: str, **settings: Any) -> Image.Image:
        file = io.BytesIO()
        img.save(file, file_type, **settings)
        return Image.open(io.BytesIO(file.getvalue())).convert("RGB")

    if kind == "jpeg":
        image = saved(image, "JPEG", quality=int(value), subsampling=2)
    elif kind == "webp":
        image = saved(image, "WEBP", quality=int(value))
    elif kind == "resize":
        size = {"0.9": (26, 31), "0.75": (22, 26), "0.5": (14, 17)}[value]
        image = image.resize(size, bicubic).resize((29, 34), bicubic)
    elif kind == "crop":
        box = {"0.95": (1, 1, 28, 33), "0.85": (2, 3, 26, 31), "0.7": (4, 5, 24, 28)}[value]
        image = image.crop(box).resize((29, 34), bicubic)
    elif kind == "repost":
        image = saved(image.resize((22, 26), bicubic), "JPEG", quality=80, subsampling=2)
        image = image.resize((29, 34), bicubic)
    return np.asarray(image)


@pytest.mark.parametrize(
    "key", [k for k in BY_KEY if k.split("_")[0] in ("jpeg", "webp", "resize", "crop", "repost")]
)
def test_what_pillow_does_is_what_pillow_does(key: str, pictures: Pixels) -> None:
    found = BY_KEY[key].apply(pictures)
    for given, image in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(image, through_pillow(given, key))


def test_jpeg_halves_the_resolution_of_colours() -> None:
    """Colour that changes from one column to the next is lost by 4:2:0 at any quality."""
    stripes = np.zeros((1, 32, 32, 3), np.uint8)
    stripes[:, :, 0::2] = (200, 60, 60)
    stripes[:, :, 1::2] = (60, 107, 200)
    found = BY_KEY["jpeg_95"].apply(stripes).astype(int)
    red_less_blue = (found[..., 0] - found[..., 2])[0, :, 4:-4]
    assert np.abs(red_less_blue).max() < 40  # 140 in the image itself


@pytest.mark.parametrize(("key", "sigma"), [("blur_0.5", 0.5), ("blur_1", 1.0), ("blur_2", 2.0)])
def test_blur_is_a_convolution_with_a_gaussian(key: str, sigma: float, pictures: Pixels) -> None:
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    expected = pictures.astype(float)
    for axis in (1, 2):
        pad = [(0, 0)] * 4
        pad[axis] = (radius, radius)
        padded = np.pad(expected, pad, mode="symmetric")
        expected = np.apply_along_axis(np.convolve, axis, padded, kernel, mode="valid")
    assert np.abs(BY_KEY[key].apply(pictures) - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("sigma", [1, 2, 4, 8])
def test_noise_has_its_strength_and_differs_between_images(sigma: int) -> None:
    rng = np.random.default_rng(0)
    grey = np.full((4, 64, 64, 3), 128, np.uint8)
    grey[:, 0, 0] = rng.integers(0, 255, (4, 3))
    added = BY_KEY[f"noise_{sigma}"].apply(grey).astype(int) - grey
    inner = added[:, 1:].ravel()
    # Rounding adds a twelfth of a grey level squared.
    assert inner.std() == pytest.approx(np.sqrt(sigma**2 + 1 / 12), rel=0.03)
    assert abs(inner.mean()) < 0.1 * sigma
    assert abs(np.corrcoef(added[0, 1:].ravel(), added[1, 1:].ravel())[0, 1]) < 0.05


def test_gamma_and_shift_are_their_formulas(pictures: Pixels) -> None:
    for exponent in (0.9, 1.1, 1.3):
        expected = 255 * (pictures / 255.0) ** exponent
        assert np.abs(BY_KEY[f"gamma_{exponent}"].apply(pictures) - expected).max() <= 0.5 + 1e-9
    shifted = BY_KEY["shift"].apply(pictures)
    np.testing.assert_array_equal(shifted[:, 1:, 1:], pictures[:, :-1, :-1])
    np.testing.assert_array_equal(shifted[:, 0, 1:], pictures[:, 0, :-1])
    np.testing.assert_array_equal(shifted[:, 1:, 0], pictures[:, :-1, 0])
    np.testing.assert_array_equal(shifted[:, 0, 0], pictures[:, 0, 0])


def test_stronger_is_further_from_the_image(pictures: Pixels) -> None:
    error = {
        key: float(np.abs(s.apply(pictures).astype(int) - pictures).mean())
        for key, s in BY_KEY.items()
    }
    for name in ("jpeg", "webp", "resize", "crop", "blur", "noise"):
        values = [error[TABLE[k].key] for k in PERTURBATIONS[name]]
        assert values == sorted(values), name


def test_half_of_the_training_images_are_perturbed_each_by_its_own_lot() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 12, 12, 3), np.uint8)
    found = perturb_at_random(images, 3)
    touched = (found != images).any(axis=(1, 2, 3))
    assert 160 <= touched.sum() <= 240
    order = rng.permutation(400)
    np.testing.assert_array_equal(perturb_at_random(images[order], 3), found[order])
    assert (perturb_at_random(images, 4) != found).any()
    made = np.stack([strength.apply(images) for strength in TABLE])
    same = (made == found).all(axis=(2, 3, 4))[:, touched]
    assert same.any(axis=0).all()
    counts = [int(same[list(own)].any(axis=0).sum()) for own in PERTURBATIONS.values()]
    # Each of nine perturbations is as likely, whatever the number of its strengths.
    assert min(counts) >= 8 and max(counts) <= 45, counts
    np.testing.assert_array_equal(perturb_at_random(images, 3, share=0.0), images)
