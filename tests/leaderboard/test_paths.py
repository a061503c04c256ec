"""A published record tells nothing of the machine that it was made on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpbench.leaderboard.archive.collect import collect
from fpbench.leaderboard.archive.paths import local_paths, shortened, without_local_paths
from fpbench.leaderboard.audit.submit import prepare, write
from fpbench.runs.record import Record, read_record


def at_home(run: Path, **changes: Any) -> Record:
    """The record of a run as of somebody who keeps images and weights at home."""
    record = read_record(run)
    side = replace(record.job.test, location="/home/ann/gm-tiny")
    job = replace(
        record.job,
        train=side,
        test=side,
        params={"weights": "/home/ann/w.pt", "depth": 3},
        files={"weights": "ab" * 32},
    )
    return record.model_copy(update={"key": job.key, "job": job, **changes})


def test_a_submitted_record_names_no_place_on_a_machine(root: Path, make_run: Any) -> None:
    run = make_run(method="prnu")
    note = "The figure tsne could not be drawn: OSError: /home/ann/runs/x/tsne.png"
    record = at_home(run, notes=[note])
    run.write_text(record.json_text(), "utf-8")
    submission = prepare(run, root)
    write(submission, root)
    (sent,) = root.glob("results/*/*/*.json")
    text = sent.read_text("utf-8")
    assert "ann" not in text and '"w.pt"' in text and "OSError: tsne.png" in text
    kept = read_record(sent)
    assert kept.key == kept.job.key == record.key and kept.scores == record.scores
    assert collect(root).problems == ()
    assert prepare(run, root).state == "already there"


def test_a_published_record_that_names_one_is_a_problem(
    root: Path, make_run: Any, add: Any
) -> None:
    target = add(method="prnu")
    document = json.loads(target.read_text("utf-8"))
    for side in ("train", "test"):
        document["job"][side]["location"] = "/home/ann/gm-tiny"
    target.write_text(json.dumps(document), "utf-8")
    (problem,) = collect(root).problems
    assert "/home/ann/gm-tiny" in str(problem) and "fpbench submit" in str(problem)


def test_where_a_file_lies_does_not_change_the_job(make_run: Any) -> None:
    record = at_home(make_run(method="prnu"))
    clean = without_local_paths(record)
    assert clean.job.key == record.key and clean.job.params == {"weights": "w.pt", "depth": 3}
    assert local_paths(record) == ["/home/ann/gm-tiny", "/home/ann/w.pt"]
    assert local_paths(clean) == [] and without_local_paths(clean) is clean
    other = replace(record.job, files={"weights": "cd" * 32})
    assert other.key != record.key


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("No file /home/ann/w.pt.", "No file w.pt."),
        (r"No file C:\Users\ann\w.pt here", "No file w.pt here"),
        ("No file ~ann/w.pt or ~/w.pt", "No file w.pt or w.pt"),
        ("'file:///home/ann/w.pt' is gone", "'w.pt' is gone"),
        ("see https://a.org/b/c and/or 1/2 of a/b", "see https://a.org/b/c and/or 1/2 of a/b"),
        ("timm/resnet50@main is 3 / 4", "timm/resnet50@main is 3 / 4"),
    ],
)  # fmt: skip
def test_sentences_keep_the_last_part_of_a_path(sentence: str, told: str) -> None:
    assert shortened(sentence) == told


def test_the_columns_of_a_hub_dataset_stay(make_run: Any) -> None:
    """Without them nobody could load it again; they are no place on a machine."""
    record = read_record(make_run(method="prnu"))
    place = "hub:me/gens?image=image&label=label&real=Real"
    side = replace(record.job.test, location=place)
    job = replace(record.job, train=side, test=side)
    record = record.model_copy(update={"key": job.key, "job": job})
    assert local_paths(record) == []
    assert without_local_paths(record).job.test.location == place
