"""The writer's files are plain PNG, and the reader of many decodes them and no others."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fpbench.datasets.png import decode_plain, encode_png

Make = Callable[..., np.ndarray]


def _images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (9, 13, 3)).astype(np.uint8)
    ramp = np.add.outer(np.arange(9), 2 * np.arange(13))[:, :, None].repeat(3, 2).astype(np.uint8)
    stripes = np.broadcast_to(rng.integers(0, 256, (1, 13, 3)), (9, 13, 3)).astype(np.uint8)
    return [
        noise,
        ramp,
        ramp.transpose(1, 0, 2)[:9, :9].repeat(2, 1)[:, :13],
        stripes,
        np.zeros_like(noise),
        np.full_like(noise, 255),
    ]


def test_pillow_reads_what_is_written() -> None:
    for image in _images():
        with Image.open(io.BytesIO(encode_png(image))) as read:
            assert (read.format, read.mode, read.info) == ("PNG", "RGB", {})
            assert (np.asarray(read) == image).all()


def test_many_are_decoded_together() -> None:
    images = np.stack(_images())
    target = np.empty_like(images)
    assert decode_plain([encode_png(image) for image in images], target) == []
    assert (target == images).all()


def test_all_three_filters_are_used() -> None:
    used = set()
    for image in _images():
        data = encode_png(image)
        start = data.index(b"IDAT") + 4
        rows = zlib.decompressobj().decompress(data[start:])
        used |= set(rows[:: 1 + 3 * 13])
    assert used == {0, 1, 2}


def _by_pillow(image: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).convert(mode).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_others_are_left_to_a_general_decoder() -> None:
    image = _images()[0]
    info = PngImagePlugin.PngInfo()
    info.add_text("a", "b")
    good = encode_png(image)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    files = [
        _by_pillow(image, "L"),
        _by_pillow(image, "RGBA"),
        _by_pillow(image, pnginfo=info),
        good[:-20],
        bytes(flipped),
        b"",
        b"\x89PNG\r\n\x1a\n",
        encode_png(image[:, :-1]),
        good,
    ]
    target = np.zeros((len(files), *image.shape), np.uint8)
    assert decode_plain(files, target) == list(range(8))
    assert (target[8] == image).all()


def test_files_of_pillow_are_decoded_or_left(different_images: Make) -> None:
    images = different_images(30, 0)
    files = [_by_pillow(image) for image in images]
    target = np.zeros_like(images)
    left = decode_plain(files, target)
    done = [index for index in range(30) if index not in left]
    assert (target[done] == images[done]).all()


def test_every_shift_of_one_bit_in_a_small_file_is_noticed() -> None:
    image = _images()[3][:4, :4]
    good = encode_png(image)
    target = np.zeros((1, 4, 4, 3), np.uint8)
    for position in range(8, len(good)):
        broken = bytearray(good)
        broken[position] ^= 0x10
        if decode_plain([bytes(broken)], target) == []:
            pytest.fail(f"a changed byte {position} was not noticed")
