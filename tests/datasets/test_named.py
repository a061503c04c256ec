"""A card's name leads to a build that is here, to the Hub, or to a build made now."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import fpbench
from fpbench.cli.main import entry
from fpbench.datasets import named as named_datasets
from fpbench.datasets.build import build
from fpbench.datasets.card import build_place, local_build, read_manifest
from fpbench.datasets.downloads.fetch import fetch
from fpbench.datasets.hub import Snapshot
from fpbench.datasets.named import Work, building, work_of
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.registry import card_folders, recipe_file

FAR = "https://files.invalid/project@c0ffee/"
Make = Callable[..., np.ndarray]


@pytest.fixture
def named(
    tiny_card: Path,
    tmp_path: Path,
    file_server: Any,
    different_images: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The card ``tiny``, found by name, whose images of one source are on the file server."""
    card = tmp_path / "cards" / "tiny"
    card.parent.mkdir()
    shutil.move(tiny_card, card)
    lines = ["url\tsha256\tbytes"]
    for index, image in enumerate(different_images(30, 60)):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        data = buffer.getvalue()
        file_server.files[f"/{index}.png"] = data
        lines.append(f"{FAR}{index}.png\t{hashlib.sha256(data).hexdigest()}\t{len(data)}")
    (card / "origins").mkdir()
    (card / "origins" / "a.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    edit(card, lambda d: d["sources"].update(
        {"gan-a": {"kind": "files", "manifest": "origins/a.tsv"}}))  # fmt: skip
    monkeypatch.setenv("FPBENCH_CARDS", str(card.parent))
    monkeypatch.setenv("FPBENCH_MIRROR", f"{FAR}={file_server.url}/")
    monkeypatch.delenv("FPBENCH_SHARED_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return card


def edit(card: Path, change: Callable[[dict[str, Any]], Any], file: str = "recipe.yaml") -> None:
    document = yaml.safe_load((card / file).read_text("utf-8"))
    change(document)
    (card / file).write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


@dataclass(frozen=True)
class Ended:
    """What a command came to."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Calls the command line within this process."""

    def called(*words: str) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            entry(list(words))
        out, err = capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return called


RUN = ("run", "--method", "majority", "--dataset", "tiny", "--no-figures")


def test_what_it_takes_is_said_before_anything_is_asked_for(named: Path, file_server: Any) -> None:
    work = work_of("tiny")
    assert (len(work.files.files), work.hub, work.made, work.is_light) == (30, (), (), False)
    told = str(work)
    assert "30 files (" in told and str(build_place("tiny")) in told
    assert file_server.url.removeprefix("http://") in told
    with pytest.raises(BadInput) as refused:
        resolve("tiny")
    message = str(refused.value)
    # All three ways, and what each met.
    assert "(1) It is not built here" in message
    assert "(2) Its card names no copy on the Hub" in message
    assert "(3) From its recipe:" in message and "30 files" in message and "--build" in message
    assert not file_server.requests


def test_a_name_is_built_where_agreed_and_found_from_then_on(named: Path, file_server: Any) -> None:
    asked: list[Work] = []
    with building(lambda work: bool(asked.append(work)) or True):
        found = resolve("tiny")
        assert resolve("tiny").identity == found.identity
    assert len(asked) == 1 and len(file_server.requests) == 30
    assert found.identity.name == "tiny"
    assert local_build("tiny") == build_place("tiny")
    assert resolve("tiny", offline=True).load().identity == found.identity
    # Another recipe is another build.
    edit(named, lambda d: d.update(seed=7))
    with pytest.raises(BadInput, match=r"\(3\)"):
        resolve("tiny")


def test_offline_says_what_is_missing_and_builds_from_what_is_here(
    named: Path, file_server: Any
) -> None:
    with building(lambda _: True), pytest.raises(BadInput) as refused:
        resolve("tiny", offline=True)
    message = str(refused.value)
    assert "30 files" in message and f"{FAR}0.png" in message and "offline mode" in message
    assert not file_server.requests
    work = work_of("tiny")
    fetch(work.files.files)
    assert work_of("tiny").is_light
    with building(lambda work: work.is_light):
        assert resolve("tiny", offline=True).load().identity.name == "tiny"


def test_a_build_that_fails_is_told_as_the_third_way(
    named: Path, file_server: Any, fault: Any
) -> None:
    file_server.faults["/3.png"] = [fault(status=404)]
    with building(lambda _: True), pytest.raises(BadInput) as refused:
        resolve("tiny")
    assert "(3) Building it from its recipe failed" in str(refused.value)
    assert "3.png is not there (status 404)" in str(refused.value)
    assert not build_place("tiny").exists()


def test_the_command_runs_from_nothing_to_the_table(
    named: Path, file_server: Any, call: Callable[..., Ended]
) -> None:
    done = call(*RUN, "--build")
    assert done.code == 0, done.stderr
    assert "30 files" in done.stderr and "are downloaded" in done.stderr
    assert "accuracy, generators only" in done.stdout
    again = call(*RUN, "--offline")
    assert again.code == 0 and "are downloaded" not in again.stderr


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_without_agreement_the_command_ends_with_the_three_ways(
    named: Path, file_server: Any, call: Callable[..., Ended], extra: list[str]
) -> None:
    done = call(*RUN, *extra)
    assert done.code == 2
    for way in ("(1)", "(2)", "(3)"):
        assert way in done.stderr
    assert not file_server.requests


@pytest.mark.parametrize("answer", [True, False])
def test_a_terminal_is_asked_but_not_for_json(
    named: Path,
    file_server: Any,
    call: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    answer: bool,
) -> None:
    from fpbench.cli import building as asking

    class Terminal:
        def isatty(self) -> bool:
            return True

    class Streams:
        stdin = stderr = Terminal()

    asked: list[str] = []

    def confirm(text: str, **_: Any) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr(asking, "sys", Streams)
    monkeypatch.setattr(asking.click, "confirm", confirm)
    silent = call(*RUN, "--json")
    assert silent.code == 2 and not asked
    done = call(*RUN)
    assert asked == ["Download and build it?"]
    assert done.code == (0 if answer else 2)
    assert "30 files" in done.stderr
    assert bool(file_server.requests) == answer


def test_the_library_builds_where_told_to(named: Path, file_server: Any) -> None:
    with pytest.raises(BadInput, match="build=True"):
        fpbench.load_dataset("tiny")
    with pytest.raises(BadInput, match="build=True"):
        fpbench.run("majority", "tiny", out="runs")
    (record,) = fpbench.run("majority", "tiny", out="runs", build=True, budget="smoke")
    assert record.status == "done"
    assert fpbench.load_dataset("tiny").identity.name == "tiny"


def test_other_ways_to_take_a_dataset_build_it_too(
    named: Path, file_server: Any, call: Callable[..., Ended]
) -> None:
    done = call("data", "audit", "tiny", "--build", "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["dataset"]["name"] == "tiny"
    for command in (["run"], ["transfer"], ["ablate"], ["fit"], ["data", "audit"]):
        assert "--build" in call(*command, "--help").stdout, command


def test_the_hub_comes_before_a_build_and_its_content_is_checked(
    named: Path, file_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub's own client is tried in ``test_hub.py``."""
    commit = "c" * 40
    copy = build(named, tmp_path / commit)
    content = read_manifest(copy).content_hash
    asked: list[tuple[str, str | None]] = []

    def had(repository: str, revision: str | None, *, offline: bool) -> Snapshot:
        asked.append((repository, revision))
        if repository.startswith("nobody/"):
            raise BadInput(f"The Hub has no dataset {repository}.")
        return Snapshot(repository, copy)

    monkeypatch.setattr(named_datasets, "fetch_description", had)
    place = {"id": "lab/tiny", "revision": commit, "content_hash": content}
    edit(named, lambda d: d.update(hub=place))
    requests = len(file_server.requests)
    found = resolve("tiny")
    # The job of a copy from the Hub is that of a build made here.
    assert (found.identity.name, found.identity.content_hash) == ("tiny", content)
    assert found.identity.commit == commit
    assert found.load().identity == found.identity
    monkeypatch.setenv("FPBENCH_HUB_NAMESPACE", "other")
    assert resolve("tiny").identity.content_hash == content
    edit(named, lambda d: d.update(hub=place | {"content_hash": "0" * 64}))
    with pytest.raises(BadInput, match=r"\(2\) The Hub: other/tiny holds other images"):
        resolve("tiny")
    monkeypatch.setenv("FPBENCH_HUB_NAMESPACE", "nobody")
    with pytest.raises(BadInput, match=r"\(2\) The Hub: The Hub has no dataset nobody/tiny"):
        resolve("tiny")
    # A commit belongs to its own repository.
    assert asked == [("lab/tiny", commit), ("other/tiny", None), ("other/tiny", None),
                     ("nobody/tiny", None)]  # fmt: skip
    edit(named, lambda d: d.pop("hub"))
    monkeypatch.setenv("FPBENCH_HUB_NAMESPACE", "lab")
    assert resolve("tiny").identity.content_hash == content
    assert asked[-1] == ("lab/tiny", None)
    assert len(file_server.requests) == requests


def test_further_recipes_are_datasets_of_their_own_name(
    named: Path, file_server: Any, call: Callable[..., Ended]
) -> None:
    shutil.copy(named / "recipe.yaml", named / "recipe-raw.yaml")
    edit(named, lambda d: d.update(name="tiny-raw", seed=3), "recipe-raw.yaml")
    # Of the same name: an earlier revision of the dataset itself.
    shutil.copy(named / "recipe.yaml", named / "recipe-first.yaml")
    assert card_folders()["tiny-raw"] == named and "tiny-first" not in card_folders()
    assert (recipe_file("tiny"), recipe_file("tiny-raw")) == ("recipe.yaml", "recipe-raw.yaml")
    with building(lambda _: True):
        raw, own = resolve("tiny-raw"), resolve("tiny")
    assert (raw.identity.name, own.identity.name) == ("tiny-raw", "tiny")
    assert raw.identity.content_hash != own.identity.content_hash
    assert build_place("tiny") != build_place("tiny-raw")
    assert "tiny-raw" in call("data", "list").stdout
    shown = call("data", "show", "tiny-raw").stdout
    assert shown.startswith("tiny-raw: ") and raw.identity.revision in shown


def test_a_card_without_anything_to_build_says_so() -> None:
    for name in ("gan4", "gm-chq"):
        if local_build(name) is None:
            with building(lambda _: False), pytest.raises(BadInput, match=r"\(3\)"):
                resolve(name)
