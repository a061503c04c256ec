"""Tiny datasets as people bring them: one folder of images per source, or a card with a recipe."""

import json
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


def write_card(folder: Path) -> Path:
    """A card whose recipe takes images from folders beside it, so that it is built in a moment."""
    write_images(folder / "images", ("seen", "unseen", "a", "b"))
    origins = {name: {"kind": "folder", "path": f"images/{name}"} for name in ("seen", "unseen")}
    recipe = {
        "name": "tiny",
        "title": "A tiny dataset",
        "version": 1,
        "size": 16,
        "counts": {"reference": 24, "train": 10, "validation": 4, "test": 16},
        "fdr": {"samples": 16, "dimensions": 2},
        "real": origins,
        "sources": {name: {"kind": "folder", "path": f"images/{name}"} for name in ("a", "b")},
    }
    families = {"real": "Real", "a": "GAN", "b": "VAE"}
    sources = {name: {"family": f, "architecture": name} for name, f in families.items()}
    # JSON is YAML.
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    (folder / "sources.yaml").write_text(json.dumps(sources), encoding="utf-8")
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n\n# Tiny\n", encoding="utf-8")
    return folder
