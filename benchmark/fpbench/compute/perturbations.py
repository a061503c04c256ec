"""What happens to images on their way: compression, resizing, cropping, blur, noise, a re-post.

A perturbation has one or several strengths, from weak to strong. Each takes 8-bit RGB images and
gives images of the same size; what it makes of an image depends on that image alone.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.compute.threads import each_in_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]

VERSION = 1
"""Raised whenever a strength may give other pixels."""

SMALLEST = 8
"""Side in pixels below which crops and resizes leave nothing of an image."""

_CHUNK = 256  # images at a time


@dataclass(frozen=True)
class Strength:
    """One perturbation at one strength.

    Attributes:
        perturbation: E.g. ``jpeg``.
        strength: E.g. ``95``; empty where there is one only.
        change: From images (N, H, W, 3) to images of the same shape.
    """

    perturbation: str
    strength: str
    change: Change

    @property
    def key(self) -> str:
        """E.g. ``jpeg_95``."""
        return f"{self.perturbation}_{self.strength}" if self.strength else self.perturbation

    @property
    def title(self) -> str:
        """E.g. ``jpeg 95``."""
        return self.key.replace("_", " ")

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The images perturbed: a new array of the same shape.

        Args:
            images: uint8 of shape (N, H, W, 3); may be memory-mapped and read-only.
        """
        result = np.empty(images.shape, np.uint8)

        def chunk(start: int) -> None:
            part = slice(start, start + _CHUNK)
            result[part] = self.change(np.asarray(images[part]))

        each_in_threads(chunk, range(0, len(images), _CHUNK))
        return result


def _levels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Rounded to grey levels."""
    levels: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return levels


def _one_by_one(
    images: NDArray[np.uint8], change: Callable[[Image.Image], Image.Image]
) -> NDArray[np.uint8]:
    from PIL import Image

    result = np.empty_like(images)
    for number, pixels in enumerate(images):
        result[number] = np.asarray(change(Image.fromarray(pixels)))
    return result


def _compressed(image: Image.Image, kind: str, quality: int) -> Image.Image:
    """What is read from a file of that quality; JPEG halves the colours' resolution (4:2:0)."""
    from PIL import Image

    file = io.BytesIO()
    settings = {"subsampling": "4:2:0"} if kind == "JPEG" else {}
    image.save(file, kind, quality=quality, **settings)
    return Image.open(file).convert("RGB")


def _scaled(image: Image.Image, factor: float) -> Image.Image:
    """Bicubic, which Pillow filters against aliasing where it reduces."""
    from PIL import Image

    width, height = image.size
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return image.resize(size, Image.Resampling.BICUBIC)


def _back(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    from PIL import Image

    return image.resize(size, Image.Resampling.BICUBIC)


def _compress(images: NDArray[np.uint8], kind: str, quality: int) -> NDArray[np.uint8]:
    return _one_by_one(images, lambda image: _compressed(image, kind, quality))


def _resize(images: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    return _one_by_one(images, lambda image: _back(_scaled(image, factor), image.size))


def _crop(images: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """The centre, enlarged to the size of the whole."""

    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        # 0.7 times 90 is 62.99… to a computer.
        kept = int(width * share + 1e-9), int(height * share + 1e-9)
        left, top = (width - kept[0]) // 2, (height - kept[1]) // 2
        return _back(image.crop((left, top, left + kept[0], top + kept[1])), image.size)

    return _one_by_one(images, change)


def _repost(images: NDArray[np.uint8], factor: float, quality: int) -> NDArray[np.uint8]:
    """Reduced, saved as JPEG at that size, and enlarged by whoever looks at it."""
    return _one_by_one(
        images,
        lambda image: _back(_compressed(_scaled(image, factor), "JPEG", quality), image.size),
    )


def _blur(images: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    from scipy.ndimage import gaussian_filter

    return _levels(gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0)))


def _noise(images: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Independent in each pixel and channel, drawn from a seed that the image's own pixels give."""
    result = np.empty_like(images)
    for number, image in enumerate(images):
        drawn = _generator(image).standard_normal(image.shape, np.float32)
        result[number] = _levels(image + np.float32(sigma) * drawn)
    return result


def _gamma(images: NDArray[np.uint8], exponent: float) -> NDArray[np.uint8]:
    table = _levels(255 * (np.arange(256) / 255) ** exponent)
    return table[images]


def _shift(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One pixel right and down, the first row and column repeated."""
    rows, columns = (np.maximum(np.arange(n) - 1, 0) for n in images.shape[1:3])
    return images[:, rows][:, :, columns]


def _generator(image: NDArray[np.uint8], *seed: int) -> np.random.Generator:
    """Randomness that depends on an image's pixels and a seed, and on nothing else."""
    whole = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
    return np.random.default_rng([*seed, *np.frombuffer(whole, np.uint32).tolist()])


def _strengths(perturbation: str, change: Any, *values: float) -> list[Strength]:
    return [Strength(perturbation, f"{value:g}", partial(change, value)) for value in values]


TABLE: tuple[Strength, ...] = (
    *_strengths("jpeg", lambda q, x: _compress(x, "JPEG", q), 95, 85, 75, 60, 40),
    *_strengths("webp", lambda q, x: _compress(x, "WEBP", q), 90, 75, 50),
    *_strengths("resize", lambda f, x: _resize(x, f), 0.9, 0.75, 0.5),
    *_strengths("crop", lambda s, x: _crop(x, s), 0.95, 0.85, 0.7),
    *_strengths("blur", lambda s, x: _blur(x, s), 0.5, 1, 2),
    *_strengths("noise", lambda s, x: _noise(x, s), 1, 2, 4, 8),
    *_strengths("gamma", lambda g, x: _gamma(x, g), 0.9, 1.1, 1.3),
    Strength("shift", "", _shift),
    Strength("repost", "", lambda x: _repost(x, 0.75, 80)),
)
"""All strengths, perturbation by perturbation, weak to strong.

JPEG and WebP by quality, resizing and cropping by share of the side, blur by standard deviation in
pixels, noise by standard deviation in grey levels, gamma by exponent.
"""

PERTURBATIONS: dict[str, tuple[int, ...]] = {
    name: tuple(index for index, _ in group)
    for name, group in groupby(enumerate(TABLE), key=lambda entry: entry[1].perturbation)
}
"""Name to positions in `TABLE`."""


def perturb_at_random(
    images: NDArray[np.uint8], seed: int, share: float = 0.5
) -> NDArray[np.uint8]:
    """Images each of which is perturbed with some probability, for training.

    A perturbation is drawn first, each being as likely, then one of its strengths. What becomes
    of an image depends on its pixels and the seed, not on its place.

    Args:
        images: uint8 of shape (N, H, W, 3).
        seed: Seed of all choices.
        share: Probability that an image is perturbed.

    Returns:
        A new array of the same shape.
    """
    choices = list(PERTURBATIONS.values())
    chosen = np.full(len(images), -1)
    for number, image in enumerate(images):
        generator = _generator(image, seed)
        if generator.random() < share:
            strengths = choices[generator.integers(len(choices))]
            chosen[number] = strengths[generator.integers(len(strengths))]
    result = np.array(images)
    for index, strength in enumerate(TABLE):
        own = np.flatnonzero(chosen == index)
        if len(own):
            result[own] = strength.apply(result[own])
    return result
