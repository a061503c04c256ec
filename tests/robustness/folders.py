"""Tiny datasets as people bring them: one folder of images per source."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_images(
    folder: Path,
    sources: Sequence[str] = ("real", "model-a", "model-b"),
    count: int = 60,
    size: int = 16,
) -> Path:
    """Random PNG images, each source with a mean of its own.

    Args:
        folder: Where the sources' folders are made.
        sources: Their names.
        count: Images of each.
        size: Their height and width in pixels.
    """
    generator = np.random.default_rng(0)
    for number, source in enumerate(sources):
        (folder / source).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 100, (size, size, 3)) + 40 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / source / f"{index:03}.png")
    return folder
