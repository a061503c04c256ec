"""The site on a static Space and submissions as pull requests, over HTTP with the real client."""

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fpbench.errors import BadInput
from fpbench.leaderboard.hub.publish import publish

LOCAL_HUB = Path(__file__).parents[1] / "datasets" / "local_hub.py"


def load_local_hub() -> Any:
    spec = importlib.util.spec_from_file_location("local_hub", LOCAL_HUB)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules["local_hub"] = module
    spec.loader.exec_module(module)
    return module


local_hub = load_local_hub()


class Hub(local_hub.LocalHub):  # type: ignore[misc]
    """The local Hub with Spaces, which answer as datasets do, and pull requests."""

    def __init__(self) -> None:
        super().__init__()
        self.pull_requests: list[dict[str, Any]] = []
        hub = self
        base = self._server.RequestHandlerClass

        class Handler(base):  # type: ignore[misc, valid-type]
            def _route(self) -> None:
                self.path = re.sub(r"^(/api)?/spaces/", r"\1/datasets/", self.path)
                super()._route()

            def commit(self, name: str, revision: str, **query: str) -> None:
                if query.get("create_pr") != "1":
                    super().commit(name, revision, **query)
                    return
                lines = [json.loads(line) for line in self._body().splitlines() if line.strip()]
                files = {}
                for line in lines[1:]:
                    value = line["value"]
                    files[value["path"]] = (
                        base64.b64decode(value["content"])
                        if line["key"] == "file"
                        else hub.objects[value["oid"]]
                    )
                hub.pull_requests.append({"header": lines[0]["value"], "files": files})
                url = f"{hub.url}/datasets/{name}"
                self._json(
                    {"success": True, "commitOid": "0" * 40, "commitUrl": f"{url}/commit/0",
                     "pullRequestUrl": f"{url}/discussions/1", "hookOutput": ""}
                )  # fmt: skip

        self._server.RequestHandlerClass = Handler


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield server


