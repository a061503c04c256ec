"""Records of version 1, as they were published, and everything that can be wrong with a record."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from fpbench.distribution import BEFORE, NAME
from fpbench.errors import BadInput
from fpbench.runs.job import CLOSED_SET, TRANSFER, Limits
from fpbench.runs.migrations import MIGRATIONS, SCHEMA_VERSION
from fpbench.runs.record import Record, parse_record, read_record

VERSION_1 = Path(__file__).parent / "version_1"


def old(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((VERSION_1 / f"{name}.json").read_text("utf-8"))
    return document


def parse(document: Any) -> Record:
    return parse_record(json.dumps(document), Path("x.json"))


def test_a_closed_set_record_of_version_1() -> None:
    document, record = old("closed-set"), parse(old("closed-set"))
    job, asked = record.job, document["protocol"]
    assert record.schema_version == SCHEMA_VERSION
    assert record.key == document["job"] == job.key
    assert (job.method, job.variant) == (document["method"]["name"], document["method"]["variant"])
    assert job.method_version == document["method"]["version"]
    assert job.params == document["method"]["params"]
    assert (job.protocol, job.settings, job.limits) == (CLOSED_SET, {}, Limits())
    for name in ("budget", "seed", "fold", "folds", "control", "scoring"):
        assert getattr(job, name) == asked[name], name
    assert job.train == job.test
    for name in ("name", "revision", "content_hash"):
        assert getattr(job.test, name) == document["dataset"][name]
    assert record.method.title == document["method"]["title"]
    assert record.method.package == document["method"]["package"].replace(BEFORE, NAME)
    assert record.method.code is None and record.method.weights == {}
    assert record.train is None
    assert [source.model_dump() for source in record.test.sources] == document["dataset"]["sources"]
    assert list(record.test.image_size) == document["dataset"]["image_size"]
    assert record.test.reference == document["dataset"]["reference"]
    assert record.test.shortcut == document["dataset"]["shortcut"]
    for name in ("unit", "classifier", "embedding_dimension", "fdr_samples", "fdr_dimensions"):
        assert getattr(record.setup, name) == asked[name], name
    assert record.setup.families is None
    assert_kept(record, document)


def test_a_transfer_record_of_version_1() -> None:
    document, record = old("transfer"), parse(old("transfer"))
    job, asked = record.job, document["protocol"]
    assert record.key == document["job"] == job.key
    assert job.protocol == TRANSFER
    assert job.settings == {name: asked[name] for name in ("reference", "resize")}
    assert (job.budget, job.seed, job.scoring) == ("small", asked["seed"], asked["scoring"])
    assert record.train is not None
    for side, images, name, split in (
        (job.train, record.train, "train", "train"),
        (job.test, record.test, "test", "test"),
    ):
        stated = document[name]
        assert side.sources == tuple(stated["chosen"]) and side.name == stated["name"]
        assert side.content_hash == stated["content_hash"]
        assert list(images.image_size) == stated["image_size"]
        assert [s.name for s in images.sources] == [s["name"] for s in stated["sources"]]
        assert [getattr(s, split) for s in images.sources] == [
            s["images"] for s in stated["sources"]
        ]
    facts = {name: asked[name] for name in ("size_rule", "judged_size")}
    assert record.setup.facts == {**facts, **document["labels"]}
    assert record.setup.classifier == asked["classifier"] and record.setup.unit is None
    assert_kept(record, document)


def assert_kept(record: Record, document: dict[str, Any]) -> None:
    """What version 1 said in the same words."""
    shown = record.model_dump(mode="json")
    assert shown["cost"].pop("reused_seconds", None) is None  # not noted then
    for part in ("status", "reason", "created", "scores", "cost", "artifacts"):
        assert shown[part] == document[part], part
    del shown["environment"]["executor"]
    assert shown["environment"].pop("arithmetic", None) is None  # not noted then
    assert shown["environment"] == document["environment"]


def test_limits_of_version_1_become_those_of_the_job() -> None:
    document = old("closed-set")
    document["protocol"] |= {"train_images": 20, "bag_sizes": [1, 5]}
    assert parse(document).job.limits == Limits(train_images=20, bag_sizes=(1, 5))


def test_records_of_before_limits_and_threads_are_read() -> None:
    document = old("closed-set")
    for limit in fields(Limits):
        document["protocol"].pop(limit.name, None)
    del document["environment"]["threads"]
    record = parse(document)
    assert record.job.key == record.key and record.environment.threads is None


@pytest.mark.parametrize("name", ["closed-set", "transfer"])
def test_what_was_migrated_reads_back_as_it_is(name: str, tmp_path: Path) -> None:
    record = parse(old(name))
    path = tmp_path / "record.json"
    path.write_text(record.json_text(), "utf-8")
    assert json.loads(path.read_text("utf-8"))["schema_version"] == SCHEMA_VERSION
    assert read_record(path) == record and read_record(tmp_path) == record


def test_every_older_schema_has_a_migration() -> None:
    assert set(MIGRATIONS) == set(range(1, SCHEMA_VERSION))


def drop(*names: str) -> Callable[[dict[str, Any]], None]:
    """Takes a field away from a document."""

    def change(document: dict[str, Any]) -> None:
        for name in names[:-1]:
            document = document[name]
        del document[names[-1]]

    return change


def put(value: Any, *names: str) -> Callable[[dict[str, Any]], None]:
    """Sets a field of a document."""

    def change(document: dict[str, Any]) -> None:
        for name in names[:-1]:
            document = document[name]
        document[names[-1]] = value

    return change


AMISS: list[tuple[str, Any, str]] = [
    ("closed-set", put(99, "schema_version"), "has schema version 99.*update fpbench"),
    ("closed-set", put(0, "schema_version"), "has schema version 0, which cannot.*job again"),
    ("closed-set", put("1", "schema_version"), "schema version '1', which is no whole number"),
    ("closed-set", put(True, "schema_version"), "schema version True, which is no whole number"),
    ("closed-set", put(None, "schema_version"), "states no schema_version"),
    ("closed-set", drop("schema_version"), "states no schema_version"),
    ("closed-set", drop("job"), "version 1 but not its fields.*'job' is missing"),
    ("closed-set", drop("method"), "version 1 but not its fields.*'method' is missing"),
    ("closed-set", drop("dataset", "revision"), "'revision' is missing"),
    ("closed-set", drop("protocol", "seed"), "'seed' is missing"),
    ("closed-set", put([], "method"), "version 1 but not its fields"),
    ("closed-set", put(None, "protocol"), "version 1 but not its fields"),
    ("closed-set", put(1, "surprise"), "the record.surprise: there is no such field"),
    ("closed-set", put(1, "protocol", "surprise"), "protocol.surprise: there is no such field"),
    ("closed-set", put(1, "dataset", "surprise"), "dataset.surprise: there is no such field"),
    ("closed-set", put(1, "environment", "surprise"), "environment.surprise: Extra inputs"),
    ("closed-set", drop("created"), "not a valid record: created: Field required"),
    ("transfer", drop("labels"), "version 1 but not its fields.*'labels' is missing"),
    ("transfer", drop("train", "chosen"), "'chosen' is missing"),
    ("transfer", put(1, "train", "surprise"), "train.surprise: there is no such field"),
    ("transfer", put(1, "dataset"), "the record.dataset: there is no such field"),
    ("transfer", put(1, "protocol", "fold"), "protocol.fold: there is no such field"),
    ("transfer", put("no", "scores"), "scores: Input should be a valid dictionary"),
]


@pytest.mark.parametrize(("name", "change", "told"), AMISS)
def test_a_record_that_is_amiss_gets_one_sentence(name: str, change: Any, told: str) -> None:
    document = old(name)
    change(document)
    with pytest.raises(BadInput, match=told) as refused:
        parse(document)
    message = str(refused.value)
    assert message.startswith("x.json ") and message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("name", ["closed-set", "transfer"])
@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(name: str, number: str) -> None:
    text = (VERSION_1 / f"{name}.json").read_text("utf-8")
    spoilt = text.replace('"cores": 2', f'"cores": {number}')
    assert spoilt != text
    with pytest.raises(BadInput, match=r"is not JSON: .* is not a number that a document may hold"):
        parse_record(spoilt, Path("x.json"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not JSON"),
        ('{"schema_version": 1,', "is not JSON"),
        ("[1]", "it holds a list"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_document_gets_one_sentence(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        parse_record(text, Path("x.json"))
