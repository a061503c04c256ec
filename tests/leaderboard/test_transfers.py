"""Transfer records on their way from a run to the transfer board."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from fpbench.cli.main import cli
from fpbench.leaderboard.archive.collect import Entry, Problem, collect
from fpbench.leaderboard.archive.layout import record_path
from fpbench.leaderboard.audit.check import check
from fpbench.leaderboard.audit.verify import verify
from fpbench.leaderboard.output.build import build
from fpbench.leaderboard.output.site.write import write_site
from fpbench.leaderboard.view.transfers import transfer_tables
from fpbench.runs.record import read_record

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


def transfers(root: Path) -> tuple[tuple[Entry, ...], tuple[Problem, ...]]:
    found = collect(root)
    return found.transfers, found.problems


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
        assert record_path(root, read_record(path)) == path
        assert (path.with_suffix("") / "predictions.parquet").is_file()
    build(root)
    page = (root / "transfer.md").read_text("utf-8")
    assert "Models in both: DCGAN." in page and "Tested only: Glow." in page
    rows = [line for line in page.splitlines() if line.startswith("| **")]
    assert len(rows) == 2
    found = [read_record(path) for path in records]
    pixels = [r.scores["auc_real"].value or 0 for r in found if r.job.method == "pixels"]
    assert f"{sum(pixels) / 2:.3f}" in next(row for row in rows if "pixels" in row)
    write_site(root, root.parent / "site")
    shown = (root.parent / "site" / "transfer.html").read_text("utf-8")
    assert "transfer.html" in (root.parent / "site" / "index.html").read_text("utf-8")
    assert f"{sum(pixels) / 2:.3f}" in shown and "Tested only: Glow." in shown
    report = check(root)
    assert report.problems == () and report.rescored == 3
    assert "0 new results" in invoke("submit", str(runs), "--root", str(root))


@pytest.mark.parametrize("differs", ["weights", "files", "digest"])
def test_runs_that_differ_in_what_they_rest_on_are_not_one_row(root: Path, differs: str) -> None:
    def changed(entry: Entry) -> Entry:
        record = entry.record
        job, method = record.job, record.method
        if differs == "weights":
            method = method.model_copy(update={"weights": {"w.pt": "ab" * 32}})
        elif differs == "files":
            job = replace(job, files={"weights": "ab" * 32})
        else:
            job = replace(job, test=replace(job.test, digest="ab" * 32))
        return replace(entry, record=record.model_copy(update={"job": job, "method": method}))

    seeds = [e for e in transfers(root)[0] if e.record.job.method == "pixels"]
    rows = [row for found in transfer_tables(seeds) for row in found.rows]
    assert [len(row.records) for row in rows] == [2]
    tables = transfer_tables([seeds[0], changed(seeds[1])])
    assert [len(row.records) for found in tables for row in found.rows] == [1, 1]
    assert len(tables) == (2 if differs == "digest" else 1)


def test_records_as_they_were_before_there_was_one_kind_of_record(
    root: Path, runs: Path, tmp_path: Path
) -> None:
    """Beside a closed-set record's, their job was flattened into them, in words of its own."""
    build(root)
    page = (root / "transfer.md").read_bytes()
    paths = sorted((root / "transfers").rglob("*.json"))
    records = [read_record(path) for path in paths]
    for path in paths:
        shown = json.loads(path.read_text("utf-8"))
        path.write_text(json.dumps(as_version_1(shown)), "utf-8")
    for path, record in zip(paths, records, strict=True):
        old = read_record(path)
        for part in ("key", "job", "scores", "cost", "artifacts", "created"):
            assert getattr(old, part) == getattr(record, part), part
        assert old.setup.facts == record.setup.facts
        assert [s.test for s in old.test.sources] == [s.test for s in record.test.sources]
    assert verify(paths[0], rerun=False).outcome == "bitwise"
    build(root)
    assert (root / "transfer.md").read_bytes() == page and check(root).problems == ()


def as_version_1(shown: dict[str, Any]) -> dict[str, Any]:
    job, facts = shown["job"], shown["setup"]["facts"]
    sides = {}
    for name in ("train", "test"):
        stated = {key: job[name][key] for key in ("name", "revision", "content_hash")}
        sources = [
            {key: source[key] for key in ("name", "family", "architecture")}
            | {"images": source[name]}
            for source in shown[name]["sources"]
        ]
        chosen, size = job[name]["sources"], shown[name]["image_size"]
        sides[name] = {**stated, "chosen": chosen, "image_size": size, "sources": sources}
    rules = ("size_rule", "judged_size")
    kept = ("status", "reason", "created", "scores", "cost", "artifacts")
    return {
        "schema_version": 1,
        "kind": "transfer",
        "job": shown["key"],
        "method": {
            "name": job["method"],
            "variant": job["variant"],
            "version": job["method_version"],
            "params": job["params"],
            **{key: shown["method"][key] for key in ("title", "package")},
        },
        **sides,
        "protocol": {
            **{key: job[key] for key in ("budget", "seed", "scoring")},
            **job["settings"],
            **{key: facts[key] for key in rules},
            "classifier": shown["setup"]["classifier"],
        },
        "labels": {key: value for key, value in facts.items() if key not in rules},
        "environment": {k: v for k, v in shown["environment"].items() if k != "executor"},
        **{key: shown[key] for key in kept},
    }


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
    document["job"]["seed"] = 7
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
        (lambda d: d.pop("setup"), "setup: Field required"),
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
    entries, (problem,) = transfers(root)
    assert len(entries) == 2 and message in problem.message
    assert problem.where == path.relative_to(root).as_posix()


def test_predictions_of_other_columns_are_refused(root: Path) -> None:
    path = sorted((root / "transfers").rglob("*.json"))[0]
    predictions = path.with_suffix("") / "predictions.parquet"
    table = pq.read_table(predictions)
    pq.write_table(table.drop_columns([table.column_names[-1]]), predictions)
    entries, (problem,) = transfers(root)
    assert len(entries) == 2 and "checksum differs" in problem.message
    shutil.rmtree(predictions.parent)
    assert "is missing" in transfers(root)[1][0].message


def test_published_rows_by_model_have_the_mean_of_their_score() -> None:
    """Two ways to it: the score from all images, and the mean of what each model is named."""
    folder = Path(__file__).parents[2] / "leaderboards"
    paths = sorted((folder / "transfers").glob("*celeba*/*/*.json"))
    tables = transfer_tables([Entry(read_record(path), path, path.name) for path in paths])
    rows = [row for found in tables for row in found.rows if row.classes is not None]
    assert len(rows) >= 10
    for row in rows:
        score, classes = row.scores[0], row.classes
        assert score is not None and classes is not None and len(classes.names) == 7
        assert classes.mean == pytest.approx(score.value, abs=1e-6)
        assert classes.p_value <= row.corrected <= 1
    best = min(rows, key=lambda row: row.corrected)
    assert best.classes is not None and best.corrected == pytest.approx(
        min(1.0, best.classes.p_value * len(rows))
    )
    found = next(table for table in tables if best in table.rows).by_class
    assert found is not None and len(found[0]) == len(found[1][0]) == 1 + 7 + 3
    without = [replace(row, classes=None) for row in tables[0].rows]
    assert replace(tables[0], rows=tuple(without)).by_class is None
