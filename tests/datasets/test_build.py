"""Builds are repeatable, resumable, and never leave a half for a whole."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench.cli import main
from fpbench.datasets import builder, layout
from fpbench.datasets.build import build
from fpbench.datasets.card import read_manifest
from fpbench.datasets.origins.folder import FolderOrigin
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.files import SCRATCH, file_sha256

Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def test_manifest_says_what_is_there(tiny_card: Path, tmp_path: Path) -> None:
    built = build(tiny_card, tmp_path / "built")
    manifest = read_manifest(built)
    assert manifest.sources == ["real", "gan-a", "vae-b"]
    assert manifest.size == (16, 16)
    assert manifest.counts["reference"] == {"real": 24}
    assert manifest.counts["test"] == {"real": 16, "gan-a": 16, "vae-b": 16}
    for path, entry in manifest.files.items():
        assert file_sha256(built / path) == entry.sha256
    assert len(manifest.files) == 10
    assert {"frechet", "kernel"} == set(manifest.quality["gan-a"])
    assert manifest.built.endswith("+00:00")
    assert (built / "contact" / "gan-a.png").is_file()
    page = (built / "README.md").read_text("utf-8")
    assert "| `gan-a` | GAN | A | files (PNG RGB 16x16) |" in page
    assert "- `flow-c`: its checkpoint was never published." in page


def test_the_same_recipe_builds_the_same_images(tiny_card: Path, tmp_path: Path) -> None:
    one, two = build(tiny_card, tmp_path / "one"), build(tiny_card, tmp_path / "two")
    assert resolve(str(one)).identity.content_hash == resolve(str(two)).identity.content_hash


def test_another_recipe_makes_a_dataset_beside_the_first(
    tiny_card: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (tiny_card / "recipe.yaml").read_text("utf-8")
    (tiny_card / "recipe-more.yaml").write_text(text.replace("name: tiny", "name: tiny-more"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for words in ([], ["--recipe", "recipe-more.yaml"]):
        with pytest.raises(SystemExit) as end:
            main.entry(["data", "build", str(tiny_card), *words])
        assert end.value.code == 0
    assert sorted(path.name for path in work.iterdir()) == ["card", "tiny-more"]
    assert resolve("tiny-more").load().identity.name == "tiny-more"
    with pytest.raises(SystemExit):
        main.entry(["data", "build", str(tiny_card), "--recipe", "recipe-none.yaml"])
    assert "has no recipe 'recipe-none.yaml'" in capsys.readouterr().err


def test_no_image_of_the_pool_is_used_twice(tiny_card: Path, tmp_path: Path) -> None:
    from PIL import Image

    # The same image under another name: the pool has spare ones to take instead.
    with Image.open(tiny_card / "pictures" / "seen" / "0000.png") as image:
        image.save(tiny_card / "pictures" / "unseen" / "9999.png")
    dataset = resolve(str(build(tiny_card, tmp_path / "built"))).load()
    real = [dataset.reference, *(s.of_source("real") for s in (dataset.train, dataset.test))]
    every = [image.tobytes() for part in real for image in part.pixels]
    assert len(set(every)) == len(every)


def test_a_second_build_makes_nothing_again(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(tiny_card, tmp_path / "built")
    before = {p: p.stat().st_mtime_ns for p in built.glob("data/*/*.parquet")}

    def refuse(*args: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(FolderOrigin, "draw", refuse)
    monkeypatch.setattr(builder, "gather", refuse)
    build(tiny_card, built)
    assert {p: p.stat().st_mtime_ns for p in built.glob("data/*/*.parquet")} == before


def _drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the sources whose images are drawn from now on."""
    drawn: list[str] = []
    original = FolderOrigin.draw

    def spy(origin: FolderOrigin, name: str, *rest: Any) -> Iterator[Any]:
        drawn.append(name)
        return original(origin, name, *rest)

    monkeypatch.setattr(FolderOrigin, "draw", spy)
    return drawn


def test_only_what_changed_is_made_again(
    tiny_card: Path,
    tmp_path: Path,
    edit_yaml: Edit,
    monkeypatch: pytest.MonkeyPatch,
    different_images: Callable[..., np.ndarray],
    save_images: Callable[..., None],
) -> None:
    built = build(tiny_card, tmp_path / "built")
    save_images(tiny_card / "pictures" / "other", different_images(30, 77))
    edit_yaml(
        tiny_card / "recipe.yaml",
        lambda d: d["sources"]["gan-a"].update(path="pictures/other"),
    )
    drawn = _drawn(monkeypatch)
    build(tiny_card, built)
    assert drawn == ["gan-a"]


