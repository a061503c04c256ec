"""Any Hub dataset with a label column, over HTTP from a local Hub: labels first, then few bytes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from fpbench.cli.main import entry
from fpbench.datasets.downloads import asking
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput


def _module(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


local_hub, sets = _module("local_hub"), _module("labelled_sets")
NAME = "me/gens"
PAGE = b"""---
license: mit
configs:
- config_name: default
  data_files:
  - {split: train, path: data/train-*}
  - {split: test, path: data/test-*}
---
# Generators
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    patient = asking.Patience(tries=3, first=0.01, longest=0.1, timeout=10)
    monkeypatch.setattr(asking, "Patience", lambda: patient)
    with local_hub.LocalHub() as server, sets.asked(server, tmp_path / "hf", monkeypatch):
        yield server


@pytest.fixture
def repository(hub: Any) -> Any:
    files = {
        "README.md": PAGE,
        "data/train-00000-of-00002.parquet": sets.labelled(["Real", "a", "b"], 30, 0),
        "data/train-00001-of-00002.parquet": sets.labelled(["Real", "a", "b"], 30, 1),
        "data/test-00000-of-00001.parquet": sets.labelled(["Real", "a", "b"], 20, 2),
    }
    return sets.add(hub, local_hub, NAME, files)


def test_a_hub_dataset_is_run_by_its_columns(hub: Any, repository: Any) -> None:
    found = resolve(f"hub:{NAME}?image=image&label=label&real=Real")
    assert found.identity.name == NAME and found.identity.commit == repository.head
    assert "split as the dataset is (test from test, train from train)" in found.brought
    dataset = found.load()
    assert dataset.identity == found.identity
    assert [source.name for source in dataset.sources] == ["real", "a", "b"]
    assert np.bincount(dataset.test.labels).tolist() == [20, 20, 20]
    assert all(name.startswith("data/test-") for name in dataset.test.ids)
    assert len(dataset.reference) == 24 and set(dataset.reference.labels) == {0}
    # The client of the Hub asks who runs it, whatever it is set to.
    assert not [page for page in hub.unknown if "agent-harnesses" not in page]
    # Everything is here now: nothing more is asked for, and offline it is found.
    before = len(hub.requests)
    again = resolve(f"hub:{NAME}?image=image&label=label&real=Real", offline=True)
    assert again.identity == found.identity
    assert (again.load().test.pixels == dataset.test.pixels).all()
    assert len(hub.requests) == before
    # Nor is anything else needed where the Hub does not answer.
    hub.failing = (503, {})
    assert resolve(f"hub:{NAME}?image=image&label=label&real=Real").identity == found.identity
    hub.failing, repository.private = None, True
    with pytest.raises(BadInput, match="or it is private"):
        resolve(f"hub:{NAME}?image=image&label=label&real=Real")


def test_identity_needs_no_image(hub: Any) -> None:
    data = sets.labelled(["Real", "a", "b"], 60, size=(80, 80))
    sets.add(hub, local_hub, NAME, {"data.parquet": data})
    found = resolve(f"hub:{NAME}?real=Real")
    assert hub.sent < 0.2 * len(data)
    assert found.load().train.pixels.shape[1:] == (80, 80, 3)
    assert hub.sent < 1.2 * len(data)


def test_another_page_is_the_same_job_and_other_images_are_not(hub: Any, repository: Any) -> None:
    before = resolve(f"hub:{NAME}?real=Real").identity
    files = dict(repository.commits[repository.head])
    repository.commit({**files, "README.md": PAGE + b"More words.\n"})
    after = resolve(f"hub:{NAME}?real=Real").identity
    assert after.commit != before.commit
    assert (after.content_hash, after.digest) == (before.content_hash, before.digest)
    files["data/train-00000-of-00002.parquet"] = sets.labelled(["Real", "a", "b"], 30, 7)
    repository.commit(files)
    assert resolve(f"hub:{NAME}?real=Real").identity.content_hash != before.content_hash
    # The first commit stays what it was.
    assert resolve(f"hub:{NAME}@{before.commit}?real=Real").identity == before


def test_a_local_copy_is_the_same_dataset(hub: Any, repository: Any, tmp_path: Path) -> None:
    for path, data in repository.commits[repository.head].items():
        target = tmp_path / "copy" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    here = resolve(f"{tmp_path / 'copy'}?label=label&real=Real").identity
    assert here.content_hash == resolve(f"hub:{NAME}?real=Real").identity.content_hash


