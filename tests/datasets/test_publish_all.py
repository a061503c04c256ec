"""All built cards are published in one command, and each card then says where its images are."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fpbench import registry
from fpbench.cli.main import entry
from fpbench.datasets import card as cards
from fpbench.datasets import publish_all
from fpbench.datasets.build import build
from fpbench.datasets.card import read_manifest, read_recipe
from fpbench.datasets.external import REAL_IMAGES
from fpbench.datasets.layout import RECIPE
from fpbench.datasets.resolve import resolve


def _module(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


local_hub, sets = _module("local_hub"), _module("labelled_sets")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with local_hub.LocalHub() as server, sets.asked(server, tmp_path / "hf", monkeypatch):
        yield server


@pytest.fixture
def shelf(tiny_card: Path, edit_yaml: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Three cards: one built, whose real images may not be published, one not, one by others."""
    page = (tiny_card / "README.md").read_text("utf-8")
    page = page.replace("pretty_name: Tiny", "pretty_name: Tiny\ntags: [fpbench]")
    (tiny_card / "README.md").write_text(page, "utf-8")
    edit_yaml(tiny_card / RECIPE, lambda recipe: recipe["real"].update(published=False))
    build(tiny_card, tiny_card)
    shipped = registry.card_folders()
    folders = {"tiny": tiny_card, "gm-chq": shipped["gm-chq"], "wild": shipped["wild"]}
    for module in (publish_all, cards):
        monkeypatch.setattr(module, "card_folders", lambda: folders)
    return folders


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    return int(str(end.value.code)), out, err


def test_a_dry_run_asks_and_changes_nothing(
    hub: Any, shelf: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in shelf["tiny"].rglob("*") if path.is_file()}
    words = ("data", "push", "--all", "--namespace", "lab", "--dry-run")
    code, out, err = call(capsys, *words)
    assert code == 0 and not err
    tiny, unbuilt, others = out.splitlines()
    assert "would push" in tiny and "to lab/tiny; without the images of real" in tiny
    assert "is not built here" in unbuilt and "is read where it lies" in others
    assert not hub.requests
    after = {path: path.read_bytes() for path in shelf["tiny"].rglob("*") if path.is_file()}
    assert before == after


def test_all_are_pushed_and_cards_say_where(
    hub: Any,
    shelf: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", local_hub.TOKEN)
    code, out, err = call(capsys, "data", "push", "--all", "--namespace", "lab")
    assert code == 0, err
    repository = hub.repositories["lab/tiny"]
    assert f"pushed to lab/tiny@{repository.head}" in out
    files = repository.commits[repository.head]
    assert REAL_IMAGES in files and not [path for path in files if "/real-" in path]
    place = read_recipe(shelf["tiny"]).hub
    assert place is not None and place.id == "lab/tiny" and place.revision == repository.head
    assert place.content_hash == read_manifest(shelf["tiny"]).content_hash
    # What is there is the dataset, and a second push moves the note.
    assert resolve(f"lab/tiny@{repository.head}").identity.content_hash == place.content_hash
    assert call(capsys, "data", "push", "--all", "--namespace", "lab")[0] == 0
    again = read_recipe(shelf["tiny"]).hub
    assert again is not None and again.revision == repository.head != place.revision


def test_without_a_token_it_is_told_and_nothing_is_noted(
    hub: Any, shelf: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "data", "push", "--all", "--namespace", "lab")
    assert code == 1 and "needs a token" in err
    assert read_recipe(shelf["tiny"]).hub is None
    code, _, err = call(capsys, "data", "push", "--all")
    assert code == 2 and "Give --namespace" in err
    code, _, err = call(capsys, "data", "push", "--all", "tiny")
    assert code == 2 and "--all takes no NAME" in err
    code, _, err = call(capsys, "data", "push", "tiny")
    assert code == 2 and "Give NAME and --repo-id" in err