def command(hub: Hub, tmp_path: Path, *words: str, token: str | None = local_hub.TOKEN) -> Any:
    """Run fpbench in a fresh process, because the client reads its settings when imported."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "OMP_NUM_THREADS": "1",
    }
    if token is not None:
        environment["HF_TOKEN"] = token
    script = "from fpbench.cli.main import entry; entry()"
    return subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, env=environment
    )


def test_site_on_a_space(root: Path, add: Any, hub: Hub, tmp_path: Path) -> None:
    add(method="prnu")
    hub.repositories["me/boards"] = local_hub.Repository()
    hub.repositories["me/boards"].commit({"methods/gone.html": b"old", ".gitattributes": b""})
    done = command(
        hub, tmp_path, "leaderboard", "publish", "--root", str(root), "--to", "spaces/me/boards"
    )
    assert done.returncode == 0, done.stderr
    assert hub.unknown == []
    repository = hub.repositories["me/boards"]
    files = repository.commits[repository.head]
    assert "methods/gone.html" not in files
    for name in ("index.html", "methods/prnu.html", "static/site.js", ".gitattributes"):
        assert name in files
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["sdk"] == "static"
    assert front["app_file"] == "index.html"


def test_a_space_needs_a_token_that_may_write(
    root: Path, add: Any, hub: Hub, tmp_path: Path
) -> None:
    add(method="prnu")
    words = ("leaderboard", "publish", "--root", str(root), "--to", "hf://spaces/me/boards")
    for token, reason in ((None, "needs a token"), ("wrong", "refuses access")):
        done = command(hub, tmp_path, *words, token=token)
        assert done.returncode == 2
        assert reason in done.stderr
        assert "Traceback" not in done.stderr
    assert hub.repositories == {}


def test_errors_of_the_network_are_sentences() -> None:
    from huggingface_hub.utils import get_session

    from fpbench.hub import hub_errors

    with (
        pytest.raises(BadInput, match="cannot be reached for the Space me/boards"),
        hub_errors("Space", "me/boards"),
    ):
        get_session().get("http://127.0.0.1:9/")
    with pytest.raises(FileNotFoundError), hub_errors("Space", "me/boards"):
        Path("/nowhere/at/all").read_bytes()
    with (
        pytest.raises(BadInput, match="write OWNER/NAME"),
        hub_errors("Space", "a b"),
    ):
        from huggingface_hub import HfApi

        HfApi().repo_info("a b", repo_type="space")


def test_submission_as_a_pull_request(root: Path, make_run: Any, hub: Hub, tmp_path: Path) -> None:
    hub.repositories["me/results"] = local_hub.Repository()
    hub.repositories["me/results"].commit({".gitattributes": b""})
    runs = [make_run(method="yu", seed=seed) for seed in range(2)]
    done = command(
        hub, tmp_path, "submit", *(str(run) for run in runs), "--root", str(root),
        "--hub", "me/results", "--yes",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("/datasets/me/results/discussions/1")
    (request,) = hub.pull_requests
    assert request["header"]["summary"].startswith("Add results: yu:")
    assert not (root / "results").exists()
    for name, content in request["files"].items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    from fpbench.leaderboard.audit.check import check
    from fpbench.leaderboard.output.build import build

    build(root)
    assert check(root).problems == ()


def test_results_in_the_hubs_benchmark_format(root: Path, add: Any, tmp_path: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    add(method="prnu", dataset="gm-cifar10", content="cd" * 32)
    add(method="prnu", dataset="gm-cifar10", content="cd" * 32, seed=1)
    add(method="yu", variant="visnet", params={"k": 5}, dataset="gm-cifar10", content="cd" * 32)
    add(method="tiny", budget="smoke", dataset="gm-cifar10", content="cd" * 32)
    add(method="prnu", dataset="someone/gm-tiny")
    out = tmp_path / "site"
    address, problems = publish(
        root, str(out), ["gm-cifar10=me/gm-cifar10"], records_url="https://example.org/boards"
    )
    assert problems == ()
    assert address == str(out / "index.html")
    evaluation = yaml.safe_load((out / "hub" / "gm-cifar10" / "eval.yaml").read_text("utf-8"))
    assert set(evaluation) == {"name", "description", "evaluation_framework", "tasks"}
    (task,) = evaluation["tasks"]
    files = sorted((out / "hub" / "gm-cifar10").rglob("*.yaml"))
    assert [path.relative_to(out / "hub" / "gm-cifar10").as_posix() for path in files] == [
        "eval.yaml",
        "prnu/.eval_results/gm-cifar10-wavelet.yaml",
        f"yu/.eval_results/{files[2].name}",
    ]
    (entry,) = parse_eval_result_entries(yaml.safe_load(files[1].read_text("utf-8")))
    assert (entry.dataset_id, entry.task_id) == ("me/gm-cifar10", task["id"])
    assert 0.7 < entry.value < 0.9
    assert entry.notes == "variant wavelet, budget small, 2 seeds"
    assert entry.source_url.startswith("https://example.org/boards/results/gm-cifar10/prnu/")
    (other,) = parse_eval_result_entries(yaml.safe_load(files[2].read_text("utf-8")))
    assert other.notes == "variant visnet, k=5, budget small, 1 seed"
    # A dataset that is named by its Hub id needs no mapping.
    assert (out / "hub" / "someone-gm-tiny" / "prnu").is_dir()


def test_task_is_that_of_the_datasets_own_eval_yaml() -> None:
    from fpbench.leaderboard.hub.results import FRAMEWORK, TASK

    source = Path(__file__).parents[2] / "benchmark" / "fpbench" / "datasets" / "publish.py"
    text = source.read_text("utf-8")
    assert f'"id": "{TASK}"' in text
    assert f'"evaluation_framework": "{FRAMEWORK}"' in text


@pytest.mark.parametrize(
    ("target", "mapping", "reason"),
    [
        ("spaces/nobody", [], "is no Space"),
        ("hf://datasets/a/b", [], "neither a folder nor"),
        ("https://example.org", [], "neither a folder nor"),
        ("out", ["gm-x=a/b"], "there is no board"),
        ("out", ["someone/gm-tiny"], "not of the form"),
    ],
)
def test_bad_targets_are_named(
    root: Path, add: Any, tmp_path: Path, target: str, mapping: list[str], reason: str
) -> None:
    add(method="prnu")
    with pytest.raises(BadInput, match=reason):
        publish(root, str(tmp_path / target) if target == "out" else target, mapping)
    assert not (tmp_path / "out").exists()
