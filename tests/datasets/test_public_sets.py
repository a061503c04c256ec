"""The public sets' recipes fit their files, and local copies give what downloads would."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fpbench.datasets.build import build
from fpbench.datasets.card import read_manifest, read_recipe
from fpbench.datasets.downloads.store import downloads_root
from fpbench.datasets.layout import LABELLED_SPLITS
from fpbench.datasets.origins.files import ManifestOrigin
from fpbench.datasets.origins.manifests import read_manifest as read_list
from fpbench.registry import card_folders, recipe_file

PUBLIC = ("gm-ffhq", "gm-ffhq-raw", "gm-cifar10-public", "gm-cifar10-public-jpeg",
          "gm-celeba-public")  # fmt: skip
SHARED = os.environ.get("FPBENCH_SHARED_DATA")

needs_shared = pytest.mark.skipif(
    not (SHARED and (Path(SHARED) / "generated" / "ffhq-256").is_dir()),
    reason="FPBENCH_SHARED_DATA names no folder with generated/ffhq-256",
)


def origins(name: str) -> dict[str, ManifestOrigin]:
    recipe = read_recipe(card_folders()[name], recipe_file(name))
    found = {s: o for s, o in recipe.sources.items() if isinstance(o, ManifestOrigin)}
    assert recipe.real is not None
    if isinstance(recipe.real.seen, ManifestOrigin):
        found["real"] = recipe.real.seen
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_list_suffices_for_the_counts_and_is_pinned(name: str) -> None:
    folder = card_folders()[name]
    recipe = read_recipe(folder, recipe_file(name))
    counts = {split: getattr(recipe.counts, split) for split in LABELLED_SPLITS}
    for source, origin in origins(name).items():
        files = read_list(folder / origin.manifest)
        tiles = 1 if origin.tiles is None else origin.tiles.count
        if source != "real":
            chosen = origin.choose(tiles * len(files), counts, source)
            sides = [{at // tiles for at in own} for own in chosen.values()]
            assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
        for wanted in files:
            # A commit stands in every address: what is behind it never changes.
            assert any(
                len(part) == 40 and not set(part) - set("0123456789abcdef")
                for part in wanted.url.split("/")
            ), wanted.url


@pytest.mark.shared_data
@needs_shared
@pytest.mark.parametrize("name", PUBLIC)
def test_local_copies_are_of_the_files_that_are_listed(name: str) -> None:
    """As many images as the list stands for; of single files the very bytes."""
    folder = card_folders()[name]
    for origin in origins(name).values():
        assert origin.ready is not None
        rows = pq.read_table(Path(str(SHARED)) / origin.ready.path).column("image").to_pylist()
        files = read_list(folder / origin.manifest)
        tiles = 1 if origin.tiles is None else origin.tiles.count
        assert len(rows) == tiles * len(files)
        if origin.tiles is None and origin.ready.preprocess is None:
            for row, wanted in zip(rows[::50], files[::50], strict=True):
                assert hashlib.sha256(row["bytes"]).hexdigest() == wanted.sha256


@pytest.mark.shared_data
@pytest.mark.slow
@needs_shared
def test_real_files_by_url_give_the_content_of_the_local_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources whose local copy holds the files' own bytes, put where downloads go."""
    name = "gm-ffhq-raw"
    folder = card_folders()[name]
    by_url: dict[str, bytes] = {}
    for source in ("real", "stylegan", "stylegan3-r"):
        origin = origins(name)[source]
        assert origin.ready is not None
        rows = pq.read_table(Path(str(SHARED)) / origin.ready.path).column("image").to_pylist()
        for row, wanted in zip(rows, read_list(folder / origin.manifest), strict=True):
            by_url[str(wanted.sha256)] = row["bytes"]
    sources = ["stylegan", "stylegan3-r"]
    local = read_manifest(build(name, tmp_path / "local", sources=sources, offline=True))
    for sha256, data in by_url.items():
        place = downloads_root() / sha256[:2] / sha256
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    monkeypatch.delenv("FPBENCH_SHARED_DATA")
    had = read_manifest(build(name, tmp_path / "had", sources=sources, offline=True))
    assert had.content_hash == local.content_hash
    assert np.all([had.facts[s]["files"] == local.facts[s]["files"] for s in ("real", *sources)])
