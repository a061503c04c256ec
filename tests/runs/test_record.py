"""What a record of the present schema may not say, and what it is read as."""

import json
from pathlib import Path
from typing import Any

import pytest

from fpbench.errors import BadInput
from fpbench.runs.migrations import SCHEMA_VERSION
from fpbench.runs.record import (
    _FIT_OUTLASTS_JOB,
    Record,
    _as_first_published,
    parse_record,
    read_record,
)

VERSION_1 = Path(__file__).parent / "version_1"


@pytest.fixture
def document() -> dict[str, Any]:
    """A record of a transfer, which has two sides."""
    return read_record(VERSION_1 / "transfer.json").model_dump(mode="json")


def parse(document: dict[str, Any]) -> Record:
    return parse_record(json.dumps(document), Path("x.json"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"created": "2026-01-01T00:00:00"}, r"created: 2026-01-01T00:00:00 has no time zone"),
        ({"test__sources": []}, "test.sources: there is no generator"),
        ({"train__sources": []}, "train.sources: there is no generator"),
        ({"test__sources__1__name": "real"}, "test.sources: 'real' is there twice"),
        ({"train__sources__2__family": "Real"}, "train.sources: more than one is of the family"),
        ({"test__sources__1__test": -24}, "test.sources.1.test: .* greater than or equal to 0"),
        ({"test__sources__1__test": 10**18}, "test.sources.1.test: .* less than or equal to 10000"),
        ({"test__shortcut": 5.0}, "test.shortcut: .* less than or equal to 1"),
        ({"test__image_size__0": -32}, "test.image_size.0: .* greater than or equal to 1"),
        ({"setup__embedding_dimension": -1}, "setup.embedding_dimension: .* greater than or eq"),
        ({"cost__fit_seconds": -1.0}, "cost.fit_seconds: .* greater than or equal to 0"),
        ({"cost__total_seconds": -1.0}, "cost.total_seconds: .* greater than or equal to 0"),
        (
            {"cost__fit_seconds": 10.1, "cost__total_seconds": 10.0},
            "10.1 s are more than the whole",
        ),
        (
            {
                "cost__fit_seconds": 9.0,
                "cost__inference_seconds": 1.5,
                "cost__total_seconds": 10.0,
                "cost__reused_seconds": 0.0,
            },
            "fit and inference take 10.5 s, the whole job only 10 s",
        ),
        (
            {"cost__reused_seconds": 11.0, "cost__total_seconds": 10.0, "cost__fit_seconds": 1.0},
            "reused_seconds: 11 s are more than the whole job's 10 s",
        ),
        ({"cost__peak_memory_bytes": -1}, "cost.peak_memory_bytes: .* greater than or equal to 0"),
        ({"artifacts__predictions__size": -1}, "artifacts.predictions.size: .* greater than or"),
        ({"artifacts__predictions__sha256": "x"}, "artifacts.predictions.sha256: .* match pattern"),
        ({"environment__cores": 0}, "environment.cores: .* greater than or equal to 1"),
        ({"created": "9999-01-01T00:00:00Z"}, "created: 9999.* is not a time at which a run"),
        ({"created": "1999-01-01T00:00:00Z"}, "created: 1999.* is not a time at which a run"),
        ({"job__fold": 2, "job__folds": 2}, "job.fold: there is no fold 2 of 2"),
        ({"job__fold": -1, "job__folds": 3}, "job.fold: there is no fold -1 of 3"),
        ({"job__fold": 0}, "job.fold: there is no fold 0 of None"),
        ({"job__folds": 4}, "job.fold: there is no fold None of 4"),
        ({"schema_version": SCHEMA_VERSION + 1}, "update fpbench to read it"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"job__surprise": 1}, "job.surprise: Unexpected keyword"),
        ({"job__train__surprise": 1}, "job.train.surprise: Unexpected keyword"),
        ({"scores__family": 0.5}, "scores.family: Input should be a valid dictionary"),
        ({"status": "perfect"}, "status: Input should be 'done', 'failed' or 'declined'"),
        ({"key": None, "status": None}, "and 1 more problem"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    document: dict[str, Any], changes: dict[str, Any], told: str
) -> None:
    for place, value in changes.items():
        *parents, last = place.split("__")
        target: Any = document
        for name in parents:
            target = target[int(name) if name.isdecimal() else name]
        target[int(last) if last.isdecimal() else last] = value
    with pytest.raises(BadInput, match=told) as refused:
        parse(document)
    assert "\n" not in str(refused.value) and str(refused.value).startswith("x.json ")


@pytest.mark.parametrize("name", ["key", "job", "method", "test", "setup", "environment"])
def test_what_must_be_there_is_named(document: dict[str, Any], name: str) -> None:
    del document[name]
    with pytest.raises(BadInput, match=f"not a valid record: {name}: Field required"):
        parse(document)


def test_a_record_of_one_side_was_trained_on_what_it_tests(document: dict[str, Any]) -> None:
    record = parse(document)
    assert record.trained is record.train and record.train != record.test
    record = parse({**document, "train": None})
    assert record.trained is record.test
    assert [s.name for s in record.test.generators] == [s.name for s in record.test.sources[1:]]


def test_scores_are_read_as_they_were_written(document: dict[str, Any]) -> None:
    record = parse(document)
    scores = record.score_values
    assert record.with_scores(scores) == record
    assert record.headline == scores["shared_masked"] and scores["shared_masked"].reason
    assert record.model_copy(update={"scores": {}}).headline is None
    document["scores"]["family"]["ci_low"] = 0.99
    with pytest.raises(ValueError, match="reversed"):
        _ = parse(document).score_values


def test_a_file_that_is_not_there_or_no_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no record .*record\.json"):
        read_record(tmp_path)
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="Cannot read the record"):
        read_record(path)
    path.write_bytes(b"[" + b"1," * (3 << 20))
    with pytest.raises(BadInput, match="more than 4 MiB; no record is that large"):
        read_record(path)


def test_the_published_jobs_whose_fit_outlasts_them_are_those_listed() -> None:
    results = Path(__file__).parents[2] / "leaderboards" / "results"
    records = [read_record(path) for path in results.glob("*/manifpt/*.json")]
    outlasting = {
        _as_first_published(record)
        for record in records
        if record.cost is not None
        and record.cost.reused_seconds is None
        and record.cost.fit_seconds > record.cost.total_seconds
    }
    assert outlasting == _FIT_OUTLASTS_JOB
