"""Codec traces are read from files and from pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from fpbench.datasets import traces
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


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """64x64 crops of photographs in which no grid of a JPEG can be measured."""
    pytest.importorskip("skimage")
    crops = []
    for name in ("astronaut", "coffee"):
        pixels = photograph(name)
        for top in range(0, pixels.shape[0] - 63, 64):
            for left in range(0, pixels.shape[1] - 63, 64):
                crops.append(pixels[top : top + 64, left : left + 64])
    return np.stack(crops)


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