def test_sources_can_be_chosen_and_added(tiny_card: Path, tmp_path: Path) -> None:
    built = build(tiny_card, tmp_path / "built", sources=["vae-b"])
    assert read_manifest(built).sources == ["real", "vae-b"]
    build(tiny_card, built)
    assert read_manifest(built).sources == ["real", "gan-a", "vae-b"]
    build(tiny_card, built, sources=[])
    assert read_manifest(built).sources == ["real"]
    assert not list(built.glob("data/*/vae-b-*"))


def test_a_build_can_be_taken_up_where_its_scratch_folder_is_gone(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    built = build(tiny_card, tmp_path / "built", sources=["gan-a"])
    shutil.rmtree(built / ".build")
    whole = build(tiny_card, tmp_path / "whole")

    drawn = _drawn(monkeypatch)
    build(tiny_card, built)
    assert drawn == ["vae-b"]
    assert resolve(str(built)).identity.content_hash == resolve(str(whole)).identity.content_hash
    assert read_manifest(built).quality == read_manifest(whole).quality


_SLOW_BUILD = """
import sys, time
from pathlib import Path
from fpbench.datasets.build import build
from fpbench.datasets.origins.folder import FolderOrigin
original = FolderOrigin.draw
def slow(origin, name, *rest):
    for batch in original(origin, name, *rest):
        if name == "vae-b":
            yield batch[:12]
            print("half", flush=True)
            time.sleep(60)
        yield batch
FolderOrigin.draw = slow
build(sys.argv[1], Path(sys.argv[2]))
"""


def test_a_killed_build_is_no_dataset_and_resumes(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "built"
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW_BUILD, str(tiny_card), str(out)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not (out / "manifest.json").exists()
    with pytest.raises(BadInput, match="its build was stopped"):
        resolve(str(out)).load()
    stamp = (out / layout.shard_path("test", "gan-a")).stat().st_mtime_ns
    time.sleep(0.01)
    build(tiny_card, out)
    assert (out / layout.shard_path("test", "gan-a")).stat().st_mtime_ns == stamp
    whole = build(tiny_card, tmp_path / "whole")
    assert resolve(str(out)).identity.content_hash == resolve(str(whole)).identity.content_hash
    assert not list(out.rglob(f"{SCRATCH}*"))


def test_a_full_disk_is_told_and_leaves_no_dataset(
    tiny_card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "built"
    original = builder.write_shard

    def full(target: Path, source: str, batches: Any) -> Any:
        if source == "vae-b":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return original(target, source, batches)

    monkeypatch.setattr(builder, "write_shard", full)
    with pytest.raises(BadInput, match=r"vae-b.*No space left on device.* run the same"):
        build(tiny_card, out)
    assert not (out / "manifest.json").exists()
    monkeypatch.undo()
    build(tiny_card, out)
    assert len(read_manifest(out).sources) == 3


def test_an_unwritable_folder_is_told(tiny_card: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    with pytest.raises(BadInput, match=r"file/built.*another folder"):
        build(tiny_card, blocked / "built")


def test_a_corrupt_image_is_named(tiny_card: Path, tmp_path: Path) -> None:
    path = tiny_card / "pictures" / "gan-a" / "0005.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(BadInput, match=r"gan-a/0005\.png cannot be decoded"):
        build(tiny_card, tmp_path / "built")
    assert not (tmp_path / "built" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["sources"]["gan-a"].update(path="nowhere"),
            r"folder 'nowhere' is not there.*FPBENCH_SHARED_DATA",
        ),
        (
            lambda d: d["sources"].update(
                {"gan-a": {"kind": "parquet", "path": "nowhere.parquet"}}
            ),
            r"Parquet file 'nowhere\.parquet' is not there",
        ),
        (
            lambda d: d["counts"].update(train=99) or d["sources"].clear(),
            r"needs 119 different images from real\.unseen, but .* has 40",
        ),
        (
            lambda d: d["counts"].update(train=11),
            r"gan-a.*ask for 31 images, but its origin has 30",
        ),
        (lambda d: d.update(size=32), r"is 16x16 pixels after preprocessing, .* size is 32"),
        (
            lambda d: d["sources"].update({"gan-z": {"kind": "folder", "path": "pictures/gan-a"}}),
            r"sources\.yaml does not describe the source 'gan-z'",
        ),
        (
            lambda d: d["sources"]["gan-a"].update(preprocess={"crop": 20}),
            r"smaller than the recipe's preprocess\.crop of 20",
        ),
    ],
)
def test_a_recipe_that_cannot_be_done_says_why(
    tiny_card: Path,
    tmp_path: Path,
    edit_yaml: Edit,
    change: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    edit_yaml(tiny_card / "recipe.yaml", change)
    with pytest.raises(BadInput, match=message):
        build(tiny_card, tmp_path / "built")
    assert not (tmp_path / "built" / "manifest.json").exists()


def test_unavailable_and_unknown_sources_are_told(tiny_card: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'flow-c' cannot be built: its checkpoint was never"):
        build(tiny_card, tmp_path / "built", sources=["flow-c"])
    with pytest.raises(BadInput, match="Did you mean gan-a"):
        build(tiny_card, tmp_path / "built", sources=["gan-b"])
    with pytest.raises(BadInput, match="Did you mean gm-mini"):
        build("gm-mimi", tmp_path / "built")
    with pytest.raises(BadInput, match="made on the fly"):
        build("gm-synthetic", tmp_path / "built")


def test_preprocessing_crops_the_centre_and_resizes(
    tiny_card: Path,
    tmp_path: Path,
    edit_yaml: Edit,
    different_images: Callable[..., np.ndarray],
    save_images: Callable[..., None],
) -> None:
    from PIL import Image

    large = different_images(30, 20, 32)
    save_images(tiny_card / "pictures" / "large", large)
    edit_yaml(
        tiny_card / "recipe.yaml",
        lambda d: d["sources"]["gan-a"].update(
            path="pictures/large", preprocess={"crop": 24, "resize": 16}
        ),
    )
    dataset = resolve(str(build(tiny_card, tmp_path / "built"))).load()
    expected = Image.fromarray(large[0][4:28, 4:28]).resize((16, 16), Image.Resampling.BICUBIC)
    assert (dataset.train.of_source("gan-a").pixels[0] == np.asarray(expected)).all()


def test_parquet_origins_are_read(tiny_card: Path, tmp_path: Path, edit_yaml: Edit) -> None:
    whole = build(tiny_card, tmp_path / "whole")
    edit_yaml(
        tiny_card / "recipe.yaml",
        lambda d: (
            d["sources"].update(
                {
                    "gan-a": {
                        "kind": "parquet",
                        "path": str(whole / layout.shard_path("test", "gan-a")),
                        "first": 1,
                    }
                }
            )
            or d["counts"].update(train=4, validation=3, test=8)
            or d["fdr"].update(samples=8, dimensions=1)
        ),
    )
    dataset = resolve(str(build(tiny_card, tmp_path / "built"))).load()
    expected = resolve(str(whole)).load().test.of_source("gan-a").pixels[1:5]
    assert (dataset.train.of_source("gan-a").pixels == expected).all()


def test_zoo_sources_are_trained_on_the_reference_images(
    tiny_card: Path, tmp_path: Path, edit_yaml: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    import fpbench.zoo.sample
    import fpbench.zoo.train

    class Trained:
        def describe(self) -> dict[str, Any]:
            return {
                "steps": 7,
                "minutes": 0.1,
                "device": "cpu",
                "training_images": 24,
                "parameters": 9,
                "seed": 5,
            }

    asked: dict[str, Any] = {}

    def train(model: Any, images: np.ndarray, **options: Any) -> Trained:
        asked.update(options, images=np.array(images), model=model.name)
        return Trained()

    def sample(trained: Trained, count: int, *, seed: int, batch: int) -> Iterator[np.ndarray]:
        drawn = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
        for start in range(0, count, 7):
            yield drawn[start : start + 7]

    monkeypatch.setattr(fpbench.zoo.train, "train", train)
    monkeypatch.setattr(fpbench.zoo.sample, "sample", sample)
    edit_yaml(
        tiny_card / "recipe.yaml",
        lambda d: d["sources"].update(
            {"gan-a": {"kind": "zoo", "model": "dcgan-small", "seed": 5, "minutes": 2}}
        ),
    )
    built = build(tiny_card, tmp_path / "built")
    assert read_manifest(built).facts["gan-a"]["steps"] == 7
    assert (asked["seed"], asked["minutes"], asked["model"]) == (5, 2, "dcgan-small")
    assert (asked["images"] == resolve(str(built)).load().reference.pixels).all()
    first = asked["checkpoint"]
    # A longer training takes up the checkpoint; another seed does not.
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["sources"]["gan-a"].update(minutes=4))
    build(tiny_card, built)
    assert asked["checkpoint"] == first and asked["minutes"] == 4
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["sources"]["gan-a"].update(seed=6))
    build(tiny_card, built)
    assert asked["checkpoint"] != first
