"""Every kind of origin gives its images, or says in one sentence why it cannot."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fpbench.datasets import imagefiles
from fpbench.datasets.build import build
from fpbench.datasets.builder import Builder
from fpbench.datasets.card import read_manifest, read_recipe
from fpbench.datasets.layout import shard_path
from fpbench.datasets.origins.kinds import KINDS
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.registry import card_folders

Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]
Make = Callable[..., np.ndarray]
Save = Callable[..., None]


def test_a_recipe_may_name_every_kind() -> None:
    known = {"zoo", "photographs", "parquet", "folder", "files", "labelled", "diffusers"}
    assert set(KINDS) == {*known, "unavailable"}
    for word, kind in KINDS.items():
        assert kind.model_fields["kind"].annotation.__args__ == (word,)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["gm-mini", "gm-cifar10"])
def test_sources_that_were_built_before_are_taken_over(name: str, tmp_path: Path) -> None:
    """The keys in shipped manifests are those that a build computes today."""
    folder = card_folders()[name]
    recipe, manifest = read_recipe(folder), read_manifest(folder)
    builder = Builder(recipe, folder, tmp_path, tmp_path, device="cpu", progress=None, finished={})
    assert len(manifest.sources) > 12
    for source in manifest.sources:
        assert builder.key(source) == manifest.facts[source]["key"], source


def write_parquet(path: Path, images: list[bytes | None]) -> None:
    rows = [None if data is None else {"bytes": data, "path": "x.png"} for data in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(rows, kind)}), path)


def encoded(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_a_row_without_an_image_is_named(tiny_card: Path, tmp_path: Path, edit_yaml: Edit) -> None:
    images: list[bytes | None] = list(encoded(tiny_card / "pictures" / "gan-a"))
    images[7] = None
    write_parquet(tiny_card / "gan" / "a.parquet", images[:5])
    write_parquet(tiny_card / "gan" / "b.parquet", images[5:])
    edit_yaml(
        tiny_card / "recipe.yaml",
        lambda d: d["sources"].update({"gan-a": {"kind": "parquet", "path": "gan"}}),
    )
    with pytest.raises(BadInput, match=r"^Row 2 of .*gan/b\.parquet holds no bytes of an image"):
        build(tiny_card, tmp_path / "built")


def test_a_row_without_an_image_in_a_built_dataset_is_named(
    tiny_card: Path, tmp_path: Path
) -> None:
    from fpbench.datasets.shards import read_shard

    path = build(tiny_card, tmp_path / "built") / shard_path("test", "gan-a")
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[3]["image"] = None
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    with pytest.raises(BadInput, match=r"^Row 3 of .*gan-a-.*parquet holds no bytes"):
        list(read_shard(path))


def test_two_sources_with_the_same_files_are_found_before_anything_is_written(
    tiny_card: Path, tmp_path: Path, edit_yaml: Edit
) -> None:
    told = r"The sources 'gan-a' and 'vae-b' read the same images of .*0000\.png"
    edit_yaml(
        tiny_card / "recipe.yaml", lambda d: d["sources"]["vae-b"].update(path="pictures/gan-a")
    )
    with pytest.raises(BadInput, match=told):
        build(tiny_card, tmp_path / "built")
    # Under another name they are the same files.
    (tiny_card / "linked").symlink_to(tiny_card / "pictures" / "gan-a")
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["sources"]["vae-b"].update(path="linked"))
    with pytest.raises(BadInput, match=told):
        build(tiny_card, tmp_path / "built")
    edit_yaml(
        tiny_card / "recipe.yaml", lambda d: d["sources"]["vae-b"].update(path="pictures/unseen")
    )
    with pytest.raises(BadInput, match=r"The sources 'real' and 'vae-b' read the same images"):
        build(tiny_card, tmp_path / "built")
    assert not (tmp_path / "built").exists()


def test_rows_of_one_file_may_be_shared_out(
    tiny_card: Path, tmp_path: Path, edit_yaml: Edit
) -> None:
    images = encoded(tiny_card / "pictures" / "gan-a") + encoded(tiny_card / "pictures" / "vae-b")
    write_parquet(tiny_card / "all.parquet", [*images])

    def origins(second: int) -> Callable[[dict[str, Any]], None]:
        return lambda d: d["sources"].update(
            {
                "gan-a": {"kind": "parquet", "path": "all.parquet"},
                "vae-b": {"kind": "parquet", "path": "all.parquet", "first": second},
            }
        )

    edit_yaml(tiny_card / "recipe.yaml", origins(29))
    with pytest.raises(BadInput, match=r"'gan-a' and 'vae-b' read the same images of .*all\.parq"):
        build(tiny_card, tmp_path / "built")
    edit_yaml(tiny_card / "recipe.yaml", origins(30))
    assert len(resolve(str(build(tiny_card, tmp_path / "built"))).load().test) == 48


def test_copies_are_found_before_the_dataset_is_finished(tiny_card: Path, tmp_path: Path) -> None:
    pictures = tiny_card / "pictures"
    shutil.copy(pictures / "gan-a" / "0003.png", pictures / "vae-b" / "0004.png")
    with pytest.raises(BadInput, match=r"image 'vae-b-.*' of .* and image 'gan-a-.*' of .* same"):
        build(tiny_card, tmp_path / "built")
    assert not (tmp_path / "built" / "manifest.json").exists()


def test_resizing_alone_does_not_squeeze(
    tiny_card: Path, tmp_path: Path, edit_yaml: Edit, different_images: Make, save_images: Save
) -> None:
    wide = np.concatenate([different_images(30, 5, 16), different_images(30, 6, 16)], axis=2)
    save_images(tiny_card / "pictures" / "wide", wide)

    def steps(**preprocess: Any) -> Callable[[dict[str, Any]], None]:
        return lambda d: d["sources"]["gan-a"].update(path="pictures/wide", preprocess=preprocess)

    edit_yaml(tiny_card / "recipe.yaml", steps(resize=16))
    told = r"0000\.png is 16x32 pixels, and preprocess\.resize alone would squeeze .*squeeze: true"
    with pytest.raises(BadInput, match=told):
        build(tiny_card, tmp_path / "built")
    edit_yaml(tiny_card / "recipe.yaml", steps(crop=16, resize=16))
    cut = resolve(str(build(tiny_card, tmp_path / "cut"))).load().train.of_source("gan-a")
    assert (cut.pixels[0] == wide[0][:, 8:24]).all()
    edit_yaml(tiny_card / "recipe.yaml", steps(resize={"size": 16, "squeeze": True}))
    squeezed = resolve(str(build(tiny_card, tmp_path / "squeezed"))).load().train
    expected = Image.fromarray(wide[0]).resize((16, 16), Image.Resampling.BICUBIC)
    assert (squeezed.of_source("gan-a").pixels[0] == np.asarray(expected)).all()


def test_a_home_folder_is_written_out(
    tiny_card: Path, tmp_path: Path, edit_yaml: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tiny_card / "pictures" / "gan-a").rename(tmp_path / "home" / "gan-a")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["sources"]["gan-a"].update(path="~/gan-a"))
    assert "gan-a" in read_manifest(build(tiny_card, tmp_path / "built")).sources
    edit_yaml(
        tiny_card / "recipe.yaml",
        lambda d: d["sources"]["gan-a"].update(path="~nobody-of-this-name/x"),
    )
    with pytest.raises(BadInput, match="home folder of a user who is not here"):
        build(tiny_card, tmp_path / "other")


@pytest.mark.parametrize("path", ["x" * 300, "pictures/loop", "pictures/gone"])
def test_an_origin_that_cannot_be_looked_at_is_told(
    tiny_card: Path, tmp_path: Path, edit_yaml: Edit, path: str
) -> None:
    (tiny_card / "pictures" / "loop").symlink_to(tiny_card / "pictures" / "loop")
    (tiny_card / "pictures" / "gone").symlink_to(tiny_card / "nothing")
    for kind in ("folder", "parquet"):
        origin = {"kind": kind, "path": path}
        edit_yaml(tiny_card / "recipe.yaml", lambda d, o=origin: d["sources"].update({"gan-a": o}))
        with pytest.raises(BadInput, match=r"cannot be looked at|is not there"):
            build(tiny_card, tmp_path / "built")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    # The path of a socket has a hundred bytes at most.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(before)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("gone.png"))


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _hidden(path: Path) -> None:
    shutil.copy(path.with_name("0001.png"), path.with_name(".a.png"))


def _not_utf8(path: Path) -> None:
    shutil.copy(path.with_name("0001.png"), path.with_name(os.fsdecode(b"\xff.png")))


ODD = [
    (_pipe, r"0000\.png is no plain file but a pipe"),
    (_socket, r"0000\.png is no plain file but a socket"),
    (_device, r"0000\.png is no plain file but a device"),
    (_dangling, r"0000\.png is a link to a file that is not there"),
    (_loop, r"0000\.png cannot be read \(Too many levels of symbolic links\)"),
    (_hidden, r"\.a\.png is hidden"),
    (_not_utf8, r"\\udcff\.png is not UTF-8"),
]


@pytest.mark.parametrize(("make", "message"), ODD)
def test_what_is_no_image_file_is_never_read(
    tiny_card: Path,
    image_folder: Path,
    tmp_path: Path,
    make: Callable[[Path], None],
    message: str,
) -> None:
    for folder in (tiny_card / "pictures" / "gan-a", image_folder / "gan-a"):
        (folder / "0000.png").unlink()
        make(folder / "0000.png")
    with pytest.raises(BadInput, match=message):
        build(tiny_card, tmp_path / "built")
    with pytest.raises(BadInput, match=message):
        resolve(str(image_folder))


def test_an_image_file_has_a_largest_size(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest = max(path.stat().st_size for path in image_folder.glob("*/*.png"))
    monkeypatch.setattr(imagefiles, "LARGEST_IMAGE", largest)
    resolve(str(image_folder))
    monkeypatch.setattr(imagefiles, "LARGEST_IMAGE", largest - 1)
    with pytest.raises(BadInput, match="no image of a dataset is that large"):
        resolve(str(image_folder))


def test_what_a_system_leaves_among_images_is_passed_over(
    tiny_card: Path, image_folder: Path, tmp_path: Path
) -> None:
    before = resolve(str(image_folder)).identity
    for folder in (tiny_card / "pictures" / "gan-a", image_folder / "gan-a"):
        for name in ("Thumbs.db", "thumbs.db", "desktop.ini", ".DS_Store", "._0001.png"):
            (folder / name).write_bytes(b"x")
    assert resolve(str(image_folder)).identity == before
    build(tiny_card, tmp_path / "built")


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="the superuser may read everything")
def test_an_image_that_may_not_be_read_is_named(image_folder: Path) -> None:
    (image_folder / "gan-a" / "0000.png").chmod(0)
    with pytest.raises(BadInput, match=r"0000\.png cannot be read \(Permission denied\)"):
        resolve(str(image_folder))


def test_a_kind_without_real_images_is_refused_where_they_are_asked_for(
    tiny_card: Path, edit_yaml: Edit
) -> None:
    zoo = {"kind": "zoo", "model": "dcgan-small"}
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["real"].update(unseen=zoo))
    with pytest.raises(BadInput, match=r"unseen\.kind is 'zoo', which has no real images"):
        read_recipe(tiny_card)
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["real"].update(unseen={"kind": "photographs"}))
    with pytest.raises(BadInput, match="do not go together"):
        read_recipe(tiny_card)


def test_names_are_read_as_they_are_written(tiny_card: Path, tmp_path: Path) -> None:
    """YAML takes ``no`` for false and ``123`` for a number, and 0123 for another one."""
    names = {"gan-a": "no", "vae-b": "0123"}
    for file in ("recipe.yaml", "sources.yaml"):
        text = (tiny_card / file).read_text("utf-8")
        for old, new in names.items():
            text = text.replace(f"\n  {old}:", f"\n  {new}:").replace(f"\n{old}:", f"\n{new}:")
        (tiny_card / file).write_text(text, "utf-8")
    built = build(tiny_card, tmp_path / "built")
    assert [source.name for source in resolve(str(built)).load().sources] == ["real", "no", "0123"]


def test_a_source_that_stands_twice_is_refused(tiny_card: Path) -> None:
    text = (tiny_card / "recipe.yaml").read_text("utf-8")
    text = text.replace("  vae-b:", "  gan-a:")
    (tiny_card / "recipe.yaml").write_text(text, "utf-8")
    with pytest.raises(BadInput, match=r"recipe\.yaml.*'gan-a' stands there twice"):
        read_recipe(tiny_card)
