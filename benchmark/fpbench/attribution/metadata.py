"""What an image file says of its making, in words that anybody could have written into it.

Nothing here is trusted, and no verdict depends on it: a generator that signs its images may have
made this one, and so may anybody who copied the signature; most images say nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from fpbench.datasets.traces import opened
from fpbench.errors import visible

_TOOLS = {
    "parameters": "as the Stable Diffusion web UI writes it",
    "prompt": "as ComfyUI writes it",
    "workflow": "as ComfyUI writes it",
    "invokeai_metadata": "as InvokeAI writes it",
    "invokeai_graph": "as InvokeAI writes it",
    "sd-metadata": "as InvokeAI writes it",
    "Dream": "as InvokeAI writes it",
    "generation_data": "as generators write it",
    "Software": "the program that wrote it",
    "Source": "where it comes from",
    "Title": "its title",
    "Description": "its description",
    "Comment": "a comment",
}
"""PNG text chunks that name what made an image, and who writes them."""

_EXIF = {305: "Software", 270: "ImageDescription", 315: "Artist", 37510: "UserComment"}
_AI_SOURCES = (b"trainedAlgorithmicMedia", b"compositeWithTrainedAlgorithmicMedia")
_MOST = 60
# Chunks of text beyond this are named by their first letters alone; nothing is inflated further.
_INFLATED = 1 << 16
_PNG = b"\x89PNG\r\n\x1a\n"
_C2PA = "it carries a C2PA manifest (content credentials), whose signature was not checked"


def stated_origin(data: bytes) -> list[str]:
    """What a PNG, JPEG or WebP file says of what made it, one fact each, in its own words.

    Args:
        data: The file's bytes, of an image that can be decoded.

    Returns:
        Clauses, e.g. ``its PNG text 'Software' says 'NAME'``; empty where it says nothing.
    """
    found = list(_texts(data)) if data.startswith(_PNG) else []
    found += _exif(data)
    if _has_c2pa(data):
        found.append(_C2PA)
    for word in _AI_SOURCES:
        if word in data:
            found.append(f"its XMP names the digital source type {word.decode()!r}")
            break
    return list(dict.fromkeys(found))


def _quoted(text: str) -> str:
    line = " ".join(visible(text).split())
    return repr(line if len(line) <= _MOST else f"{line[: _MOST - 1]}…")


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of the chunks of a PNG, as far as they are whole."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        yield kind, data[position + 8 : position + 8 + length]
        position += 12 + length


def _texts(data: bytes) -> Iterator[str]:
    for kind, body in _chunks(data):
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            continue
        name, _, rest = body.partition(b"\0")
        key = name.decode("latin-1")
        if key not in _TOOLS:
            continue
        text = _text(kind, rest)
        yield f"its PNG text {key!r} ({_TOOLS[key]}) says {_quoted(text)}"


def _text(kind: bytes, rest: bytes) -> str:
    """The words of a text chunk after its keyword; an inflated one is read to a bound."""
    packed = kind == b"zTXt"
    if kind == b"zTXt":
        rest = rest[1:]
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]
    if packed:
        try:
            rest = zlib.decompressobj().decompress(rest, _INFLATED)
        except zlib.error:
            return "something that cannot be inflated"
    return rest.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")


def _exif(data: bytes) -> list[str]:
    try:
        with opened(data) as image:
            stated = image.getexif()
            inner = stated.get_ifd(0x8769)
            values: dict[int, Any] = {**dict(stated), **dict(inner)}
    # Pillow raises many types for broken metadata, which then says nothing.
    except Exception:
        return []
    found = []
    for tag, name in _EXIF.items():
        value = values.get(tag)
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str) and text.strip("\0 "):
            found.append(f"its EXIF field {name} says {_quoted(text.strip(chr(0)))}")
    return found


def _has_c2pa(data: bytes) -> bool:
    """Whether a file holds a JUMBF box of C2PA: PNG caBX, JPEG APP11, WebP C2PA."""
    if data.startswith(_PNG):
        return any(kind == b"caBX" for kind, _ in _chunks(data))
    if data.startswith(b"\xff\xd8"):
        return any(
            marker == 0xEB and b"jumb" in body and b"c2pa" in body
            for marker, body in _segments(data)
        )
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        position = 12
        while position + 8 <= len(data):
            if data[position : position + 4] == b"C2PA":
                return True
            length = int.from_bytes(data[position + 4 : position + 8], "little")
            position += 8 + length + length % 2
    return False


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and contents of a JPEG's segments before its pixels."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:
            return
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield marker, data[position + 4 : position + 2 + length]
        position += 2 + length
