"""Push, pull, load and stream with the real clients over HTTP, against a local Hub."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from fpbench.datasets import hub as hubs
from fpbench.datasets.build import build
from fpbench.datasets.card import read_manifest
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput

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
        """What the code prints; the client's warnings, e.g. that it asks again, are a failure."""
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
        assert "Retrying" not in done.stderr
        return done.stdout.strip()

    def identity(self, *arguments: str) -> dict[str, str]:
        """The identity that a reference is resolved to."""
        found: dict[str, str] = json.loads(self.run(IDENTITY, *arguments))
        return found

    def push(self, folder: Path, token: str | None = local_hub.TOKEN) -> str:
        return self.run(PUSH, str(folder), token=token)


PUSH = f"""
from fpbench.datasets.publish import push
print(push(Path(sys.argv[1]), {REPOSITORY!r}).commit)
"""
IDENTITY = """
import json
from dataclasses import asdict
from fpbench.datasets.resolve import resolve
print(json.dumps(asdict(resolve(sys.argv[1], offline=len(sys.argv) > 2).identity)))
"""
LOAD = """
from fpbench.datasets.resolve import resolve
dataset = resolve(sys.argv[1], offline=len(sys.argv) > 2).load()
print(dataset.identity.commit, dataset.identity.content_hash, len(dataset.test))
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


def test_a_name_is_had_from_the_repository_that_its_card_names(
    hub: Any, built: Path, client: Client, tiny_card: Path, tmp_path: Path
) -> None:
    commit = client.push(built)
    cards = tmp_path / "cards"
    shutil.copytree(tiny_card, cards / "tiny", ignore=shutil.ignore_patterns("pictures"))
    recipe = cards / "tiny" / "recipe.yaml"
    place = {"id": REPOSITORY.replace("me/", "lab/"), "revision": "0" * 40}
    place["content_hash"] = read_manifest(built).content_hash
    document = yaml.safe_load(recipe.read_text("utf-8"))
    recipe.write_text(yaml.safe_dump(document | {"hub": place}), "utf-8")
    own = {"FPBENCH_CARDS": str(cards), "FPBENCH_HUB_NAMESPACE": "me"}
    told = client.run(LOAD, "tiny", **own).split()
    assert told == [commit, place["content_hash"], "48"]
    told = client.run(LOAD, "tiny", FPBENCH_CARDS=str(cards))
    assert told.startswith("BadInput:") and "lab/gm-tiny" in told and "(3)" in told


def test_identity_fetches_the_manifest_alone(hub: Any, built: Path, client: Client) -> None:
    client.push(built)
    hub.requests.clear()
    manifest = read_manifest(built)
    found = client.identity(REPOSITORY)
    assert (found["content_hash"], found["revision"]) == (manifest.content_hash, manifest.revision)
    assert found["digest"] == resolve(str(built)).identity.digest
    assert not any(".parquet" in request for request in hub.requests)


def test_a_new_page_is_the_same_dataset(hub: Any, built: Path, client: Client) -> None:
    client.push(built)
    before = client.identity(REPOSITORY)
    repository = hub.repositories[REPOSITORY]
    files = {**repository.commits[repository.head], "README.md": b"# Another page\n"}
    repository.commit(files)
    after = client.identity(REPOSITORY)
    assert after["commit"] == repository.head != before["commit"]
    assert {**after, "commit": ""} == {**before, "commit": ""}


def test_a_renamed_dataset_takes_the_name_the_hub_answers_with(
    hub: Any, built: Path, client: Client
) -> None:
    client.push(built)
    hub.repositories["us/gm-small"] = hub.repositories.pop(REPOSITORY)
    hub.renamed[REPOSITORY] = "us/gm-small"
    assert client.identity(REPOSITORY)["name"] == "us/gm-small"
    assert client.run(LOAD, REPOSITORY).split()[2] == "48"
    assert client.identity(REPOSITORY, "offline") == client.identity("us/gm-small")
    assert not hub.unknown


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (429, {"Retry-After": "60"}, "was asked too often and does not answer for me/gm-tiny"),
        (503, {}, "is out of order and failed on me/gm-tiny (status 503)"),
        (500, {}, "is out of order and failed on me/gm-tiny (status 500)"),
        (403, {}, "refuses access to me/gm-tiny (status 403)"),
    ],
)
def test_what_the_hub_says_is_told_and_what_is_here_is_taken(
    hub: Any, built: Path, client: Client, status: int, headers: dict[str, str], message: str
) -> None:
    client.push(built)
    hub.failing = (status, headers)
    hub.requests.clear()
    told = client.run(LOAD, REPOSITORY)
    assert told.startswith("BadInput:") and message in told and "no network" not in told
    # A client that waits and asks again would take minutes.
    assert len(hub.requests) == 1
    hub.failing = None
    before = client.run(LOAD, REPOSITORY)
    hub.failing = (status, headers)
    assert client.run(LOAD, REPOSITORY) == before


def test_a_commit_that_is_here_is_not_asked_for(hub: Any, built: Path, client: Client) -> None:
    commit = client.push(built)
    online = client.run(LOAD, f"{REPOSITORY}@{commit}")
    hub.requests.clear()
    assert client.run(LOAD, f"{REPOSITORY}@{commit}") == online
    assert hub.requests == []


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
    for reference in ("me/far", f"me/far@{'0' * 40}"):
        told = client.run(LOAD, reference, HF_ENDPOINT="http://127.0.0.1:9")
        assert told.startswith("BadInput: The Hub cannot be reached for the dataset me/far")
        assert "pass its folder" in told
    told = client.run(LOAD, "me/far", "offline")
    assert told.startswith("BadInput: The Hub dataset me/far is not in the local cache")
    assert "fpbench data pull me/far" in told


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


def test_offline_the_hub_is_not_asked_for_real_images_either(
    hub: Any, tiny_card: Path, tmp_path: Path, edit_yaml: Any, client: Client
) -> None:
    """Real images that may not be published, had from another dataset on the Hub."""
    pictures = tiny_card / "pictures"
    rows = [{"bytes": path.read_bytes()} for path in sorted((pictures / "seen").iterdir())]
    rows += [{"bytes": path.read_bytes()} for path in sorted((pictures / "unseen").iterdir())]
    pq.write_table(pa.table({"image": rows}), tmp_path / "faces.parquet")
    faces = local_hub.Repository()
    faces.commit({"faces.parquet": (tmp_path / "faces.parquet").read_bytes()})
    hub.repositories["them/faces"] = faces

    def change(document: dict[str, Any]) -> None:
        origin = {"kind": "parquet", "hub": {"id": "them/faces", "files": ["faces.parquet"]}}
        document["real"] = {"published": False, "seen": origin}

    edit_yaml(tiny_card / "recipe.yaml", change)
    build_it = """
