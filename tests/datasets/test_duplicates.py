"""Near duplicates are found, and only they."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from fpbench.datasets.duplicates import near_duplicates
from fpbench.datasets.planting import highpass
from fpbench.datasets.resolve import resolve


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    # Crops of test do not overlap each other.
    return np.asarray(resolve("gm-mini").load().test.of_source("real").pixels)


def _found(pixels: np.ndarray) -> set[tuple[int, int, bool]]:
    pairs = near_duplicates(lambda chosen: pixels[chosen], len(pixels))
    return {(pair.first, pair.second, pair.mirrored) for pair in pairs}


def test_different_photographs_are_no_duplicates(photographs: np.ndarray) -> None:
    assert len(_found(photographs)) <= 1


def test_copies_are_found(photographs: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    detail = (highpass(photographs) ** 2).mean(axis=(1, 2, 3))
    textured = photographs[np.argsort(detail)[-20:]]
    noisy = np.clip(textured + rng.normal(0, 3, textured.shape), 0, 255).astype(np.uint8)
    brighter = np.clip(textured.astype(int) + 6, 0, 255).astype(np.uint8)
    mirrored = textured[:, :, ::-1]
    n = len(textured)
    for copies, turned in ((noisy, False), (brighter, False), (mirrored, True)):
        found = _found(np.concatenate([textured, copies]))
        for index in range(n):
            assert (index, n + index, turned) in found


def _levels(images: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def textured(photographs: np.ndarray) -> np.ndarray:
    detail = (highpass(photographs) ** 2).mean(axis=(1, 2, 3))
    # Neither dark nor bright ones: what is clipped is gone.
    middle = np.abs(photographs.mean(axis=(1, 2, 3)) - 115) < 45
    return photographs[middle][np.argsort(detail[middle])[-24:]].astype(np.float64)


@pytest.mark.parametrize(
    "change",
    [
        lambda x, noise: x + 25,
        lambda x, noise: 0.7 * (x - 128) + 128,
        lambda x, noise: 255 * (x / 255) ** 0.7,
        lambda x, noise: x + np.array([20, -10, -20]),
        # Fine detail correlates by about 0.85.
        lambda x, noise: x - 25 + noise * 0.6 * highpass(x).std(axis=(1, 2, 3), keepdims=True),
    ],
    ids=["brightness", "contrast", "gamma", "colour", "noise"],
)
def test_copies_of_other_brightness_contrast_or_colour_are_found(
    textured: np.ndarray, change: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    noise = np.random.default_rng(0).normal(size=textured.shape)
    copies = _levels(change(textured, noise))
    assert np.sqrt(((copies - textured) ** 2).mean(axis=(1, 2, 3))).min() > 10
    found = _found(np.concatenate([_levels(textured), copies]))
    n = len(textured)
    assert np.mean([(index, n + index, False) in found for index in range(n)]) > 0.9
    turned = _found(np.concatenate([_levels(textured), copies[:, :, ::-1]]))
    assert np.mean([(index, n + index, True) in turned for index in range(n)]) > 0.9


def _apart(images: np.ndarray) -> list[tuple[int, int]]:
    """Pairs found whose pixels differ by more than 10 levels: not by the rule for mere copies."""
    return [
        (one, two)
        for one, two, _ in _found(images)
        if np.sqrt(((images[one].astype(float) - images[two]) ** 2).mean()) > 10
    ]


def test_an_edge_in_common_is_no_copy() -> None:
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    edges = []
    for _ in range(60):
        # The same slanted edge, moved by less than a pixel, between areas of other noise.
        side = np.clip(0.5 * y + x - 45 + generator.uniform(-0.5, 0.5), 0, 1)[:, :, None]
        levels = generator.uniform([20, 20, 20], [40, 40, 40]), generator.uniform(190, 220, 3)
        edges.append(levels[0] + side * (levels[1] - levels[0]))
    images = _levels(np.stack(edges) + generator.normal(0, 3, (60, 64, 64, 3)))
    detail = highpass(images[:2])
    assert np.corrcoef(detail[0].ravel(), detail[1].ravel())[0, 1] > 0.8
    assert _apart(images) == []


def test_a_generator_s_pattern_in_common_is_no_copy() -> None:
    generator = np.random.default_rng(0)
    # Images of one colour each, with the same strong pattern along their border.
    pattern = generator.normal(0, 12, (32, 32, 3))
    pattern[3:-3, 3:-3] = 0
    shades = np.array([200, 90, 60]) * generator.uniform(0.6, 1.2, (60, 1, 1, 1))
    soft = generator.normal(0, 12, (60, 4, 4, 3)).repeat(8, axis=1).repeat(8, axis=2)
    images = _levels(shades + soft + pattern + generator.normal(0, 2, (60, 32, 32, 3)))
    assert _apart(images) == []


def test_a_re_encoded_image_is_found(photographs: np.ndarray) -> None:
    image = photographs[photographs.std(axis=(1, 2, 3)).argmax()]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90, subsampling=0)
    again = np.asarray(Image.open(buffer))
    assert (0, 1, False) in _found(np.stack([image, again]))


def test_pairs_are_found_across_chunks(
    photographs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fpbench.datasets.duplicates as module

    pixels = np.concatenate([photographs[:30], photographs[:30]])
    whole = _found(pixels)
    monkeypatch.setattr(module, "_CHUNK", 7)
    monkeypatch.setattr(module, "_CLOSE_AT_ONCE", 3)
    assert _found(pixels) == whole
    assert len(whole) >= 25


def test_nothing_has_no_duplicates() -> None:
    assert near_duplicates(lambda chosen: np.zeros((0, 8, 8, 3), np.uint8), 0) == []
