"""Tiny datasets that tests build for themselves."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

FRONT = """---
pretty_name: Tiny
license: cc0-1.0
configs:
  - config_name: default
    data_files:
      - {split: reference, path: data/reference/*.parquet}
      - {split: train, path: data/train/*.parquet}
      - {split: validation, path: data/validation/*.parquet}
      - {split: test, path: data/test/*.parquet}
---

# Tiny
"""


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of its own for every test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FPBENCH_CACHE", str(folder))
    yield folder


def _local_files() -> ModuleType:
    path = Path(__file__).with_name("local_files.py")
    spec = importlib.util.spec_from_file_location("local_files", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules["local_files"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def file_server() -> Iterator[Any]:
    """A file server on this machine that fails on request, see ``local_files.py``."""
    with _local_files().serving() as server:
        yield server


@pytest.fixture
def fault(file_server: Any) -> Any:
    """How the file server answers one request in the place of the file."""
    return sys.modules["local_files"].Fault


def noise(count: int, seed: int, size: int = 16) -> NDArray[np.uint8]:
    """Different images."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, size // 4, size // 4, 3))
    fine = generator.integers(-8, 9, (count, size, size, 3))
    big = coarse.repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(big + fine, 0, 255).astype(np.uint8)


def write_images(folder: Path, images: NDArray[np.uint8], suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index:04d}{suffix}")


@pytest.fixture
def different_images() -> Callable[..., NDArray[np.uint8]]:
    """Makes different images: ``different_images(count, seed, size=16)``."""
    return noise


@pytest.fixture
def save_images() -> Callable[..., None]:
    """Writes images as files: ``save_images(folder, images, suffix=".png")``."""
    return write_images


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """One folder of images for each of three sources."""
    root = tmp_path / "images"
    for seed, (name, count) in enumerate([("real", 60), ("gan-a", 40), ("vae-b", 36)]):
        write_images(root / name, noise(count, seed))
    return root


@pytest.fixture
def tiny_card(tmp_path: Path) -> Path:
    """A card whose images come from two folders beside it."""
    card = tmp_path / "card"
    write_images(card / "pictures" / "seen", noise(30, 10))
    write_images(card / "pictures" / "unseen", noise(40, 11))
    for seed, name in ((12, "gan-a"), (13, "vae-b")):
        write_images(card / "pictures" / name, noise(30, seed))
    recipe = {
        "name": "tiny",
        "title": "A tiny dataset",
        "version": 1,
        "size": 16,
        "counts": {"reference": 24, "train": 10, "validation": 4, "test": 16},
        "fdr": {"samples": 16, "dimensions": 2},
        "real": {
            "seen": {"kind": "folder", "path": "pictures/seen"},
            "unseen": {"kind": "folder", "path": "pictures/unseen"},
        },
        "sources": {
            "gan-a": {"kind": "folder", "path": "pictures/gan-a"},
            "vae-b": {"kind": "folder", "path": "pictures/vae-b"},
            "flow-c": {"kind": "unavailable", "reason": "its checkpoint was never published"},
        },
    }
    sources = {
        "real": {"family": "Real", "architecture": "photographs"},
        "gan-a": {
            "family": "GAN",
            "architecture": "A",
            "design": {"upsampling": {"value": "nearest", "from": "the paper, section 3"}},
        },
        "vae-b": {"family": "VAE", "architecture": "B"},
        "flow-c": {"family": "Flow", "architecture": "C"},
    }
    write_yaml(card / "recipe.yaml", recipe)
    write_yaml(card / "sources.yaml", sources)
    (card / "README.md").write_text(FRONT, "utf-8")
    return card


def write_yaml(path: Path, document: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


Edit = Callable[[dict[str, object]], None]


@pytest.fixture
def edit_yaml() -> Callable[[Path, Edit], None]:
    """Changes a YAML file in place."""

    def edit(path: Path, change: Edit) -> None:
        document = yaml.safe_load(path.read_text("utf-8"))
        change(document)
        write_yaml(path, document)

    return edit
