"""A built dataset loads as it was written, from this loader and from `datasets`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench.datasets import built as loading
from fpbench.datasets.build import build
from fpbench.datasets.layout import overall_hash, shard_path
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput

SPLITS = ("reference", "train", "validation", "test")
COUNTS = {"reference": 24, "train": 10, "validation": 4, "test": 16}


@pytest.fixture
def built(tiny_card: Path, tmp_path: Path) -> Path:
    return build(tiny_card, tmp_path / "built")


def test_splits_counts_sources(built: Path) -> None:
    dataset = resolve(str(built)).load()
    assert [source.name for source in dataset.sources] == ["real", "gan-a", "vae-b"]
    assert dataset.sources[1].design == {"upsampling": "nearest"}
    assert len(dataset.reference) == 24 and set(dataset.reference.labels) == {0}
    for split in SPLITS[1:]:
        assert np.bincount(getattr(dataset, split).labels).tolist() == [COUNTS[split]] * 3
    assert (dataset.fdr_samples, dataset.fdr_dimensions) == (16, 2)
    assert dataset.shortcut is None


def test_plain_datasets_reads_the_same(built: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    theirs = datasets.load_dataset(str(built), cache_dir=str(tmp_path / "hf"))
    ours = resolve(str(built)).load()
    assert set(theirs) == set(SPLITS)
    for split in SPLITS:
        images = getattr(ours, split)
        position = {name: index for index, name in enumerate(images.ids)}
        assert len(position) == len(images) == len(theirs[split])
        assert isinstance(theirs[split].features["image"], datasets.Image)
        for row in theirs[split]:
            index = position[row["id"]]
            assert row["image"].mode == "RGB" and row["image"].format == "PNG"
            assert not row["image"].info
            assert (np.asarray(row["image"]) == images.pixels[index]).all()
            assert row["source"] == ours.sources[images.labels[index]].name


def test_second_load_is_memory_mapped_and_decodes_nothing(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve(str(built)).load()

    def refuse(*args: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(loading.BuiltFolder, "_decode", refuse)
    second = resolve(str(built)).load()
    assert isinstance(second.test.pixels, np.memmap)
    assert not second.test.pixels.flags.writeable
    assert (second.test.pixels == first.test.pixels).all()
    assert (second.test.ids == first.test.ids).all()


def test_an_unwritable_cache_means_memory(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    monkeypatch.setenv("FPBENCH_CACHE", str(blocked))
    dataset = resolve(str(built)).load()
    assert not isinstance(dataset.test.pixels, np.memmap)
    assert len(dataset.test) == 48


def test_a_torn_cache_is_made_anew(built: Path, cache_folder: Path) -> None:
    before = np.array(resolve(str(built)).load().test.pixels)
    (entry,) = (cache_folder / "datasets").iterdir()
    (entry / "test.npy").write_bytes(b"torn")
    assert (resolve(str(built)).load().test.pixels == before).all()


def test_a_stopped_decode_leaves_no_cache(
    built: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "decode_into", stop)
    with pytest.raises(KeyboardInterrupt):
        resolve(str(built)).load()
    assert list((cache_folder / "datasets").iterdir()) == []


def test_identify_decodes_and_imports_nothing_heavy(built: Path) -> None:
    code = (
        "import sys\n"
        "from fpbench.datasets.resolve import resolve\n"
        f"print(resolve({str(built)!r}).identity.content_hash)\n"
        "print(sorted({'torch', 'datasets', 'sklearn', 'PIL', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    digest, heavy = done.stdout.split("\n")[:2]
    assert digest == resolve(str(built)).load().identity.content_hash
    assert heavy == "[]"


def test_content_hash_ignores_how_png_files_are_written(built: Path, tiny_card: Path) -> None:
    again = build(tiny_card, built.parent / "again")
    assert resolve(str(again)).identity.content_hash == resolve(str(built)).identity.content_hash


def test_a_changed_file_is_noticed(built: Path) -> None:
    path = built / shard_path("test", "gan-a")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(BadInput, match=r"gan-a-00000-of-00001\.parquet is not the file that was"):
        resolve(str(built)).load()


def test_a_missing_file_is_noticed(built: Path) -> None:
    (built / shard_path("train", "vae-b")).unlink()
    with pytest.raises(BadInput, match=r"train/vae-b-.* is missing"):
        resolve(str(built)).load()


def _edit_manifest(built: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = built / "manifest.json"
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")


def test_counts_that_disagree_name_file_and_field(built: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["counts"]["test"]["gan-a"] = 15

    _edit_manifest(built, change)
    with pytest.raises(BadInput, match=r"manifest\.json: field counts\.test\.gan-a says 15"):
        resolve(str(built)).load()


def test_counts_and_files_that_both_lie_are_noticed(built: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["counts"]["test"]["gan-a"] = 15
        document["files"][shard_path("test", "gan-a")]["images"] = 15

    _edit_manifest(built, change)
    with pytest.raises(BadInput, match=r"field counts\.test\.gan-a says 15 images, but .* more"):
        resolve(str(built)).load()


def test_an_edited_content_hash_is_noticed(built: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["content"]["test"]["gan-a"] = "0" * 64

    _edit_manifest(built, change)
    with pytest.raises(BadInput, match="content_hash does not follow from content"):
        resolve(str(built)).load()

    def cover_up(document: dict[str, Any]) -> None:
        document["content_hash"] = overall_hash(document["sources"], document["content"])

    _edit_manifest(built, cover_up)
    with pytest.raises(BadInput, match=r"decoded images differ from field content\.test\.gan-a"):
        resolve(str(built)).load()


def test_a_recipe_without_manifest_is_not_whole(built: Path) -> None:
    (built / "manifest.json").unlink()
    with pytest.raises(BadInput, match=r"not built, or its build was stopped"):
        resolve(str(built))


def test_unknown_names_are_answered_with_near_ones(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Did you mean gm-mini") as caught:
        resolve("gm-mimi")
    assert "Or pass a folder or a Hub id." in str(caught.value)
    path = tmp_path / "file.txt"
    path.write_text("x")
    with pytest.raises(BadInput, match="is a file; a dataset is a folder"):
        resolve(str(path))


def test_a_card_without_images_says_how_to_build(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_card.rename(tmp_path / "cards-root-tiny")
    root = tmp_path / "cards"
    root.mkdir()
    (tmp_path / "cards-root-tiny").rename(root / "tiny")
    monkeypatch.setenv("FPBENCH_CARDS", str(root))
    with pytest.raises(BadInput, match="fpbench data build tiny"):
        resolve("tiny")


@pytest.mark.parametrize("ref", ["./nothing", "/nothing/here", "../nothing"])
def test_a_path_is_not_taken_for_a_hub_id(ref: str) -> None:
    with pytest.raises(BadInput, match=f"^There is no folder {Path(ref)}.$"):
        resolve(ref)


def test_progress_counts_every_image(built: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    resolve(str(built)).load(lambda what, done, total: calls.append((what, done, total)))
    assert calls[-1] == ("decode", 114, 114)
