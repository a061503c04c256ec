"""Codec traces are read from files and from pixels."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from fpbench.datasets import traces
from fpbench.datasets.decoding import decode
from fpbench.datasets.equalise import equalised
from fpbench.datasets.origins.photographs import photograph
from fpbench.datasets.schema import Equalise


def _encode(mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (24, 16), 77 if mode == "L" else None).save(buffer, **options)
    return buffer.getvalue()


def test_headers_of_jpeg_files() -> None:
    one = traces.file_traits(_encode(format="JPEG", quality=75, subsampling="4:2:0"))
    same = traces.file_traits(_encode(format="JPEG", quality=75, subsampling="4:2:0"))
    other = traces.file_traits(_encode(format="JPEG", quality=90, subsampling="4:4:4"))
    assert one == same and one.tables != other.tables
    assert (one.format, one.mode, one.size) == ("JPEG", "RGB", (16, 24))
    assert (one.subsampling, other.subsampling) == ("4:2:0", "4:4:4")
    assert one.metadata == ()


def test_headers_of_png_files() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "a sampler")
    traits = traces.file_traits(_encode(mode="L", format="PNG", pnginfo=info))
    assert (traits.format, traits.mode, traits.tables) == ("PNG", "L", "")
    assert traits.metadata == ("Software",)
    assert "metadata Software" in traits.label()


def test_exif_is_metadata() -> None:
    exif = Image.Exif()
    exif[0x0131] = "a camera"
    assert "exif" in traces.file_traits(_encode(format="JPEG", exif=exif)).metadata


def crops(size: int, stride: int) -> np.ndarray:
    """Crops of photographs in which no grid of a JPEG can be measured."""
    pytest.importorskip("skimage")
    found = []
    for name in ("astronaut", "coffee"):
        pixels = photograph(name)
        for top in range(0, pixels.shape[0] - size + 1, stride):
            for left in range(0, pixels.shape[1] - size + 1, stride):
                found.append(pixels[top : top + size, left : left + size])
    return np.stack(found)


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return crops(64, 64)


def test_a_jpeg_is_seen_in_lossless_pixels(photographs: np.ndarray) -> None:
    compressed = equalised(photographs, Equalise(jpeg=75))
    assert abs(traces.codec_trace(photographs).mean()) < 0.03
    assert traces.codec_trace(compressed).mean() > 0.3
    # Off the grid of the codec nothing vanishes.
    assert abs(traces.codec_trace(compressed[:, 4:, 4:]).mean() + 0.3) < 0.35
    reduced = equalised(photographs, Equalise(jpeg=75, reduce=2))
    assert abs(traces.codec_trace(reduced).mean()) < 0.1


def test_grid_strength_points_at_the_grid(photographs: np.ndarray) -> None:
    compressed = equalised(photographs, Equalise(jpeg=25))
    for shift, phase in ((0, 7), (3, 4)):
        luma = traces.luminance(compressed[:, shift:, shift:])
        strength = traces.grid_strength(luma).mean(axis=0)
        assert strength[:8].argmax() == phase and strength[8:].argmax() == phase


def test_clipping_counts_both_ends() -> None:
    images = np.full((1, 4, 4, 3), 100, np.uint8)
    images[0, 0, 0] = (0, 255, 100)
    features = traces.clipping_features(images)[0] ** 2
    np.testing.assert_allclose(features, [1 / 16, 0, 0, 0, 1 / 16, 0], atol=1e-7)


def test_finer_grids_are_no_trace_of_a_codec(photographs: np.ndarray) -> None:
    checkered = photographs.astype(int)
    checkered[:, ::2] += 6
    checkered[:, :, ::4] += 6
    checkered = np.clip(checkered, 0, 255).astype(np.uint8)
    plain = traces.grid_features(photographs).mean(axis=0)
    assert np.abs(traces.grid_features(checkered).mean(axis=0) - plain).max() < 0.03
    compressed = equalised(photographs, Equalise(jpeg=50))
    assert (traces.grid_features(compressed).mean(axis=0) - plain).min() > 0.05


def _beyond(images: np.ndarray, draws: int = 400, of: int = 35) -> tuple[float, float]:
    """Shares of draws whose interval lies above the threshold of their size, and below it."""
    measured = traces.codec_trace(images)
    threshold = traces.codec_threshold(images.shape[1:3])
    generator = np.random.default_rng(0)
    ends = [
        traces.codec_interval(measured[generator.integers(0, len(measured), of)])
        for _ in range(draws)
    ]
    above = np.mean([end is not None and end[1] > threshold for end in ends])
    return float(above), float(np.mean([end is not None and end[2] < threshold for end in ends]))


@pytest.mark.parametrize(("size", "stride"), [(16, 37), (32, 45), (64, 51), (128, 67), (256, 65)])
def test_35_images_tell_a_jpeg_from_lossless_pixels(size: int, stride: int) -> None:
    images = crops(size, stride)
    above, below = _beyond(images)
    assert above <= 0.05 and below >= 0.9
    for quality in (75, 95):
        assert _beyond(equalised(images, Equalise(jpeg=quality)))[0] >= 0.95


@pytest.mark.parametrize("level", [0, 255])
def test_an_object_on_plain_ground_is_no_jpeg(photographs: np.ndarray, level: int) -> None:
    images = np.full((len(photographs), 128, 128, 3), level, np.uint8)
    images[:, 32:96, 32:96] = photographs
    assert _beyond(images)[0] <= 0.05
    assert _beyond(equalised(images, Equalise(jpeg=90)))[0] >= 0.95


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (20, 44), (40, 25)])
def test_a_jpeg_is_seen_at_sizes_that_blocks_do_not_fill(
    photographs: np.ndarray, size: tuple[int, int]
) -> None:
    plain = photographs[:, : size[0], : size[1]]
    assert abs(float(np.nanmean(traces.codec_trace(plain)))) < traces.codec_threshold(size) / 2
    compressed = equalised(plain, Equalise(jpeg=75))
    assert float(np.nanmean(traces.codec_trace(compressed))) > 0.3


def test_what_shows_nothing_has_no_trace(photographs: np.ndarray) -> None:
    flat = np.full((3, 32, 32, 3), 90, np.uint8)
    for images in (flat, photographs[:, :15, :40], photographs[:, :40, :8]):
        assert np.isnan(traces.codec_trace(images)).all()
    assert traces.codec_interval(traces.codec_trace(flat)) is None


SHARED = os.environ.get("FPBENCH_SHARED_DATA")


@pytest.mark.shared_data
@pytest.mark.skipif(
    not (SHARED and (Path(SHARED) / "real" / "cifar10").is_dir()),
    reason="FPBENCH_SHARED_DATA names no folder with real/cifar10",
)
def test_lossless_cifar10_is_no_jpeg() -> None:
    table = pq.read_table(Path(str(SHARED)) / "real" / "cifar10" / "test.parquet")
    column = next(name for name in table.column_names if name in ("image", "img"))
    images = np.stack([decode(row["bytes"], "x") for row in table[column].to_pylist()[:2000]])
    above, below = _beyond(images)
    assert above <= 0.05 and below >= 0.9