from fpbench.datasets.build import build
build(sys.argv[1], Path(sys.argv[2]), offline=len(sys.argv) > 3)
"""
    told = client.run(build_it, str(tiny_card), str(tmp_path / "built"), "offline")
    assert told.startswith("BadInput: The Hub dataset them/faces is not in the local cache")
    assert hub.requests == []
    client.run(build_it, str(tiny_card), str(tmp_path / "built"))
    shutil.rmtree(tmp_path / "built" / ".build")
    for path in (tmp_path / "built" / "data").glob("*/real-*.parquet"):
        path.unlink()
    hub.requests.clear()
    away = {"HF_HOME": str(tmp_path / "empty")}
    told = client.run(LOAD, str(tmp_path / "built"), "offline", **away)
    assert told.startswith("BadInput: The Hub dataset them/faces is not in the local cache")
    assert client.run(LOAD, str(tmp_path / "built"), "offline").split()[2] == "48"
    assert hub.requests == []
    assert client.run(LOAD, str(tmp_path / "built"), **away).split()[2] == "48"
    assert hub.requests == []  # The first load put them into the cache.


def test_a_look_up_ends_in_time() -> None:
    """Looking up the name of a host may take as long as the system likes."""
    stop = threading.Event()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.01 s"):
        hubs._within(0.01, stop.wait)
    stop.set()
    assert hubs._within(60, lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        hubs._within(60, lambda: 1 // 0)


def test_a_full_cache_of_the_hub_is_told() -> None:
    with pytest.raises(BadInput, match=r"me/mine cannot be written to the Hub's cache \(No space"):
        with hubs.told("me/mine"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_pulled_replaces_nothing_and_leaves_no_half(
    hub: Any, built: Path, client: Client, tmp_path: Path
) -> None:
    client.push(built)
    code = """
from fpbench.datasets.publish import pull
print(pull(sys.argv[1], Path(sys.argv[2])))
"""
    for name in ("README.md", ".gitattributes"):
        mine = tmp_path / f"mine-{name}"
        mine.mkdir()
        (mine / name).write_text("mine")
        told = client.run(code, REPOSITORY, str(mine))
        assert told.startswith("BadInput:") and f"{name} was not made by fpbench" in told
        assert [path.read_text() for path in mine.iterdir()] == ["mine"]
    failing = """
import errno, shutil
from fpbench.datasets import publish
original, left = shutil.copyfileobj, [4]
def full(source, target):
    left[0] -= 1
    if left[0] == 0:
        raise OSError(errno.ENOSPC, "No space left on device")
    original(source, target)
shutil.copyfileobj = full
publish.pull(sys.argv[1], Path(sys.argv[2]))
"""
    told = client.run(failing, REPOSITORY, str(tmp_path / "new" / "deep"))
    assert told.startswith("BadInput: Cannot write") and "No space left on device" in told
    assert not (tmp_path / "new").exists()
    assert client.run(code, REPOSITORY, str(tmp_path / "new" / "deep"))
    # Pulled again, it stays what it is.
    told = client.run(failing, REPOSITORY, str(tmp_path / "new" / "deep"))
    assert told.startswith("BadInput: Cannot write")
    assert client.run(LOAD, str(tmp_path / "new" / "deep")).split()[2] == "48"
