"""The one PNG writer of built datasets, and a reader that decodes many such files together.

The writer uses only the row filters None, Sub and Up. Those can be undone for many images at once
with whole-array operations, so that decoding thousands of small images does not pay for the
set-up of a general decoder thousands of times. The files are ordinary PNG; any program reads them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NONE, _SUB, _UP = 0, 1, 2
_LEVEL = 6
_HEADER = struct.Struct(">IIBBBBB")
_CHUNK = struct.Struct(">I4s")
_RGB_8_BITS = (8, 2, 0, 0, 0)


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG bytes of one RGB image (H, W, 3): always the same settings, no metadata.

    Each row takes the filter whose differences, read as signed, have the least sum of absolutes.
    """
    height, width = pixels.shape[:2]
    image = np.ascontiguousarray(pixels)
    sub = image.copy()
    sub[:, 1:] -= image[:, :-1]
    up = image.copy()
    up[1:] -= image[:-1]
    candidates = np.stack([image, sub, up]).reshape(3, height, width * 3)
    cost = np.minimum(candidates, -candidates).sum(axis=2, dtype=np.int64)
    chosen = cost.argmin(axis=0)
    rows = np.empty((height, 1 + width * 3), np.uint8)
    rows[:, 0] = chosen
    rows[:, 1:] = candidates[chosen, np.arange(height)]
    header = _HEADER.pack(width, height, *_RGB_8_BITS)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, 15, 9, zlib.Z_FILTERED)
    packed = packer.compress(rows.data) + packer.flush()
    return b"".join(
        [_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b"")]
    )


def _scanlines(data: bytes, size: tuple[int, int]) -> bytes | None:
    """Inflated rows of a plain 8-bit RGB file without metadata, else None."""
    if not data.startswith(_SIGNATURE):
        return None
    position, packed = len(_SIGNATURE), []
    while True:
        if position + 8 > len(data):
            return None
        length, kind = _CHUNK.unpack_from(data, position)
        end = position + 12 + length
        if end > len(data):
            return None
        body = data[position + 4 : end - 4]
        if zlib.crc32(body) != int.from_bytes(data[end - 4 : end], "big"):
            return None
        if kind == b"IHDR":
            width, height, *rest = _HEADER.unpack(body[4:])
            if (height, width) != size or tuple(rest) != _RGB_8_BITS:
                return None
        elif kind == b"IDAT":
            packed.append(body[4:])
        elif kind == b"IEND":
            break
        else:
            return None
        position = end
    try:
        rows = zlib.decompress(b"".join(packed))
    except zlib.error:
        return None
    return rows if len(rows) == size[0] * (1 + 3 * size[1]) else None


def decode_plain(files: Sequence[bytes], target: NDArray[np.uint8]) -> list[int]:
    """Decode the files that are plain enough; the others are for a general decoder.

    Args:
        files: Bytes of N files.
        target: uint8 (N, H, W, 3), which also says what size is expected.

    Returns:
        Positions of the files that were not decoded: other formats, sizes, filters or modes, with
        metadata, or broken.
    """
    height, width = target.shape[1:3]
    stride = 1 + 3 * width
    lines = np.zeros((len(files), height, stride), np.uint8)
    left = []
    for index, data in enumerate(files):
        rows = _scanlines(data, (height, width))
        if rows is None:
            left.append(index)
        else:
            lines[index] = np.frombuffer(rows, np.uint8).reshape(height, stride)
    filters = lines[:, :, 0]
    others = np.flatnonzero((filters > _UP).any(axis=1))
    left = sorted({*left, *others.tolist()})
    above = np.zeros((len(files), width, 3), np.uint8)
    for row in range(height):
        kinds = filters[:, row]
        values = lines[:, row, 1:].reshape(len(files), width, 3)
        sub = kinds == _SUB
        if sub.any():
            # Differences to the left add up modulo 256.
            values[sub] = np.cumsum(values[sub], axis=1, dtype=np.uint8)
        carried = np.where(kinds == _UP, np.uint8(255), np.uint8(0))[:, None, None] & above
        above = values + carried
        target[:, row] = above
    return left
