"""Real images that may not be published come from their origin and are the same ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench.datasets.build import build
from fpbench.datasets.layout import shard_path
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput

SPLITS = ("reference", "train", "validation", "test")


@pytest.fixture
def stripped(tiny_card: Path, tmp_path: Path, edit_yaml: Any) -> Path:
    """A built dataset without its real images; the originals lie where the recipe says."""
    for name in ("seen", "unseen"):
        (tiny_card / "pictures" / name).rename(tmp_path / name)

    def unpublished(document: dict[str, Any]) -> None:
        document["real"]["published"] = False
        for part in ("seen", "unseen"):
            document["real"][part]["path"] = str(tmp_path / part)

    edit_yaml(tiny_card / "recipe.yaml", unpublished)
    built = build(tiny_card, tmp_path / "built")
    shutil.copytree(built, tmp_path / "whole")
    for split in SPLITS:
        (built / shard_path(split, "real")).unlink()
    return built


def test_they_are_had_from_the_originals(stripped: Path, tmp_path: Path) -> None:
    ours, whole = resolve(str(stripped)).load(), resolve(str(tmp_path / "whole")).load()
    assert ours.identity.content_hash == whole.identity.content_hash
    for split in SPLITS:
        assert (getattr(ours, split).pixels == getattr(whole, split).pixels).all()
        assert (getattr(ours, split).ids == getattr(whole, split).ids).all()
    assert not (stripped / shard_path("test", "real")).exists()


def test_in_whatever_order_they_come(stripped: Path, tmp_path: Path, cache_folder: Path) -> None:
    for path in sorted((tmp_path / "seen").iterdir()):
        path.rename(path.with_name(f"{hash(path.name) % 997:03d}-{path.name}"))
    expected = np.array(resolve(str(tmp_path / "whole")).load().reference.pixels)
    shutil.rmtree(cache_folder)
    assert (resolve(str(stripped)).load().reference.pixels == expected).all()


def test_missing_originals_are_counted(stripped: Path, tmp_path: Path) -> None:
    for path in sorted((tmp_path / "seen").iterdir())[:10]:
        path.unlink()
    with pytest.raises(BadInput, match=r"\d+ of the 54 real images of tiny are not among"):
        resolve(str(stripped)).load()
    shutil.rmtree(tmp_path / "seen")
    with pytest.raises(BadInput, match="is not there"):
        resolve(str(stripped)).load()


def test_a_lost_list_is_told(stripped: Path) -> None:
    (stripped / "real-images.json").unlink()
    with pytest.raises(BadInput, match=r"real-images\.json cannot be read"):
        resolve(str(stripped)).load()


def test_a_published_dataset_needs_its_files(tiny_card: Path, tmp_path: Path) -> None:
    built = build(tiny_card, tmp_path / "built")
    assert not (built / "real-images.json").exists()
    (built / shard_path("test", "real")).unlink()
    with pytest.raises(BadInput, match="is missing"):
        resolve(str(built)).load()


def test_identity_needs_no_originals(stripped: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "seen")
    whole = resolve(str(tmp_path / "whole")).identity.content_hash
    assert resolve(str(stripped)).identity.content_hash == whole


def test_equalised_images_are_found_too(
    tiny_card: Path, tmp_path: Path, edit_yaml: Any, different_images: Callable[..., np.ndarray]
) -> None:
    def change(document: dict[str, Any]) -> None:
        document.update(size=8, equalise={"jpeg": 75, "reduce": 2})
        document["real"]["published"] = False

    edit_yaml(tiny_card / "recipe.yaml", change)
    built = build(tiny_card, tmp_path / "built")
    expected = np.array(resolve(str(built)).load().test.pixels)
    assert expected.shape[1:3] == (8, 8)
    for split in SPLITS:
        (built / shard_path(split, "real")).unlink()
    shutil.copytree(tiny_card / "pictures", built / "pictures")
    shutil.rmtree(tmp_path / "cache")
    assert (resolve(str(built)).load().test.pixels == expected).all()
