"""Folders of splits and groups, folders without real images, and what is said of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fpbench.cli.main import entry
from fpbench.datasets.glance import glance
from fpbench.datasets.reference import parse_reference, with_settings
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.method import FitContext, MethodDeclined
from fpbench.registry import resolve_method

Make = Callable[..., np.ndarray]
Save = Callable[..., None]


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    return int(str(end.value.code)), out, err


def test_the_usual_folder_keeps_its_job(image_folder: Path) -> None:
    """The hash as it was made before there were other rules, written out by hand."""
    text = hashlib.sha256(b"folder-1 0 0.4 {'train': 0.5, 'validation': 0.15, 'test': 0.35}\n")
    for source in ("real", "gan-a", "vae-b"):
        for path in sorted((image_folder / source).iterdir()):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            text.update(f"{source}/{path.name} {digest}\n".encode())
    assert resolve(str(image_folder)).identity.content_hash == text.hexdigest()


def test_another_rule_is_another_dataset(image_folder: Path) -> None:
    usual = resolve(str(image_folder))
    stated = resolve(f"{image_folder}?split=0.5/0.15/0.35&reference=0.4")
    assert stated.identity == usual.identity
    other = resolve(f"{image_folder}?split=0.4/0.2/0.4")
    assert other.identity.content_hash != usual.identity.content_hash
    counts = np.bincount(other.load().train.labels).tolist()
    assert counts == [round(0.4 * 36), 16, 14]
    assert "train 0.4, validation 0.2, test 0.4, after 0.4 of Real's for reference" in other.brought


def test_settings_of_a_reference_are_checked(image_folder: Path) -> None:
    with pytest.raises(BadInput, match=r"takes no setting 'splits'\. Did you mean split"):
        resolve(f"{image_folder}?splits=0.5/0.15/0.35")
    with pytest.raises(BadInput, match=r"'gm-mini' is the name of a card, .* no setting 'split'"):
        resolve("gm-mini?split=0.5/0.15/0.35")
    with pytest.raises(BadInput, match="is no setting; write each once"):
        resolve(f"{image_folder}?split")
    with pytest.raises(BadInput, match="sets 'split' already"):
        with_settings(f"{image_folder}?split=1/1/1", {"split": "2/2/2"})
    text = with_settings("a b/c", {"filter": "model=x&y+z?", "none": None})
    assert parse_reference(text).settings == {"filter": "model=x&y+z?"}


def move(folder: Path, place: Callable[[str, int], str]) -> None:
    """Move the images of every source to where `place` says, by source and number."""
    for source in [path for path in sorted(folder.iterdir()) if path.is_dir()]:
        for index, path in enumerate(sorted(source.iterdir())):
            target = folder.with_name("placed") / place(source.name, index) / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


@pytest.mark.parametrize("pattern", ["{split}/{source}", "{source}/{split}"])
def test_folders_of_splits_are_understood(image_folder: Path, pattern: str) -> None:
    names = ("train", "train", "val", "test")
    move(image_folder, lambda s, i: pattern.format(source=s, split=names[i % 4]))
    found = resolve(str(image_folder.with_name("placed")))
    dataset = found.load()
    assert [s.name for s in dataset.sources] == ["real", "gan-a", "vae-b"]
    assert np.bincount(dataset.test.labels).tolist() == [15, 10, 9]
    assert all("/test/" in f"/{name}" for name in dataset.test.ids)
    # Without a folder for it, the reference takes its share of Real's training images.
    assert len(dataset.reference) == 12 and set(dataset.reference.labels) == {0}
    assert np.bincount(dataset.train.labels).tolist() == [18, 20, 18]
    assert found.brought.startswith("split by its folders: reference 12, train 56")


def test_validation_is_taken_from_training_where_no_folder_has_it(image_folder: Path) -> None:
    move(image_folder, lambda s, i: f"{('train', 'train', 'test')[i % 3]}/{s}")
    dataset = resolve(str(image_folder.with_name("placed"))).load()
    assert np.bincount(dataset.validation.labels).min() >= 4
    assert all(name.startswith("train/") for name in dataset.validation.ids)


def test_a_split_given_twice_is_refused(image_folder: Path) -> None:
    move(image_folder, lambda s, i: f"{('train', 'test')[i % 2]}/{s}")
    place = image_folder.with_name("placed")
    with pytest.raises(BadInput, match=r"folders named train and test, .* leave out --split"):
        resolve(f"{place}?split=0.5/0.2/0.3")
    (place / "val").mkdir()
    (place / "valid").mkdir()
    with pytest.raises(BadInput, match="'val' and 'valid', which are one split"):
        resolve(str(place))


def groups_of(dataset: object, split: str) -> set[str]:
    return {name.split("/")[-2] for name in getattr(dataset, split).ids.tolist()}


def test_folders_within_a_source_are_groups_on_one_side(image_folder: Path) -> None:
    move(image_folder, lambda s, i: f"{s}/scene{i % 12}")
    dataset = resolve(str(image_folder.with_name("placed"))).load()
    train, test = groups_of(dataset, "train"), groups_of(dataset, "test")
    assert train and test and not (train | groups_of(dataset, "reference")) & test
    assert not groups_of(dataset, "validation") & (train | test)
    assert set(dataset.groups["test"]) == test


def test_groups_by_prefix(image_folder: Path) -> None:
    for path in image_folder.glob("*/*.png"):
        path.rename(path.with_name(f"prompt{int(path.stem) % 12}_{path.stem}.png"))
    usual = resolve(str(image_folder)).load()
    grouped = resolve(f"{image_folder}?groups=by-prefix").load()
    assert not usual.groups
    sides = {s: set(grouped.groups[s]) for s in ("train", "validation", "test")}
    assert not sides["train"] & sides["test"] and not sides["validation"] & sides["test"]
    with pytest.raises(BadInput, match="by-folder finds no groups"):
        resolve(f"{image_folder}?groups=by-folder")


def test_a_group_in_two_given_splits_is_told(image_folder: Path) -> None:
    move(image_folder, lambda s, i: f"{('train', 'test')[i % 2]}/{s}/scene{i % 3}")
    with pytest.raises(BadInput, match=r"group 'scene\d' has images in"):
        resolve(str(image_folder.with_name("placed")))


def test_one_group_a_source_cannot_be_split(image_folder: Path) -> None:
    move(image_folder, lambda s, i: f"{s}/only-{s}")
    with pytest.raises(BadInput, match="would have 0 images in"):
        resolve(str(image_folder.with_name("placed")))


def test_images_beside_folders_are_refused(image_folder: Path) -> None:
    (image_folder / "gan-a" / "scene").mkdir()
    with pytest.raises(BadInput, match="holds images and, beside them, the folder 'scene'"):
        resolve(str(image_folder))


def test_a_set_without_real_images(image_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(image_folder / "real")
    found = resolve(str(image_folder))
    dataset = found.load()
    assert dataset.real is None and len(dataset.reference) == 0
    assert [s.name for s in dataset.sources] == ["gan-a", "vae-b"]
    assert found.brought.endswith("no real images, so no reference")
    out = ("--out", str(image_folder.with_name("runs")), "--budget", "smoke", "--json")
    words = ("run", "--method", "logdct", "--method", "manifpt", "--dataset", str(image_folder))
    code, shown, told = call(capsys, *words, *out, "--no-figures")
    logdct, manifpt = json.loads(shown)
    assert code == 0 and logdct["status"] == "done"
    assert logdct["scores"]["accuracy"]["n"] == 27
    assert logdct["scores"]["auc_real"]["value"] is None
    assert manifpt["status"] == "declined"
    assert "no real images" in manifpt["reason"] and "named real" in manifpt["reason"]
    assert "Note: images: split by shares" in told


@pytest.mark.parametrize("name", ["manifpt", "riemann", "prnu:dncnn"])
def test_methods_that_need_a_reference_say_so(image_folder: Path, name: str) -> None:
    shutil.rmtree(image_folder / "real")
    dataset = resolve(str(image_folder)).load()
    cls, variant = resolve_method(name)
    method = cls.make(variant, {})
    with pytest.raises(MethodDeclined, match="learns from the reference images"):
        method.fit(
            dataset.train,
            reference=dataset.reference,
            validation=dataset.validation,
            context=FitContext(budget="smoke"),
        )


def test_a_first_look_tells_formats_and_copies(
    image_folder: Path, different_images: Make, save_images: Save
) -> None:
    assert glance(resolve(str(image_folder))) == []
    shutil.rmtree(image_folder / "gan-a")
    copies = different_images(36, 2)
    copies[:, 0, 0] ^= 1
    save_images(image_folder / "gan-a", copies, ".png")
    shutil.rmtree(image_folder / "real")
    save_images(image_folder / "real", different_images(60, 0), ".jpg")
    found = resolve(str(image_folder))
    said = " ".join(glance(found))
    assert "Files differ between sources" in said and "JPEG" in said
    assert "Near duplicates among images of different sources (gan-a and vae-b: 3" in said
    # Kept by content: the images are not looked at again.
    found.load = lambda progress=None: pytest.fail("loaded again")  # type: ignore[method-assign]
    assert " ".join(glance(found)) == said


def test_an_audit_is_written_into_a_folder_of_images(
    image_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resolve(str(image_folder))
    assert before.shortcut() is None
    code, _, told = call(capsys, "data", "audit", str(image_folder), "--write")
    assert code == 0 and "audit.json" in told
    assert (image_folder / "audit.md").read_text("utf-8").startswith("# Audit of images\n")
    after = resolve(str(image_folder))
    assert after.identity == before.identity
    report = json.loads((image_folder / "audit.json").read_text("utf-8"))
    assert after.shortcut() == report["shortcut"]["accuracy"]
    (image_folder / "audit.md").write_text("mine")
    code, _, told = call(capsys, "data", "audit", str(image_folder), "--write")
    assert code == 2 and "was not written by an audit" in told
