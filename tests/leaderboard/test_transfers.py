"""Transfer records on their way from a run to the transfer board."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from fpbench.runs.transferrecord import read_transfer

from fpbench.cli.main import cli
from fpbench.leaderboard.audit.check import check
from fpbench.leaderboard.output.build import build
from fpbench.leaderboard.output.site.write import write_site
from fpbench.leaderboard.view.transfers import collect_transfers, transfer_path

HALVES = (
    "--train-on", "gm-mini", "--test-on", "gm-mini",
    "--train-sources", "dcgan-small,beta-vae-small", "--test-sources", "dcgan-small,glow-small",
)  # fmt: skip


def invoke(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods, two seeds of the first."""
    out = tmp_path_factory.mktemp("runs")
    common = (*HALVES, "--budget", "smoke", "--device", "cpu", "--out", str(out))
    invoke("transfer", "--method", "pixels", "--seeds", "2", *common)
    invoke("transfer", "--method", "majority", *common)
    return out


@pytest.fixture
def root(runs: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "leaderboards"
    said = invoke("submit", str(runs), "--root", str(folder))
    assert "3 new results" in said and "pixels:" in said
    return folder


def test_from_runs_to_the_board(root: Path, runs: Path) -> None:
    records = sorted((root / "transfers").rglob("*.json"))
    assert len(records) == 3
    for path in records:
        assert transfer_path(root, read_transfer(path)) == path
        assert (path.with_suffix("") / "predictions.parquet").is_file()
    build(root)
    page = (root / "transfer.md").read_text("utf-8")
    assert "Models in both: DCGAN." in page and "Tested only: Glow." in page
    rows = [line for line in page.splitlines() if line.startswith("| **")]
    assert len(rows) == 2
    found = [read_transfer(path) for path in records]
    pixels = [r.scores["auc_real"].value or 0 for r in found if r.method.name == "pixels"]
    assert f"{sum(pixels) / 2:.3f}" in next(row for row in rows if "pixels" in row)
    write_site(root, root.parent / "site")
    shown = (root.parent / "site" / "transfer.html").read_text("utf-8")
    assert "transfer.html" in (root.parent / "site" / "index.html").read_text("utf-8")
    assert f"{sum(pixels) / 2:.3f}" in shown and "Tested only: Glow." in shown
    report = check(root)
    assert report.problems == () and report.rescored == 3
    assert "0 new results" in invoke("submit", str(runs), "--root", str(root))


def test_changed_values_predictions_and_fields_are_caught(root: Path) -> None:
    build(root)
    first, second, third = sorted((root / "transfers").rglob("*.json"))
    document = json.loads(first.read_text("utf-8"))
    document["scores"]["auc_real"]["value"] = 0.999
    first.write_text(json.dumps(document), "utf-8")
    shutil.copyfile(
        first.with_suffix("") / "predictions.parquet",
        second.with_suffix("") / "predictions.parquet",
    )
    document = json.loads(third.read_text("utf-8"))
    document["protocol"]["seed"] = 7
    third.write_text(json.dumps(document), "utf-8")
    told = {problem.where: problem.message for problem in check(root).problems}
    link = first.relative_to(root).as_posix()
    assert "auc_real.value: 0.999 in the record" in told[link]
    assert "checksum differs" in told[second.relative_to(root).as_posix()]
    assert "does not follow from" in told[third.relative_to(root).as_posix()]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema_version=9), "schema version 9"),
        (lambda d: d.pop("labels"), "labels"),
        (lambda d: d.update(status="failed", reason="it broke"), "it broke"),
    ],
)
def test_what_is_no_record_is_named_and_the_rest_stands(
    root: Path, change: Any, message: str
) -> None:
    path = sorted((root / "transfers").rglob("*.json"))[0]
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")
    entries, (problem,) = collect_transfers(root)
    assert len(entries) == 2 and message in problem.message
    assert problem.where == path.relative_to(root).as_posix()


def test_predictions_of_other_columns_are_refused(root: Path) -> None:
    path = sorted((root / "transfers").rglob("*.json"))[0]
    predictions = path.with_suffix("") / "predictions.parquet"
    table = pq.read_table(predictions)
    pq.write_table(table.drop_columns([table.column_names[-1]]), predictions)
    entries, (problem,) = collect_transfers(root)
    assert len(entries) == 2 and "checksum differs" in problem.message
    shutil.rmtree(predictions.parent)
    assert "is missing" in collect_transfers(root)[1][0].message
