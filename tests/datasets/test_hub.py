"""Push, pull, load and stream with the real clients over HTTP, against a local Hub."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from fpbench.datasets.build import build
from fpbench.datasets.card import read_manifest

REPOSITORY = "me/gm-tiny"


def _local_hub() -> ModuleType:
    path = Path(__file__).with_name("local_hub.py")
    spec = importlib.util.spec_from_file_location("local_hub", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules["local_hub"] = module
    spec.loader.exec_module(module)
    return module


local_hub = _local_hub()


@pytest.fixture
def hub() -> Iterator[Any]:
    with local_hub.LocalHub() as server:
        yield server


@pytest.fixture
def built(tiny_card: Path, tmp_path: Path) -> Path:
    card = (tiny_card / "README.md").read_text("utf-8")
    card = card.replace("pretty_name: Tiny", "pretty_name: Tiny\ntags: [fpbench]")
    (tiny_card / "README.md").write_text(card, "utf-8")
    return build(tiny_card, tmp_path / "built")


class Client:
    """Runs code in a fresh process, because the clients read their settings when imported."""

    def __init__(self, hub: Any, folder: Path) -> None:
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))},
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(folder / "hf"),
            "FPBENCH_CACHE": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, code: str, *arguments: str, token: str | None = None, **extra: str) -> str:
        environment = {**self._environment, **extra}
        if token is not None:
            environment["HF_TOKEN"] = token
        script = (
            "import sys\n"
            "from fpbench.errors import BadInput\n"
            "from pathlib import Path\n"
            "def main():\n"
            + "".join(f"    {line}\n" for line in code.strip().splitlines())
            + "try:\n    main()\n"
            "except BadInput as error:\n    print('BadInput:', error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push(self, folder: Path, token: str | None = local_hub.TOKEN) -> str:
        return self.run(PUSH, str(folder), token=token)


PUSH = f"""
from fpbench.datasets.publish import push
print(push(Path(sys.argv[1]), {REPOSITORY!r}).commit)
"""
LOAD = """
from fpbench.datasets.load import load
dataset = load(sys.argv[1], offline=len(sys.argv) > 2)
print(dataset.identity.revision, dataset.identity.content_hash, len(dataset.test))
"""


@pytest.fixture
def client(hub: Any, tmp_path: Path) -> Client:
    return Client(hub, tmp_path / "home")


def test_what_is_pushed_loads_in_a_fresh_process(hub: Any, built: Path, client: Client) -> None:
    commit = client.push(built)
    assert commit == hub.repositories[REPOSITORY].head
    loaded = client.run(LOAD, REPOSITORY).split()
    assert loaded == [commit, read_manifest(built).content_hash, "48"]
    assert not hub.unknown


def test_identity_fetches_the_manifest_alone(hub: Any, built: Path, client: Client) -> None:
    client.push(built)
    hub.requests.clear()
    code = "from fpbench.datasets.load import identify\nprint(identify(sys.argv[1]).content_hash)"
    assert client.run(code, REPOSITORY) == read_manifest(built).content_hash
    assert not any(".parquet" in request for request in hub.requests)


def test_a_revision_stays_what_it_was(
    hub: Any, built: Path, tiny_card: Path, client: Client
) -> None:
    first = client.push(built)
    before = read_manifest(built).content_hash
    build(tiny_card, built, sources=["gan-a"])
    second = client.push(built)
    assert first != second
    assert client.run(LOAD, f"{REPOSITORY}@{first}").split()[:2] == [first, before]
    assert client.run(LOAD, REPOSITORY).split()[2] == "32"
    # Data files of the source that is gone are deleted.
    assert not any("vae-b" in path for path in hub.repositories[REPOSITORY].commits[second])


def test_once_loaded_it_loads_offline(hub: Any, built: Path, client: Client) -> None:
    client.push(built)
    online = client.run(LOAD, REPOSITORY)
    hub.requests.clear()
    assert client.run(LOAD, REPOSITORY, "offline") == online
    assert client.run(LOAD, REPOSITORY, HF_HUB_OFFLINE="1") == online
    assert hub.requests == []


def test_plain_datasets_loads_and_streams_it(hub: Any, built: Path, client: Client) -> None:
    client.push(built)
    code = """
import datasets
whole = datasets.load_dataset(sys.argv[1])
stream = datasets.load_dataset(sys.argv[1], split="test", streaming=True)
rows = list(stream)
print({split: len(part) for split, part in whole.items()} == {
    "reference": 24, "train": 30, "validation": 12, "test": 48})
