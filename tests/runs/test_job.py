import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from fpbench.runs.job import CLOSED_SET, TRANSFER, Job, Limits, Side
from fpbench.runs.record import read_record

PUBLISHED = Path(__file__).parents[2] / "leaderboards"
SIDE = Side("gm-mini", "1", "ab")
JOB = Job("prnu", "wavelet", "1", SIDE, SIDE)
OTHER = Side("gm-x", "2", "cd", ("dcgan", "glow"), "/data/gm-x", "described")
FULL = Job(
    "prnu", "wavelet", "1", SIDE, OTHER, protocol=TRANSFER,
    settings={"reference": "target", "resize": True}, params={"sigma": 4.0, "name": "x"},
    files={"name": "ef"},
    budget="smoke", seed=3, fold=1, folds=5, control="shuffled-labels",
    limits=Limits(5, 6, (1, 10), (1, 2), 7), scoring=2,
)  # fmt: skip


def on(side: Side, job: Job = JOB) -> Job:
    return dataclasses.replace(job, train=side, test=side)


def test_key_is_stable_and_does_not_depend_on_where_the_dataset_lies() -> None:
    moved = on(Side("elsewhere", "1", "ab", location="/data/elsewhere"))
    assert JOB.key == moved.key
    assert JOB.key == JOB.at("/data/elsewhere").key
    assert JOB.at("/data/elsewhere").test.reference == "/data/elsewhere"
    described = on(Side("gm-mini", "1", "ab", digest="described"))
    assert JOB.key == described.key
    assert len(JOB.key) == 16
    assert int(JOB.key, 16) >= 0


@pytest.mark.parametrize(
    "change",
    [
        {"method": "manifpt"},
        {"variant": "bm3d"},
        {"train": Side("gm-mini", "2", "ab"), "test": Side("gm-mini", "2", "ab")},
        {"train": Side("gm-mini", "1", "cd"), "test": Side("gm-mini", "1", "cd")},
        {"train": Side("gm-mini", "1", "cd")},
        {"test": Side("gm-mini", "1", "ab", ("glow",))},
        {"method_version": "2"},
        {"params": {"sigma": 4.0}},
        {"budget": "smoke"},
        {"seed": 1},
        {"fold": 0, "folds": 5},
        {"control": "shuffled-labels"},
        {"scoring": 99},
        {"protocol": TRANSFER},
        {"protocol": "open-set"},
        {"settings": {"held_out": 2}},
        {"limits": Limits(train_images=5)},
        {"limits": Limits(augment=True)},
        {"files": {"filters": "ab"}},
    ],
)
def test_everything_the_result_depends_on_changes_the_key(change: dict[str, Any]) -> None:
    assert dataclasses.replace(JOB, **change).key != JOB.key


def test_order_of_params_does_not_matter() -> None:
    one = dataclasses.replace(JOB, params={"a": 1, "b": 2})
    other = dataclasses.replace(JOB, params={"b": 2, "a": 1})
    assert one.key == other.key


def test_keys_of_jobs_that_were_published_stay() -> None:
    """One of each protocol by its text; then every record, whose key its own job must give."""
    hashed = Side("gm-mini", "1", "ab" * 32)
    assert on(hashed, dataclasses.replace(JOB, scoring=1)).key == "25121d6d5bacb6e2"
    paths = sorted(PUBLISHED.glob("*/*/*/*.json"))
    assert len(paths) >= 343
    protocols = set()
    for path in paths:
        record = read_record(path)
        assert record.job.key == record.key == path.stem, path
        protocols.add(record.job.protocol)
    assert protocols == {CLOSED_SET, TRANSFER}


@pytest.mark.parametrize("job", [JOB, FULL, on(OTHER)], ids=["usual", "full", "elsewhere"])
def test_a_job_reads_back_from_a_document(job: Job) -> None:
    document = json.loads(json.dumps(job.to_dict()))
    again = Job.from_dict(document)
    assert again == job and again.key == job.key
    assert isinstance(again.test.sources, tuple) and isinstance(again.limits, Limits)
    assert again.to_dict() == document


def test_what_is_left_out_of_a_document_is_usual() -> None:
    document = {name: JOB.to_dict()[name] for name in ("method", "variant", "method_version")}
    side = {"name": "gm-mini", "revision": "1", "content_hash": "ab"}
    assert Job.from_dict({**document, "train": side, "test": side}) == JOB


@pytest.mark.parametrize("where", [(), ("train",), ("limits",)])
def test_an_unknown_field_is_refused_wherever_it_stands(where: tuple[str, ...]) -> None:
    document = JOB.to_dict()
    part = document
    for name in where:
        part = part[name]
    part["surprise"] = 1
    with pytest.raises(ValueError, match=r"surprise\n.*(Unexpected keyword|Extra inputs)"):
        Job.from_dict(document)


@pytest.mark.parametrize(
    ("field", "value"), [("seed", "first"), ("budget", "huge"), ("control", "x"), ("test", None)]
)
def test_a_field_of_another_kind_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        Job.from_dict({**JOB.to_dict(), field: value})


def test_titles_name_what_was_asked() -> None:
    assert JOB.title == "prnu:wavelet on gm-mini, seed 0" and JOB.place == "gm-mini"
    assert FULL.title == (
        "prnu:wavelet from gm-mini to gm-x[dcgan,glow], seed 3, fold 2 of 5, budget smoke, "
        "name=x sigma=4.0, shuffled-labels, reference target, resize True, "
        "5 training images a source, 6 reference images"
    )
    assert FULL.place == "gm-mini-to-gm-x" and FULL.label == "prnu:wavelet name=x sigma=4.0"
    assert str(FULL.limits) == (
        "train images: 5; reference images: 6; bag sizes: 1, 10; fingerprint bags: 1, 2; "
        "fingerprint bag size: 7"
    )
    assert str(JOB.limits) == "" and JOB.limits.stated == {}
