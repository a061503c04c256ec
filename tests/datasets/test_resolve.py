"""A reference becomes one object: what it is, told without decoding, and how it is loaded."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fpbench.datasets.audited import audited_shortcut
from fpbench.datasets.build import build
from fpbench.datasets.dataset import Description, GMDataset, description_digest
from fpbench.datasets.imagefiles import ImageFile
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.images import Source
from fpbench.runs.execute import load_once

Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def of(dataset: GMDataset) -> str:
    """The digest of a dataset as it was loaded."""
    return description_digest(
        Description(dataset.sources, dataset.fdr_samples, dataset.fdr_dimensions)
    )


def test_every_kind_tells_its_digest_before_it_is_loaded(
    tiny_card: Path, image_folder: Path, tmp_path: Path
) -> None:
    built = build(tiny_card, tmp_path / "built")
    references = (str(built), str(image_folder), "gm-mini", "gm-synthetic:mixed,3")
    digests = {}
    for reference in references:
        found = resolve(reference)
        dataset = found.load()
        assert dataset.identity == found.identity
        assert dataset.sources == found.description.sources
        assert found.identity.digest == of(dataset)
        digests[reference] = found.identity.digest
    assert len(set(digests.values())) == len(references)


def test_the_digest_is_that_of_names_families_designs_and_fdr() -> None:
    """Against a document written by hand."""
    sources = (
        Source("real", "Real", "photographs"),
        Source("a", "GAN", "A", {"skip": "none", "loss": "hinge"}),
    )
    text = (
        '{"fdr":[16,2],"sources":[["real","Real","photographs",{}],'
        '["a","GAN","A",{"loss":"hinge","skip":"none"}]]}'
    )
    import hashlib

    assert (
        description_digest(Description(sources, 16, 2)) == hashlib.sha256(text.encode()).hexdigest()
    )


@pytest.mark.parametrize(
    ("file", "change", "moves"),
    [
        ("sources.yaml", lambda d: d["gan-a"].update(family="VAE"), True),
        ("sources.yaml", lambda d: d["gan-a"].update(architecture="AA"), True),
        (
            "sources.yaml",
            lambda d: d["gan-a"]["design"]["upsampling"].update(value="bilinear"),
            True,
        ),
        ("sources.yaml", lambda d: d["gan-a"].update(summary="Another sentence."), False),
        (
            "sources.yaml",
            lambda d: d["gan-a"]["design"]["upsampling"].update({"from": "elsewhere"}),
            False,
        ),
        ("recipe.yaml", lambda d: d["fdr"].update(samples=8, dimensions=1), True),
        ("recipe.yaml", lambda d: d.update(title="Another title"), False),
    ],
)
def test_the_digest_follows_what_results_depend_on(
    tiny_card: Path,
    tmp_path: Path,
    edit_yaml: Edit,
    file: str,
    change: Callable[[dict[str, Any]], None],
    moves: bool,
) -> None:
    built = build(tiny_card, tmp_path / "built")
    before = resolve(str(built)).identity
    edit_yaml(built / file, change)
    after = resolve(str(built)).identity
    assert (after.digest != before.digest) == moves
    # The images are the same, so the keys of jobs do not move.
    assert (after.revision, after.content_hash) == (before.revision, before.content_hash)
    assert after.digest == of(resolve(str(built)).load())


def test_each_file_is_read_once_to_find_and_once_to_decode(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()
    original = ImageFile.read

    def count(image: ImageFile) -> bytes:
        reads[str(image.path)] += 1
        return original(image)

    monkeypatch.setattr(ImageFile, "read", count)
    found = resolve(str(image_folder))
    assert set(reads.values()) == {1} and len(reads) == 136
    # As a plan does: what was found once is found again by the job that loads it.
    load_once(str(image_folder), found.identity.content_hash, offline=False)
    first = str(image_folder / "real" / "0000.png")
    # The first image tells the size.
    assert reads.pop(first) == 3 and set(reads.values()) == {2}
    assert resolve(str(image_folder)).identity == found.identity
    assert set(reads.values()) == {2}


def test_a_file_that_changes_after_it_was_hashed_is_noticed(image_folder: Path) -> None:
    found = resolve(str(image_folder))
    path = image_folder / "gan-a" / "0007.png"
    shutil.copy(image_folder / "gan-a" / "0008.png", path)
    with pytest.raises(BadInput, match=r"gan-a/0007\.png was changed meanwhile; start again"):
        found.load()
    assert resolve(str(image_folder)).identity.content_hash != found.identity.content_hash


def test_finding_and_loading_report_progress(image_folder: Path, tiny_card: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    def report(what: str, done: int, total: int) -> None:
        calls.append((what, done, total))

    found = resolve(str(image_folder), progress=report)
    assert calls == [("hash images", done, 136) for done in range(1, 137)]
    found.load(report)
    assert calls[-1] == ("decode", 136, 136)
    resolve("gm-synthetic:kernel", progress=report).load(report)
    assert calls[-1] == ("plant fingerprints", 6, 6)


def test_the_audits_figure_is_read_anew(tiny_card: Path, tmp_path: Path) -> None:
    built = build(tiny_card, tmp_path / "built")
    found = resolve(str(built))
    assert found.shortcut() is None
    text = f'{{"dataset": {{"content_hash": "{found.identity.content_hash}"}}, '
    (built / "audit.json").write_text(text + '"shortcut": {"accuracy": 0.75}}', "utf-8")
    assert found.shortcut() == 0.75
    assert audited_shortcut("tiny", found.identity.content_hash, built) == 0.75
    assert audited_shortcut("tiny", "0" * 64, built) is None
    (built / "audit.json").write_text(text + '"shortcut": 3}', "utf-8")
    with pytest.raises(BadInput, match=r"audit\.json: its fields cannot be read"):
        found.shortcut()
    mini = resolve("gm-mini").identity
    assert audited_shortcut("gm-mini", mini.content_hash) == resolve("gm-mini").shortcut()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("a" * 300, "cannot be looked at (File name too long)"),
        ("~nobody-of-this-name/images", "home folder of a user who is not here"),
        ("me/ab\udcff", "There is no dataset 'me/ab\\udcff'"),
        ("gm-mini:", "'gm-mini' takes no settings"),
        ("gm-mini:pattern", "'gm-mini' takes no settings"),
        ("", "There is no dataset ''"),
    ],
)
def test_a_reference_to_nothing_is_one_sentence(reference: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        resolve(reference)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_links_that_lead_nowhere_are_told(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BadInput, match="Too many levels of symbolic links"):
        resolve(str(tmp_path / "loop"))
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    with pytest.raises(BadInput, match="There is no folder"):
        resolve(str(tmp_path / "dangling"))
    (tmp_path / "fine").symlink_to(image_folder)
    assert resolve(str(tmp_path / "fine")).identity.name == "images"


def test_a_folder_whose_name_is_not_utf8_is_refused(image_folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    image_folder.rename(odd)
    with pytest.raises(BadInput, match=r"caf\\udce9 is not UTF-8.*rename it"):
        resolve(str(odd))


def test_a_dataset_made_on_the_fly_needs_one_with_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit_yaml: Edit
) -> None:
    from fpbench.registry import card_folders

    shutil.copytree(card_folders()["gm-synthetic"], tmp_path / "cards" / "again")
    monkeypatch.setenv("FPBENCH_CARDS", str(tmp_path / "cards"))
    edit_yaml(
        tmp_path / "cards" / "again" / "recipe.yaml",
        lambda d: d.update(name="again") or d["synthetic"].update(base="again"),
    )
    with pytest.raises(BadInput, match=r"synthetic\.base is 'again', which is made on the fly"):
        resolve("again")
