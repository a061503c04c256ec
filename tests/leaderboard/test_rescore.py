"""Runs of older scoring rules, brought to the present ones."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fpbench.cli.main import cli
from fpbench.errors import BadInput
from fpbench.leaderboard.archive.claims import recomputed
from fpbench.leaderboard.audit.rescore import rescore
from fpbench.runs.job import SCORING_VERSION
from fpbench.runs.record import Record, ScoreEntry, read_record
from fpbench.runs.store import Store


def invoke(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def of_rules(version: int, run: Path, store: Store) -> tuple[Path, Record]:
    """The run as rules of a version would have left it: another job, another interval."""
    record = read_record(run)
    job = replace(record.job, scoring=version)
    scores = dict(record.scores)
    scores["accuracy"] = ScoreEntry(value=0.123, ci_low=0.1, ci_high=0.2, n=1)
    old = record.model_copy(update={"key": job.key, "job": job, "scores": scores})
    folder = store.folder(job)
    shutil.copytree(run.parent, folder)
    (folder / "figures").mkdir()
    (folder / "figures" / "tsne.png").write_bytes(b"a picture")
    (folder / run.name).write_text(old.model_dump_json(), "utf-8")
    return folder / run.name, record


def test_scores_are_those_that_the_present_rules_give(make_run: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path, record = of_rules(SCORING_VERSION - 1, make_run(), store)
    with pytest.raises(BadInput, match="fpbench rescore"):
        recomputed(read_record(path), path)
    moved = rescore(path)
    assert moved == store.folder(record.job) / "record.json"
    assert read_record(moved) == record
    assert recomputed(record, moved) == []
    assert (moved.parent / "figures" / "tsne.png").read_bytes() == b"a picture"
    assert not path.parent.exists() and store.find(record.job) == record
    assert rescore(moved) is None


def test_declined_jobs_move_and_failed_ones_stay(make_run: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    for status, moves in (("declined", True), ("failed", False)):
        path, _ = of_rules(1, make_run(status=status, reason="No weights.", seed=moves), store)
        moved = rescore(path)
        assert (moved is not None) is moves
        if moved is not None:
            found = read_record(moved)
            assert found.job.scoring == SCORING_VERSION and found.scores == {}


def test_what_does_not_follow_is_left_as_it_is(make_run: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    path, _ = of_rules(1, make_run(), store)
    before = path.read_bytes()
    (path.parent / "predictions.parquet").write_bytes(b"others")
    with pytest.raises(BadInput, match="checksum"):
        rescore(path)
    assert path.read_bytes() == before
    later, _ = of_rules(SCORING_VERSION + 1, make_run(seed=1), store)
    with pytest.raises(BadInput, match="install a newer"):
        rescore(later)
    with pytest.raises(BadInput, match="rescore the run"):
        rescore(later.with_name("other.json"))


def test_the_command_takes_folders_and_transfers(make_run: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    of_rules(1, make_run(), store)
    of_rules(1, make_run(seed=1), store)
    said = invoke("rescore", str(tmp_path / "store"))
    assert "2 of 2 runs scored anew" in said
    assert "0 of 2 runs" in invoke("rescore", str(tmp_path / "store"))
    out = tmp_path / "transfers"
    invoke(
        "transfer", "--method", "majority", "--budget", "smoke", "--device", "cpu",
        "--train-on", "gm-mini", "--test-on", "gm-mini", "--out", str(out),
        "--train-sources", "dcgan-small,beta-vae-small",
        "--test-sources", "dcgan-small,glow-small",
    )  # fmt: skip
    (path,) = out.rglob("record.json")
    record = read_record(path)
    job = replace(record.job, scoring=1)
    older = record.model_copy(update={"key": job.key, "job": job, "scores": {}})
    folder = path.parent.with_name(job.key)
    path.parent.rename(folder)
    (folder / path.name).unlink()
    # Under the name that the records of transfers had.
    (folder / "transfer.json").write_text(older.json_text(), "utf-8")
    assert "1 of 1 runs scored anew" in invoke("rescore", str(out))
    assert read_record(path) == record and not folder.exists()
    assert not list(out.rglob("transfer.json"))


def test_runs_of_version_1_of_the_schema_are_brought_to_the_present_one(
    make_run: Any, tmp_path: Path, as_version_1: Any
) -> None:
    store = Store(tmp_path / "store")
    path, record = of_rules(SCORING_VERSION - 1, make_run(), store)
    as_version_1(path)
    moved = rescore(path)
    assert moved is not None and read_record(moved) == record
    assert json.loads(moved.read_text("utf-8"))["schema_version"] == record.schema_version
