"""A folder of images for each source is checked, split by a seed, and loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpbench.datasets.resolve import resolve
from fpbench.datasets.splitting import split_positions
from fpbench.errors import BadInput


def test_splits_share_no_image_and_keep_all(image_folder: Path) -> None:
    dataset = resolve(str(image_folder)).load()
    names = [s.name for s in dataset.sources]
    assert names == ["real", "gan-a", "vae-b"]
    assert [s.family for s in dataset.sources] == ["Real", "Unknown", "Unknown"]
    ids = np.concatenate(
        [s.ids for s in (dataset.reference, dataset.train, dataset.validation, dataset.test)]
    )
    expected = {f"{path.parent.name}/{path.name}" for path in image_folder.glob("*/*.png")}
    assert len(ids) == len(expected) and set(ids) == expected
    assert set(dataset.reference.labels) == {0} and len(dataset.reference) == 24
    for split in (dataset.train, dataset.validation, dataset.test):
        assert set(split.labels) == {0, 1, 2}
    for index in range(len(dataset.test)):
        with Image.open(image_folder / dataset.test.ids[index]) as image:
            assert (np.asarray(image) == dataset.test.pixels[index]).all()
        assert dataset.test.ids[index].split("/")[0] == names[dataset.test.labels[index]]
    assert dataset.fdr_samples == 13
    assert dataset.fdr_dimensions == 1


def test_the_split_is_the_same_every_time() -> None:
    one, two = split_positions(100, "real"), split_positions(100, "real")
    for split in one:
        assert (one[split] == two[split]).all()
    assert len(split_positions(100, "gan")["reference"]) == 0
    assert sorted(np.concatenate(list(one.values()))) == list(range(100))


def test_identity_follows_content_not_place(image_folder: Path, tmp_path: Path) -> None:
    before = resolve(str(image_folder)).identity
    moved = tmp_path / "elsewhere"
    shutil.copytree(image_folder, moved)
    assert resolve(str(moved)).identity.content_hash == before.content_hash
    (moved / "gan-a" / "0000.png").unlink()
    assert resolve(str(moved)).identity.content_hash != before.content_hash


def test_sources_yaml_tells_the_family(image_folder: Path) -> None:
    (image_folder / "sources.yaml").write_text(
        "gan-a: {family: GAN, architecture: DCGAN}\n", "utf-8"
    )
    assert resolve(str(image_folder)).load().sources[1].architecture == "DCGAN"
    (image_folder / "sources.yaml").write_text("gan-z: {family: GAN, architecture: Z}\n", "utf-8")
    with pytest.raises(BadInput, match="describes the source 'gan-z'"):
        resolve(str(image_folder)).load()


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_jpeg_and_webp_are_read(
    image_folder: Path,
    different_images: Callable[..., np.ndarray],
    save_images: Callable[..., None],
    suffix: str,
) -> None:
    shutil.rmtree(image_folder / "gan-a")
    save_images(image_folder / "gan-a", different_images(40, 1), suffix)
    assert len(resolve(str(image_folder)).load().test) > 0


def _replace(folder: Path, image: Image.Image) -> Path:
    path = folder / "gan-a" / "0003.png"
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("L", "it is grey"),
        ("RGBA", "alpha channel"),
        ("P", "palette"),
        ("LA", "grey with"),
        ("I;16", "I;16"),
    ],
)
def test_images_of_other_modes_are_named_with_a_remedy(
    image_folder: Path, mode: str, message: str
) -> None:
    _replace(image_folder, Image.new(mode, (16, 16)))
    with pytest.raises(BadInput, match=r"gan-a/0003\.png is not an RGB image") as caught:
        resolve(str(image_folder)).load()
    assert message in str(caught.value)


def test_a_truncated_image_is_named(image_folder: Path) -> None:
    path = image_folder / "vae-b" / "0007.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadInput, match=r"vae-b/0007\.png cannot be decoded .* truncated"):
        resolve(str(image_folder)).load()


@pytest.mark.parametrize("content", [b"", b"this is text"])
def test_a_file_that_is_no_image_is_named(image_folder: Path, content: bytes) -> None:
    (image_folder / "vae-b" / "0007.png").write_bytes(content)
    with pytest.raises(BadInput, match=r"vae-b/0007\.png cannot be decoded"):
        resolve(str(image_folder)).load()


def test_a_file_of_another_kind_is_named(image_folder: Path) -> None:
    (image_folder / "real" / "notes.txt").write_text("x")
    with pytest.raises(BadInput, match=r"real/notes\.txt is no PNG, JPEG or WebP"):
        resolve(str(image_folder))


def test_mixed_sizes_are_named(image_folder: Path) -> None:
    _replace(image_folder, Image.new("RGB", (16, 17)))
    with pytest.raises(BadInput, match=r"0003\.png is 17x16 pixels, .* are 16x16"):
        resolve(str(image_folder)).load()


def test_too_few_images_are_counted(image_folder: Path) -> None:
    for path in sorted((image_folder / "gan-a").iterdir())[5:]:
        path.unlink()
    for path in sorted((image_folder / "real").iterdir())[9:]:
        path.unlink()
    told = r"source 'real' has 9 images, but at least 54 .*'gan-a' has 5 images, but at least 32"
    with pytest.raises(BadInput, match=told):
        resolve(str(image_folder))


def test_the_same_image_in_two_sources_is_told(image_folder: Path) -> None:
    shutil.copy(image_folder / "real" / "0004.png", image_folder / "gan-a" / "copy.png")
    with pytest.raises(BadInput, match="are the same image") as caught:
        resolve(str(image_folder)).load()
    assert "real/0004.png" in str(caught.value) and "gan-a/copy.png" in str(caught.value)


def test_real_images_and_a_generator_are_needed(image_folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(image_folder / "gan-a")
    shutil.rmtree(image_folder / "vae-b")
    with pytest.raises(BadInput, match="has real images only"):
        resolve(str(image_folder))
    (image_folder / "real").rename(image_folder / "photos")
    with pytest.raises(BadInput, match="the folder photos, but needs"):
        resolve(str(image_folder))
    with pytest.raises(BadInput, match="no folders"):
        resolve(str(tmp_path / "images" / "photos"))


def test_a_hidden_source_is_not_dropped_in_silence(image_folder: Path) -> None:
    shutil.copytree(image_folder / "gan-a", image_folder / ".x")
    with pytest.raises(BadInput, match=r"/\.x holds images but is hidden"):
        resolve(str(image_folder))


def test_hidden_folders_without_images_are_passed_over(image_folder: Path) -> None:
    before = resolve(str(image_folder)).identity
    (image_folder / ".git").mkdir()
    (image_folder / ".git" / "config").write_text("x")
    (image_folder / ".DS_Store").write_bytes(b"x")
    (image_folder / "README.md").write_text("x")
    assert resolve(str(image_folder)).identity == before


@pytest.mark.parametrize(
    ("name", "other"), [("Real", "real"), ("REAL", "real"), ("Gan-A", "gan-a")]
)
def test_names_that_differ_by_case_alone_are_refused(
    image_folder: Path, name: str, other: str
) -> None:
    shutil.copytree(image_folder / "vae-b", image_folder / name)
    told = rf"'({name}|{other})', which differs from '({name}|{other})' by upper and lower case"
    with pytest.raises(BadInput, match=told):
        resolve(str(image_folder))
    shutil.rmtree(image_folder / other)
    if other == "real":
        with pytest.raises(BadInput, match=r"The folder of real images is named 'real'"):
            resolve(str(image_folder))


def test_a_source_folder_that_is_a_link_to_nothing_is_told(image_folder: Path) -> None:
    (image_folder / "gan-c").symlink_to(image_folder / "gone")
    with pytest.raises(BadInput, match=r"gan-c is a link to a file that is not there"):
        resolve(str(image_folder))


def test_real_images_have_one_source(image_folder: Path) -> None:
    (image_folder / "sources.yaml").write_text("gan-a: {family: Real, architecture: X}\n", "utf-8")
    with pytest.raises(BadInput, match=r"source 'gan-a' has family Real; .* 'real' alone"):
        resolve(str(image_folder))
    (image_folder / "sources.yaml").write_text("real: {family: Real, architecture: my camera}\n")
    assert resolve(str(image_folder)).load().sources[0].architecture == "my camera"
