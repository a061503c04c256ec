"""An image file is read whole or refused with a reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from fpbench.datasets.decoding import decode
from fpbench.datasets.resolve import resolve
from fpbench.datasets.traces import file_traits
from fpbench.errors import BadInput

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
TRUE_COLOUR, WITH_ALPHA, GREY = 2, 6, 0


def _png(rows: np.ndarray, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of samples (H, W, C), two bytes each where they are uint16, by the format's rules."""
    depth = 8 * rows.dtype.itemsize
    height, width = rows.shape[:2]
    lines = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in rows)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def _saved(image: Image.Image, suffix: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, suffix, **options)
    return buffer.getvalue()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


IMAGE = Image.fromarray(PIXELS)
SEEN_THROUGH = Image.fromarray(np.dstack([PIXELS, PIXELS[..., :1]]))
DEEP = PIXELS.astype(np.uint16) * 257 + 3
FRAMES = {"save_all": True, "append_images": [Image.fromarray(PIXELS[::-1])]}


@pytest.mark.parametrize(
    ("data", "fact", "remedy"),
    [
        (_png(DEEP, TRUE_COLOUR), "16 bits a channel", "to 8 bits with one program"),
        (_png(DEEP[..., :1], GREY), "16 bits a channel", "to RGB with one program"),
        (_png(np.dstack([DEEP, DEEP[..., :1]]), WITH_ALPHA), "alpha channel and has 16", "flatten"),
        (_png(PIXELS, TRUE_COLOUR, (b"tRNS", bytes(6))), "transparent colour", "flatten"),
        (_saved(IMAGE.convert("RGBA")), "alpha channel", "flatten every image"),
        (_saved(SEEN_THROUGH, "WEBP"), "alpha channel", "flatten every image"),
        (_saved(IMAGE.convert("P")), "palette", "to RGB with one program"),
        (_saved(IMAGE.convert("CMYK"), "JPEG"), "is CMYK", "to RGB with one program"),
        (_saved(IMAGE.convert("L"), "JPEG"), "is grey", "to RGB with one program"),
        (_saved(IMAGE, **FRAMES), "2 frames", "as a file of its own"),
        (_saved(IMAGE, "WEBP", lossless=True, **FRAMES), "2 frames", "as a file of its own"),
        (_saved(IMAGE, "MPO", **FRAMES), "2 frames", "as a file of its own"),
        (_saved(IMAGE, exif=_exif(6)), "orientation 6", "turn the pixels"),
        (_saved(IMAGE, "JPEG", exif=_exif(3)), "orientation 3", "turn the pixels"),
        (_saved(IMAGE, "WEBP", exif=_exif(8)), "orientation 8", "turn the pixels"),
        (_saved(IMAGE, "GIF", **FRAMES), "is a GIF file", "as PNG"),
        (_saved(IMAGE, "BMP"), "is a BMP file", "as PNG"),
        (_saved(IMAGE, "TIFF"), "is a TIFF file", "as PNG"),
        (b"\0\0\0\x1cftypavif" + bytes(99), "is an AVIF file", "as PNG"),
    ],
)
def test_what_would_be_read_in_part_is_refused(data: bytes, fact: str, remedy: str) -> None:
    with pytest.raises(BadInput, match=r"^gan-a/0003\.png is ") as caught:
        decode(data, "gan-a/0003.png")
    message = str(caught.value)
    assert fact in message and remedy in message
    assert message.endswith(".") and "\n" not in message


def test_an_orientation_that_comes_behind_the_pixels_counts() -> None:
    data = _saved(IMAGE)
    exif = _exif(5).tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    with pytest.raises(BadInput, match="orientation 5"):
        decode(data[:-12] + chunk + data[-12:], "x")


@pytest.mark.parametrize("orientation", [0, 1, 9, 99])
@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "WEBP"])
def test_upright_photographs_are_read(suffix: str, orientation: int) -> None:
    data = _saved(IMAGE, suffix, exif=_exif(orientation))
    with Image.open(io.BytesIO(data)) as image:
        assert (decode(data, "x") == np.asarray(image)).all()


def test_metadata_that_says_nothing_of_pixels_is_no_reason() -> None:
    broken = _saved(IMAGE, exif=b"Exif\0\0II*\0nonsense")
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "a sampler")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for data in (
        broken,
        _saved(IMAGE, pnginfo=text),
        _saved(IMAGE, icc_profile=profile),
        _saved(IMAGE, icc_profile=b"no profile"),
    ):
        assert (decode(data, "x") == PIXELS).all()


def test_kinds_of_files_name_depth_frames_orientation_and_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    labels = {
        _png(PIXELS, TRUE_COLOUR): "PNG RGB 12x16",
        _png(DEEP, TRUE_COLOUR): "PNG RGB 12x16 16-bit",
        _saved(IMAGE, **FRAMES): "PNG RGB 12x16 2 frames",
        _saved(IMAGE, exif=_exif(6)): "PNG RGB 12x16 orientation 6 metadata exif",
        _saved(IMAGE, exif=_exif(1)): "PNG RGB 12x16 metadata exif",
        _saved(IMAGE, icc_profile=profile): "profile sRGB built-in metadata icc_profile",
        _saved(IMAGE, icc_profile=b"none"): "profile unreadable metadata icc_profile",
    }
    for data, label in labels.items():
        assert label in file_traits(data).label()


def test_a_folder_with_such_a_file_is_refused(image_folder: Path) -> None:
    path = image_folder / "gan-a" / "0003.png"
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16, 3)).astype(np.uint16)
    path.write_bytes(_png(deep, TRUE_COLOUR))
    with pytest.raises(BadInput, match=r"gan-a/0003\.png is not one upright .* 16 bits a channel"):
        resolve(str(image_folder)).load()