print([row["id"] for row in rows] == whole["test"]["id"], rows[0]["image"].size)
"""
    assert client.run(code, REPOSITORY).splitlines() == ["True", "True (16, 16)"]


def test_the_card_on_the_hub_is_corrected(hub: Any, built: Path, client: Client) -> None:
    commit = client.push(built)
    files = hub.repositories[REPOSITORY].commits[commit]
    block = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert block["size_categories"] == ["n<1K"]
    assert [one["split"] for one in block["configs"][0]["data_files"]] == [
        "reference",
        "train",
        "validation",
        "test",
    ]
    evaluation = yaml.safe_load(files["eval.yaml"])
    assert evaluation["tasks"] == [{"id": "attribution", "config": "default", "split": "test"}]
    assert {"recipe.yaml", "sources.yaml", "manifest.json", "contact/gan-a.png"} <= set(files)
    assert not any(".build" in path for path in files)


def test_real_images_that_may_not_be_published_stay_here(
    hub: Any, tiny_card: Path, tmp_path: Path, edit_yaml: Any, client: Client
) -> None:
    def change(document: dict[str, Any]) -> None:
        document["real"]["published"] = False
        for part in ("seen", "unseen"):
            document["real"][part]["path"] = str(tiny_card / "pictures" / part)

    edit_yaml(tiny_card / "recipe.yaml", change)
    text = (tiny_card / "README.md").read_text("utf-8")
    (tiny_card / "README.md").write_text(text.replace("license:", "tags: [x]\nlicense:"), "utf-8")
    built = build(tiny_card, tmp_path / "built")
    commit = client.push(built)
    files = hub.repositories[REPOSITORY].commits[commit]
    assert not any("real-0" in path or path == "contact/real.png" for path in files)
    block = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    splits = [one["split"] for one in block["configs"][0]["data_files"]]
    assert splits == ["train", "validation", "test"]
    # The one who loads it has the originals at the recipe's path.
    assert client.run(LOAD, REPOSITORY).split() == [
        commit,
        read_manifest(built).content_hash,
        "48",
    ]


def test_pull_checks_every_file(hub: Any, built: Path, client: Client, tmp_path: Path) -> None:
    commit = client.push(built)
    code = """
from fpbench.datasets.publish import pull
print(pull(sys.argv[1], Path(sys.argv[2])))
"""
    out = tmp_path / "pulled"
    assert commit in client.run(code, REPOSITORY, str(out))
    assert client.run(LOAD, str(out)).split()[1] == read_manifest(built).content_hash
    files = hub.repositories[REPOSITORY].commits[commit]
    path = "data/test/gan-a-00000-of-00001.parquet"
    files = {**files, path: files[path][:-1] + b"x"}
    broken = hub.repositories[REPOSITORY].commit(files)
    told = client.run(code, f"{REPOSITORY}@{broken}", str(tmp_path / "other"))
    assert told.startswith("BadInput:") and "checksum differs" in told and path in told
    assert not (tmp_path / "other").exists()
    assert "is not the file that was built" in client.run(LOAD, f"{REPOSITORY}@{broken}")


@pytest.mark.parametrize(
    ("prepare", "reference", "message"),
    [
        ("nothing", "me/nothing", "The Hub has no dataset me/nothing, or it is private"),
        ("gated", REPOSITORY, "is gated: accept its terms"),
        ("foreign", REPOSITORY, "has no manifest.json, so fpbench did not build it"),
        ("whole", f"{REPOSITORY}@0123456", "has no revision '0123456'"),
    ],
)
def test_what_cannot_be_had_is_told_apart(
    hub: Any, built: Path, client: Client, prepare: str, reference: str, message: str
) -> None:
    if prepare in ("gated", "whole"):
        client.push(built)
        hub.repositories[REPOSITORY].gated = prepare == "gated"
    if prepare == "foreign":
        hub.repositories[REPOSITORY] = local_hub.Repository()
        hub.repositories[REPOSITORY].commit({"README.md": b"# Something else\n"})
    told = client.run(LOAD, reference)
    assert told.startswith("BadInput:") and message in told


def test_no_network_names_the_repository_and_the_remedy(hub: Any, client: Client) -> None:
    told = client.run(LOAD, "me/far", HF_ENDPOINT="http://127.0.0.1:9")
    assert told.startswith("BadInput: The Hub dataset me/far is not in the local cache")
    assert "fpbench data pull me/far" in told and "pass its folder" in told
    assert "me/far" in client.run(LOAD, "me/far", "offline")


def test_pushing_needs_a_token_that_may_write(hub: Any, built: Path, client: Client) -> None:
    assert "needs a token" in client.push(built, token=None)
    told = client.push(built, token="hf_wrong")  # noqa: S106
    assert told.startswith("BadInput:") and "log in" in told
    assert "hf_wrong" not in told
    assert REPOSITORY not in hub.repositories


def test_only_a_whole_dataset_is_pushed(hub: Any, built: Path, client: Client) -> None:
    path = built / "data" / "test" / "gan-a-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    assert "is not the file that was built" in client.push(built)
    text = (built / "README.md").read_text("utf-8")
    (built / "README.md").write_text(text.replace("license: cc0-1.0\n", ""), "utf-8")
    path.write_bytes(path.read_bytes()[:-1])
    assert "field license of the YAML block is missing" in client.push(built)
    assert json.dumps(hub.repositories) == "{}"
