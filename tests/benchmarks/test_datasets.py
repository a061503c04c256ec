"""How fast a built dataset loads, and how much memory building one takes."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fpbench.datasets.layout import shard_path, write_shard
from fpbench.datasets.resolve import resolve
from fpbench.files import file_sha256

pytestmark = pytest.mark.benchmark

SOURCES = ("real", "gan-a", "vae-b")
COUNTS = {"reference": 3000, "train": 1500, "validation": 500, "test": 1000}

FRONT = """---
configs:
  - config_name: default
    data_files:
      - {split: reference, path: data/reference/*.parquet}
      - {split: train, path: data/train/*.parquet}
      - {split: validation, path: data/validation/*.parquet}
      - {split: test, path: data/test/*.parquet}
---
"""


def _image_like(count: int, size: int, seed: int) -> np.ndarray:
    """Images that compress about as photographs do."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 8, size // 8, 3))
    smooth = coarse.repeat(8, axis=1).repeat(8, axis=2)
    return np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12,000 images of 32x32 by three sources."""
    from fpbench.datasets.finished import Finished, manifest_of
    from fpbench.datasets.layout import MANIFEST, write_json
    from fpbench.datasets.schema import Recipe

    folder = tmp_path_factory.mktemp("built")
    recipe = {
        "name": "bench",
        "title": "Many small images",
        "version": 1,
        "size": 32,
        "counts": COUNTS,
        "fdr": {"samples": 1000, "dimensions": 64},
        "real": {"seen": {"kind": "folder", "path": "nowhere"}},
        "sources": {name: {"kind": "folder", "path": "nowhere"} for name in SOURCES[1:]},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    entries = {name: {"family": "GAN", "architecture": name} for name in SOURCES[1:]}
    entries["real"] = {"family": "Real", "architecture": "photographs"}
    (folder / "sources.yaml").write_text(yaml.safe_dump(entries))
    (folder / "README.md").write_text(FRONT)
    records = {name: Finished("", {}, {}, {}) for name in SOURCES}
    for number, (split, count) in enumerate(COUNTS.items()):
        for label, source in enumerate(SOURCES if split != "reference" else SOURCES[:1]):
            pixels = _image_like(count, 32, 10 * number + label)
            ids = [f"{source}-{split}-{index}" for index in range(count)]
            path = shard_path(split, source)
            images, content = write_shard(folder / path, source, [(ids, pixels)])
            file = folder / path
            entry = {"sha256": file_sha256(file), "size": file.stat().st_size, "images": images}
            record = records[source]
            record.counts[split] = images
            record.content[split] = content
            record.files[path] = entry
    write_json(folder / MANIFEST, manifest_of(Recipe.model_validate(recipe), records))
    return folder


def test_twelve_thousand_images_are_ready_at_once(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FPBENCH_CACHE", str(tmp_path / "cache"))
    resolve(str(built)).load()
    start = time.perf_counter()
    dataset = resolve(str(built)).load()
    seconds = time.perf_counter() - start
    images = sum(
        len(s) for s in (dataset.reference, dataset.train, dataset.validation, dataset.test)
    )
    assert images == 12_000
    assert seconds < 2


def test_loading_beats_iterating_datasets(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, benchmark: Any
) -> None:
    """The first load decodes; a later one maps what was decoded, and is read here in full."""
    import datasets

    theirs = datasets.load_dataset(str(built), cache_dir=str(tmp_path / "hf"))

    def iterate() -> float:
        start = time.perf_counter()
        decoded = [np.asarray(row["image"]) for part in theirs.values() for row in part]
        assert len(decoded) == 12_000
        return time.perf_counter() - start

    def decode(round_: int) -> float:
        monkeypatch.setenv("FPBENCH_CACHE", str(tmp_path / f"cache-{round_}"))
        start = time.perf_counter()
        dataset = resolve(str(built)).load()
        for split in ("reference", "train", "validation", "test"):
            getattr(dataset, split).pixels.sum()
        return time.perf_counter() - start

    # The best of three each: other processes disturb both.
    theirs_best = min(iterate() for _ in range(3))
    ours_best = min(decode(round_) for round_ in range(3))
    cached = min(decode(0) for _ in range(3))
    benchmark.pedantic(decode, (0,), rounds=1)
    benchmark.extra_info |= {
        "datasets_s": theirs_best,
        "first_s": ours_best,
        "cached_s": cached,
        "first_ratio": theirs_best / ours_best,
        "cached_ratio": theirs_best / cached,
    }
    assert theirs_best / ours_best > 1.5, f"{theirs_best:.2f} s against {ours_best:.2f} s"
    assert theirs_best / cached > 20, f"{theirs_best:.2f} s against {cached:.3f} s"


_BUILD = """
import sys
from pathlib import Path
from typing import Any
import numpy as np
from fpbench.compute.device import peak_memory_bytes
from fpbench.datasets.build import build
from fpbench.datasets.builder import Builder
from fpbench.datasets.origins.folder import FolderOrigin
count = int(sys.argv[3])
def drawn(origin, name, total, at, facts):
    rng = np.random.default_rng(list(name.encode()))
    for start in range(0, total, 64):
        n = min(64, total - start)
        coarse = rng.integers(0, 256, (n, 8, 8, 3)).repeat(32, axis=1).repeat(32, axis=2)
        yield np.clip(coarse + rng.integers(-3, 4, coarse.shape), 0, 255).astype(np.uint8)
FolderOrigin.draw = drawn
Builder.check = lambda self, names: None
build(sys.argv[1], Path(sys.argv[2]))
print(peak_memory_bytes() / 2**20)
"""


def _peak(folder: Path, per_split: int) -> float:
    """Peak memory in MiB of building three sources at 256x256."""
    from PIL import Image

    card = folder / f"card-{per_split}"
    (card / "real").mkdir(parents=True)
    # One by one: a child's peak memory begins at that of its parent.
    for index in range(4 * per_split):
        image = _image_like(1, 256, index)[0]
        Image.fromarray(image).save(card / "real" / f"{index}.png", compress_level=1)
    recipe = {
        "name": "large",
        "title": "Large images",
        "version": 1,
        "size": 256,
        "counts": dict.fromkeys(("reference", "train", "validation", "test"), per_split),
        "fdr": {"samples": per_split, "dimensions": 2},
        "real": {"seen": {"kind": "folder", "path": "real"}},
        "sources": {name: {"kind": "folder", "path": "nowhere"} for name in SOURCES[1:]},
    }
    # Spare images make up for doubles in the pool; here there are none.
    recipe["counts"]["train"] = per_split - 1
    (card / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    entries = {name: {"family": "GAN", "architecture": name} for name in SOURCES[1:]}
    entries["real"] = {"family": "Real", "architecture": "photographs"}
    (card / "sources.yaml").write_text(yaml.safe_dump(entries))
    (card / "README.md").write_text(FRONT)
    out = folder / f"out-{per_split}"
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(card), str(out), "0"],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def test_building_is_bounded_in_memory(tmp_path: Path) -> None:
    few, many = _peak(tmp_path, 70), _peak(tmp_path, 170)
    images = 10 * 100
    growth = (many - few) * 2**20 / images
    # An image is 192 KiB; keeping every one would grow by that much. 10,000 must fit in 3 GiB.
    assert growth < 60 * 1024, f"{growth:.0f} bytes per image"
    assert few * 2**20 + 10_000 * growth < 3 * 2**30