def test_a_cut_download_goes_on(hub: Any, repository: Any) -> None:
    whole = resolve(f"hub:{NAME}?real=Real&images=0")
    hub.cut = 5
    assert len(whole.load().train) > 0 and hub.cut == 0


def test_a_stopped_download_takes_up_what_is_here(
    hub: Any, repository: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fpbench.datasets.labelled.parquet_table import ParquetTable

    found = resolve(f"hub:{NAME}?real=Real&images=0")
    read, left = ParquetTable.read, [4]

    def stops(self: Any, block: int, inner: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise BadInput("stopped")
        return read(self, block, inner)

    with monkeypatch.context() as patch:
        patch.setattr(ParquetTable, "read", stops)
        with pytest.raises(BadInput, match="stopped"):
            found.load()
    kept = {path.name for path in (found._folder).glob("*.pack")}  # type: ignore[attr-defined]
    assert 1 <= len(kept) <= 4
    asked_for: list[int] = []

    def noted(self: Any, block: int, inner: Any) -> Any:
        asked_for.append(block)
        return read(self, block, inner)

    monkeypatch.setattr(ParquetTable, "read", noted)
    resolve(f"hub:{NAME}?real=Real&images=0").load()
    assert asked_for and not {f"{block:06d}.pack" for block in asked_for} & kept


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (429, "asked too often .*status 429"),
        (503, "out of order .*status 503"),
        (403, "refuses access .*status 403"),
    ],
)
def test_refusals_are_told_as_what_they_are(
    hub: Any, repository: Any, monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    hub.failing = (status, {})
    with pytest.raises(BadInput, match=told):
        resolve(f"hub:{NAME}?real=Real")


@pytest.mark.parametrize(("status", "told"), [(429, "429"), (503, "503"), (403, "403")])
def test_refusals_half_way_are_told_too(hub: Any, repository: Any, status: int, told: str) -> None:
    found = resolve(f"hub:{NAME}?real=Real")
    hub.failing = (status, {})
    with pytest.raises(BadInput, match=rf"status {told}"):
        found.load()
    hub.failing = None
    assert len(resolve(f"hub:{NAME}?real=Real").load().test) == 60


def test_a_gated_or_private_dataset_says_how_to_log_in(hub: Any, repository: Any) -> None:
    repository.gated = True
    with pytest.raises(BadInput, match=r"is gated: accept its terms .* `hf auth login`"):
        resolve(f"hub:{NAME}?real=Real")
    repository.gated, repository.private = False, True
    with pytest.raises(BadInput, match=r"or it is private .*`hf auth login`, or HF_TOKEN"):
        resolve(f"hub:{NAME}?real=Real")


def test_a_renamed_dataset_has_the_name_that_the_hub_answers_with(
    hub: Any, repository: Any
) -> None:
    hub.repositories["me/new"] = hub.repositories.pop(NAME)
    hub.renamed[NAME] = "me/new"
    found = resolve(f"hub:{NAME}?real=Real")
    assert found.identity.name == "me/new"
    assert len(found.load().test) == 60


def test_a_revision_that_is_gone_is_told(hub: Any, repository: Any) -> None:
    with pytest.raises(BadInput, match="has no revision 'v9'"):
        resolve(f"hub:{NAME}@v9?real=Real")


def test_offline_says_what_is_missing(hub: Any, repository: Any) -> None:
    with pytest.raises(BadInput, match="may not be asked for me/gens"):
        resolve(f"hub:{NAME}?real=Real", offline=True)
    resolve(f"hub:{NAME}?real=Real")
    known = resolve(f"hub:{NAME}?real=Real", offline=True)
    with pytest.raises(BadInput, match="would have to be read from the Hub, which offline"):
        known.load()


def test_image_files_and_csv_on_the_hub(hub: Any) -> None:
    images = {
        f"{split}/{label}/{index}.png": data
        for number, (split, label) in enumerate(
            [(s, n) for s in ("train", "test") for n in ("Real", "a")]
        )
        for index, data in enumerate(sets.encoded(24, number))
    }
    sets.add(hub, local_hub, "me/folder", images)
    dataset = resolve("hub:me/folder?real=Real").load()
    assert [s.name for s in dataset.sources] == ["real", "a"] and len(dataset.test) == 48
    lines = [f"{path},{path.split('/')[1]},{path.split('/')[0]}" for path in images]
    table = "\n".join(["file_name,label,split", *lines]).encode()
    sets.add(hub, local_hub, "me/table", {**images, "metadata.csv": table})
    other = resolve("hub:me/table?real=Real").load()
    pixels = dict(zip(dataset.test.ids.tolist(), dataset.test.pixels, strict=True))
    assert set(pixels) == set(other.test.ids.tolist())
    for name, image in zip(other.test.ids.tolist(), other.test.pixels, strict=True):
        assert (pixels[name] == image).all()
    bad = table.replace(b"train/Real/0.png", b"train/Real/x.png")
    sets.add(hub, local_hub, "me/bad", {**images, "metadata.csv": bad})
    with pytest.raises(BadInput, match=r"'train/Real/x\.png', which line 2 .* is not in me/bad"):
        resolve("hub:me/bad?real=Real")


def test_a_choice_of_configurations_is_asked_for(hub: Any) -> None:
    page = b"""---
configs:
- config_name: arch
  data_files: arch.parquet
- config_name: gen
  data_files: [{split: train, path: ["gen*.parquet"]}]
---
"""
    files = {"README.md": page, "arch.parquet": sets.labelled(["x", "y"], 40),
             "gen-0.parquet": sets.labelled(["p", "q"], 40, 3)}  # fmt: skip
    sets.add(hub, local_hub, NAME, files)
    with pytest.raises(BadInput, match=r"several configurations; choose .*: arch, gen"):
        resolve(f"hub:{NAME}")
    with pytest.raises(BadInput, match="no configuration 'x'; it has: arch, gen"):
        resolve(f"hub:{NAME}?config=x")
    assert [s.name for s in resolve(f"hub:{NAME}?config=gen").description.sources] == ["p", "q"]


def test_a_card_is_written_and_runs(
    hub: Any,
    repository: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["data", "new", "gens", "--from", f"hub:{NAME}", "--label", "label", "--real", "Real"]
    words += ["--images", "50", "--out", str(tmp_path / "cards" / "gens")]
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert end.value.code == 0, err
    assert "sources  real, a, b" in out and "run --method prnu" in out
    folder = tmp_path / "cards" / "gens"
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text("utf-8"))
    assert recipe["labelled"]["revision"] == repository.head
    assert recipe["labelled"]["sources"] == {"a": ["a"], "b": ["b"]}
    assert "license: mit" in (folder / "README.md").read_text("utf-8")
    asked = resolve(f"hub:{NAME}?label=label&real=Real&images=50").identity
    assert resolve(str(folder)).identity.content_hash == asked.content_hash
    monkeypatch.setenv("FPBENCH_CARDS", str(tmp_path / "cards"))
    assert resolve("gens").identity.name == "gens"
    # A label that comes later has no source, and is not taken in silence.
    (folder / "recipe.yaml").write_text(
        (folder / "recipe.yaml").read_text("utf-8").replace("    b:\n    - b\n", ""), "utf-8"
    )
    with pytest.raises(BadInput, match="labels without a source: 'b'"):
        resolve(str(folder))
    for more, told in (
        ([*words[:2], "other", *words[3:]], "exists already"),
        ([*words[:2], "Gens", *words[3:]], "is no name"),
        ([*words[:2], "gm-mini", *words[3:]], "a card 'gm-mini' already"),
    ):
        with pytest.raises(SystemExit) as end:
            entry(more)
        assert end.value.code == 2 and told in capsys.readouterr().err


def test_a_csv_of_addresses(hub: Any, tmp_path: Path) -> None:
    images = {
        f"{name}/{index}.png": data
        for number, name in enumerate("ab")
        for index, data in enumerate(sets.encoded(34, number))
    }
    sets.add(hub, local_hub, "me/plain", images)
    base = f"{hub.url}/datasets/me/plain/resolve/main"
    lines = ["url,label", *(f"{base}/{path},{path[0]}" for path in images)]
    (tmp_path / "list.csv").write_text("\n".join(lines), "utf-8")
    found = resolve(str(tmp_path / "list.csv"))
    dataset = found.load()
    assert len(dataset.train) == 34 and str(dataset.train.ids[0]).startswith("http://")
    before = len(hub.requests)
    assert resolve(str(tmp_path / "list.csv")).load().identity == found.identity
    assert len(hub.requests) == before
    (tmp_path / "list.csv").write_text("\n".join([*lines[:-1], f"{base}/b/none.png,b"]), "utf-8")
    with pytest.raises(BadInput, match=r"b/none\.png is not there \(status 404\)"):
        resolve(str(tmp_path / "list.csv")).load()
    (tmp_path / "list.csv").write_text(f"url,label\nhttp://x/../y.png,a\n{lines[1]}", "utf-8")
    with pytest.raises(BadInput, match="leads out of its folder"):
        resolve(str(tmp_path / "list.csv"))
