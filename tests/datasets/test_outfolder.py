"""A dataset is built into a folder of its own: what somebody else wrote stays."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fpbench.cli import main
from fpbench.datasets.build import build
from fpbench.datasets.card import read_manifest
from fpbench.datasets.layout import shard_path
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput

Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of somebody who has files of their own there."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "recipe.yaml",
        "sources.yaml",
        "manifest.json",
        "contact/gan-a.png",
        "data/test/gan-a-00000-of-00001.parquet",
        "data/test/anything.parquet",
    ],
)
def test_what_was_not_built_is_not_overwritten(tiny_card: Path, work: Path, name: str) -> None:
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / name).write_text("mine", "utf-8")
    before = contents(work)
    with pytest.raises(BadInput, match=f"{name} was not made by fpbench") as caught:
        build(tiny_card, Path())
    assert "choose another folder with --out, or move it elsewhere" in str(caught.value)
    assert contents(work) == before


def test_a_build_that_fails_at_once_leaves_nothing(
    tiny_card: Path, work: Path, edit_yaml: Edit
) -> None:
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["sources"]["vae-b"].update(path="nowhere"))
    with pytest.raises(BadInput, match="folder 'nowhere' is not there"):
        build(tiny_card, work / "out")
    assert contents(work) == {} and list(work.iterdir()) == []


def test_other_files_in_the_folder_stay(tiny_card: Path, work: Path) -> None:
    (work / "notes.txt").write_text("mine", "utf-8")
    (work / "data").mkdir()
    (work / "data" / "mine.parquet").write_text("mine", "utf-8")
    build(tiny_card, Path(), sources=["gan-a"])
    build(tiny_card, Path(), sources=["vae-b"])
    after = contents(work)
    assert after["notes.txt"] == after["data/mine.parquet"] == b"mine"
    assert shard_path("test", "gan-a") not in after and shard_path("test", "vae-b") in after


def test_another_dataset_is_not_replaced(tiny_card: Path, work: Path, edit_yaml: Edit) -> None:
    build(tiny_card, work / "out")
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d.update(name="other"))
    before = contents(work)
    with pytest.raises(BadInput, match=r"out holds the dataset 'tiny', which 'other' would repl"):
        build(tiny_card, work / "out")
    # Nor where its build was stopped.
    (work / "out" / "manifest.json").unlink()
    with pytest.raises(BadInput, match="holds the dataset 'tiny'"):
        build(tiny_card, work / "out")
    del before["out/manifest.json"]
    assert contents(work) == before


def test_a_card_is_built_where_it_is_and_keeps_what_its_author_wrote(
    tiny_card: Path, edit_yaml: Edit
) -> None:
    originals = tiny_card / "data" / "train"
    originals.mkdir(parents=True)
    (tiny_card / "pictures" / "gan-a").rename(originals / "gan-a")
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["sources"]["gan-a"].update(path="data/train"))
    edit_yaml(
        tiny_card / "recipe.yaml", lambda d: d["sources"]["gan-a"].update(path="data/train/gan-a")
    )
    text = "# Mine.\n" + (tiny_card / "sources.yaml").read_text("utf-8")
    text += "ebm-d:\n  family: GAN\n  architecture: D\n"
    (tiny_card / "sources.yaml").write_text(text, "utf-8")
    recipe = (tiny_card / "recipe.yaml").read_bytes()
    for _ in range(2):
        build(tiny_card, tiny_card)
        assert (tiny_card / "sources.yaml").read_text("utf-8") == text
        assert (tiny_card / "recipe.yaml").read_bytes() == recipe
        assert len(list((originals / "gan-a").iterdir())) == 30
        assert (tiny_card / "README.md").read_text("utf-8").startswith("---\npretty_name: Tiny\n")
    assert len(resolve(str(tiny_card)).load().test) == 48


def test_originals_beside_the_shards_are_not_removed(tiny_card: Path, tmp_path: Path) -> None:
    """Only what a build wrote before is removed when it is no longer part of it."""
    built = build(tiny_card, tmp_path / "built")
    shutil.copy(built / shard_path("test", "gan-a"), built / "data" / "test" / "kept.parquet")
    build(tiny_card, built, sources=["vae-b"])
    assert (built / "data" / "test" / "kept.parquet").is_file()
    assert not (built / shard_path("test", "gan-a")).exists()
    assert not (built / "contact" / "gan-a.png").exists()


@pytest.mark.parametrize("command", [["build", "gm-mini"], ["pull", "me/mine"]])
def test_an_empty_text_is_no_folder(
    work: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main.entry(["data", *command, "--out", ""])
    assert end.value.code == 2
    assert "an empty text is no path" in capsys.readouterr().err
    assert list(work.iterdir()) == []


def test_files_are_readable_as_the_umask_says(tiny_card: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        built = build(tiny_card, tmp_path / "built")
        resolve(str(built)).load()
    finally:
        os.umask(before)
    for folder in (built, tmp_path / "cache"):
        for path in folder.rglob("*"):
            assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory, with the options that it is called with."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
        )
        if done.returncode != 0:
            pytest.skip("mounting a small disk needs the superuser of a whole machine")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no command mount")
def test_a_full_disk_is_one_sentence_and_leaves_no_half(
    tiny_card: Path, tmp_path: Path, disk: Callable[[str], Path]
) -> None:
    small = disk("size=48k")
    with pytest.raises(BadInput, match=r"^Cannot write .*: No space left on device\.") as caught:
        build(tiny_card, small / "out")
    assert "run the same command again" in str(caught.value)
    assert not list(small.rglob(".partial-*")) and not (small / "out" / "manifest.json").exists()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
    whole = read_manifest(build(tiny_card, tmp_path / "whole"))
    assert read_manifest(build(tiny_card, small / "out")).content_hash == whole.content_hash


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no command mount")
def test_a_folder_that_may_only_be_read_is_one_sentence(
    tiny_card: Path, disk: Callable[[str], Path]
) -> None:
    closed = disk("size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(closed)], check=True)
    with pytest.raises(BadInput, match=r"^Cannot write .*: Read-only file system\."):
        build(tiny_card, closed / "out")


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no command mount")
def test_a_cache_without_space_means_memory(
    tiny_card: Path,
    tmp_path: Path,
    disk: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = build(tiny_card, tmp_path / "built")
    small = disk("size=64k")
    monkeypatch.setenv("FPBENCH_CACHE", str(small))
    assert len(resolve(str(built)).load().test) == 48
    assert [path for path in small.rglob("*") if path.is_file()] == []
