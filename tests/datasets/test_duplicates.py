"""Near duplicates are found, and only they."""

from __future__ import annotations

import io

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
