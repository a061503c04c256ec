"""Decodes image files into arrays, many at a time, and says which file is wrong and why."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.png import decode_plain
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Bytes of pixels decoded at a time: many small images, few large ones.
_BATCH_BYTES = 16 << 20

_REMEDIES = {
    "L": "it is grey; convert every image of every source to RGB with one program",
    "LA": "it is grey with an alpha channel; flatten it and convert every image to RGB",
    "1": "it is black and white; convert every image of every source to RGB with one program",
    "P": "it has a palette; convert every image of every source to RGB with one program",
    "RGBA": "it has an alpha channel; flatten every image onto one background and save it as RGB",
    "CMYK": "it is CMYK; convert every image of every source to RGB with one program",
}


def threads() -> int:
    """Threads to decode with: Pillow's codecs run outside the interpreter's lock."""
    return min(8, os.cpu_count() or 1)


def decode(data: bytes, place: str, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Decode one image.

    Args:
        data: Bytes of a PNG, JPEG or WebP file.
        place: What to call it in a message, e.g. its path.
        size: Height and width it must have, or None.

    Returns:
        uint8 of shape (H, W, 3).

    Raises:
        BadInput: If it is truncated, no image, not RGB, or of another size.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            mode = image.mode
            image.load()
            pixels = np.asarray(image)
    # Pillow's codecs raise many types for broken data; all of them mean this file.
    except Exception as error:
        reason = str(error).split(" <_io")[0] or type(error).__name__
        raise BadInput(
            f"{place} cannot be decoded ({len(data)} bytes, {reason}): it is truncated or no PNG, "
            "JPEG or WebP image. Replace or remove it."
        ) from error
    if mode != "RGB":
        remedy = _REMEDIES.get(mode, f"its mode is {mode}; convert every image to 8-bit RGB")
        raise BadInput(f"{place} is not an RGB image: {remedy}.")
    if size is not None and pixels.shape[:2] != size:
        raise BadInput(
            f"{place} is {pixels.shape[0]}x{pixels.shape[1]} pixels, but the other images are "
            f"{size[0]}x{size[1]}; bring all images of all sources to one size in one way."
        )
    return pixels


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
