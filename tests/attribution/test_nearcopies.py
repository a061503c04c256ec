"""Copies are found from sketches alone; other images of the same source are not called copies."""

import io

import numpy as np
from PIL import Image

from fpbench.attribution.nearcopies import BITS, KnownImages, Sketches
from fpbench.conformance.planted import photographs
from fpbench.datasets.resolve import resolve


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(packed).convert("RGB"))


def test_copies_re_encodings_and_mirrored_copies_of_real_crops_are_found() -> None:
    images = resolve("gm-mini").load().train.pixels[:200]
    known = KnownImages(Sketches.of(images), [str(i) for i in range(200)])
    some = np.arange(0, 200, 5)
    for name, changed, least in (
        ("same", images[some], 1.0),
        ("mirrored", images[some][:, :, ::-1].copy(), 1.0),
        ("brighter", np.clip(images[some] + 20.0, 0, 255).astype(np.uint8), 0.9),
        ("JPEG 90", np.stack([jpeg(one, 90) for one in images[some]]), 0.85),
    ):
        found = known.matches(changed)
        right = [m is not None and m.position == i for m, i in zip(found, some, strict=True)]
        assert np.mean(right) >= least, name
        assert all(m is None or m.mirrored == (name == "mirrored") for m in found)


def test_other_images_are_no_copies() -> None:
    known = KnownImages(Sketches.of(photographs(400, (32, 32), 1)), ["x"] * 400)
    assert known.matches(photographs(400, (32, 32), 2)) == [None] * 400


def test_images_that_show_nothing_are_copies_of_nothing() -> None:
    grey = np.full((3, 16, 16, 3), 128, np.uint8)
    known = KnownImages(Sketches.of(grey), ["a", "b", "c"])
    assert known.matches(grey) == [None] * 3


def test_bits_agree_as_often_as_the_angle_says() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(60, 48, 48, 3))
    other = 0.8 * base + 0.6 * rng.normal(size=base.shape)
    levels = [np.clip(128 + 20 * x, 0, 255).astype(np.uint8) for x in (base, other)]
    bits = [np.unpackbits(Sketches.of(x).bits, axis=1)[:, BITS:] for x in levels]
    assert abs((bits[0] == bits[1]).mean() - (1 - np.arccos(0.8) / np.pi)) < 0.015
