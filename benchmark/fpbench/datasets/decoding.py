"""Decodes image files into arrays, many at a time, and says which file is wrong and why."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.png import decode_plain
from fpbench.datasets.traces import FileTraits, header_traits, opened
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

LARGEST_PIXELS = 100_000_000
"""Pixels of the largest image that is decoded; they fill 300 MB."""

# Bytes of pixels decoded at a time: many small images, few large ones.
_BATCH_BYTES = 16 << 20

_ALL_RGB = "convert every image of every source to RGB with one program"
_ALL_FLAT = "flatten every image onto one background and save it as RGB"
_MODES = {
    "L": ("is grey", _ALL_RGB),
    "LA": ("is grey with an alpha channel", _ALL_FLAT),
    "1": ("is black and white", _ALL_RGB),
    "P": ("has a palette", _ALL_RGB),
    "RGBA": ("has an alpha channel", _ALL_FLAT),
    "CMYK": ("is CMYK", _ALL_RGB),
}
# Files of formats that are often found under the name of another.
_STARTS = {b"GIF8": "a GIF", b"BM": "a BMP", b"II*\0": "a TIFF", b"MM\0*": "a TIFF"}
_CONTAINER, _BRANDS = b"ftyp", {b"avif": "an AVIF", b"heic": "a HEIC", b"mif1": "a HEIF"}


class NotPlain(BadInput):
    """An image file that holds anything but one upright picture of 8-bit RGB pixels.

    Args:
        message: What is wrong with it in a dataset, and what to do.
        facts: What it is instead, e.g. ``is CMYK``.
    """

    def __init__(self, message: str, facts: str) -> None:
        super().__init__(message)
        self.facts = facts


def threads() -> int:
    """Threads to decode with: Pillow's codecs run outside the interpreter's lock."""
    return min(8, os.cpu_count() or 1)


def decode(
    data: bytes, place: str, size: tuple[int, int] | None = None, *, grey: bool = False
) -> NDArray[np.uint8]:
    """Decode one image; a file that would be read in part only is refused.

    A colour profile is no reason to refuse: values are taken as they are stored, and the audit
    names the profile.

    Args:
        data: Bytes of a PNG, JPEG or WebP file.
        place: What to call it in a message, e.g. its path.
        size: Height and width it must have, or None.
        grey: Whether a grey image is taken, its values repeated in three channels.

    Returns:
        uint8 of shape (H, W, 3).

    Raises:
        BadInput: If it is truncated, no image, of another size, or has more than
            `LARGEST_PIXELS`.
        NotPlain: If it holds anything but one upright picture of RGB pixels with 8 bits a channel.
    """
    try:
        with opened(data) as image:
            _check_pixels(image, place)
            image.load()
            # Metadata may stand behind the pixels.
            traits = header_traits(image, data)
            transparent = "transparency" in image.info
            if grey and traits.mode in ("L", "1"):
                image, traits = image.convert("RGB"), replace(traits, mode="RGB")
            pixels = np.asarray(image)
    except BadInput:
        raise
    # Pillow's codecs raise many types for broken data; all of them mean this file.
    except Exception as error:
        raise _undecodable(data, place, error) from error
    lost = _lost(traits, transparent)
    if lost:
        facts = " and ".join(fact for fact, _ in lost)
        remedies = "; ".join(dict.fromkeys(remedy for _, remedy in lost))
        which = (
            "one upright picture of 8-bit RGB pixels" if traits.mode == "RGB" else "an RGB image"
        )
        raise NotPlain(f"{place} is not {which}: it {facts}; {remedies}.", facts)
    if size is not None and pixels.shape[:2] != size:
        raise BadInput(
            f"{place} is {pixels.shape[0]}x{pixels.shape[1]} pixels, but the other images are "
            f"{size[0]}x{size[1]}; bring all images of all sources to one size in one way."
        )
    return pixels


def read_header(data: bytes, place: str) -> FileTraits:
    """What the header of an image file says, without decoding a pixel.

    Args:
        data: Bytes of a PNG, JPEG or WebP file.
        place: What to call it in a message.

    Raises:
        BadInput: If it is no image, or has more than `LARGEST_PIXELS`.
    """
    try:
        with opened(data) as image:
            _check_pixels(image, place)
            return header_traits(image, data)
    except BadInput:
        raise
    except Exception as error:
        raise _undecodable(data, place, error) from error


def _check_pixels(image: Image.Image, place: str) -> None:
    if image.width * image.height > LARGEST_PIXELS:
        raise _too_many(place)


def _too_many(place: str) -> BadInput:
    return BadInput(
        f"{place} has more than {LARGEST_PIXELS // 1_000_000} megapixels, which is not decoded; "
        "cut the part that is meant out of it."
    )


def _lost(traits: FileTraits, transparent: bool) -> list[tuple[str, str]]:
    """What 8-bit RGB pixels of a file would leave out, each with a remedy."""
    lost = []
    if traits.mode != "RGB":
        lost.append(_MODES.get(traits.mode, (f"has the mode {traits.mode}", _ALL_RGB)))
    elif transparent:
        lost.append(("has a transparent colour", _ALL_FLAT))
    if traits.depth > 8:
        lost.append(
            (
                f"has {traits.depth} bits a channel",
                "reduce every image of every source to 8 bits with one program",
            )
        )
    if traits.frames > 1:
        lost.append(
            (f"has {traits.frames} frames", "save the one that is meant as a file of its own")
        )
    if traits.orientation > 1:
        lost.append(
            (
                f"is to be shown turned (EXIF orientation {traits.orientation})",
                "turn the pixels of every such image and remove the tag",
            )
        )
    return lost


def _undecodable(data: bytes, place: str, error: Exception) -> BadInput:
    from PIL import Image

    if isinstance(error, Image.DecompressionBombError):
        return _too_many(place)
    other = next((name for start, name in _STARTS.items() if data.startswith(start)), None)
    if data[4:8] == _CONTAINER:
        other = _BRANDS.get(data[8:12], other)
    if other is not None:
        facts = f"is {other} file, whatever its name says"
        return NotPlain(
            f"{place} {facts}; save every image of every source as PNG with one program.", facts
        )
    reason = str(error).split(" <_io")[0] or type(error).__name__
    return BadInput(
        f"{place} cannot be decoded ({len(data)} bytes, {reason}): it is truncated or no PNG, "
        "JPEG or WebP image. Replace or remove it."
    )


@dataclass(frozen=True)
class Encoded:
    """One encoded image.

    Attributes:
        id: Its id in the dataset.
        place: What to call it in a message.
        read: Returns its bytes.
    """

    id: str
    place: str
    read: Callable[[], bytes]


class Duplicates:
    """Finds images with equal pixels, fed in any order."""

    def __init__(self) -> None:
        self._seen: dict[bytes, str] = {}

    def check(self, pixels: NDArray[np.uint8], places: Sequence[str]) -> None:
        """Remember images (N, H, W, 3) and compare them with all before.

        Raises:
            BadInput: If an image equals an earlier one.
        """
        for image, place in zip(pixels, places, strict=True):
            digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
            first = self._seen.setdefault(digest, place)
            if first is not place:
                raise BadInput(
                    f"{place} and {first} are the same image. No image may stand twice in a "
                    "dataset, or the answer leaks from one split into another; remove one."
                )


def decode_into(
    target: NDArray[np.uint8],
    images: Iterable[Encoded],
    duplicates: Duplicates,
    advanced: Callable[[Sequence[str], NDArray[np.uint8]], None],
) -> int:
    """Decode images into `target` (N, H, W, 3), in order, with threads.

    Args:
        target: Where to; memory-mapped or not.
        images: At most N of them; read in batches, never all at once.
        duplicates: Where equal images are noticed.
        advanced: Called after every batch with its ids and pixels.

    Returns:
        The number of images, also where there are more than N (the rest is not decoded).

    Raises:
        BadInput: If an image is wrong or stands there twice.
    """
    size = (target.shape[1], target.shape[2])
    stream = iter(images)
    done = 0
    # Tasks of many images: for small ones, handing each to a thread costs as much as decoding it.
    stride = threads()
    size_of_batch = int(np.clip(_BATCH_BYTES // (3 * size[0] * size[1]), 2 * stride, 4096))
    with ThreadPoolExecutor(stride) as pool:
        while batch := list(islice(stream, size_of_batch)):
            if done + len(batch) > len(target):
                return done + len(batch)
            filled = target[done : done + len(batch)]
            tasks = [
                pool.submit(_decode_slice, filled[start::stride], batch[start::stride], size)
                for start in range(stride)
            ]
            for task in tasks:
                task.result()
            duplicates.check(filled, [image.place for image in batch])
            advanced([image.id for image in batch], filled)
            done += len(batch)
    return done


def _decode_slice(
    target: NDArray[np.uint8], images: Sequence[Encoded], size: tuple[int, int]
) -> None:
    files = [image.read() for image in images]
    pixels = np.empty((len(files), *target.shape[1:]), np.uint8)
    for index in decode_plain(files, pixels):
        pixels[index] = decode(files[index], images[index].place, size)
    target[:] = pixels
