"""A method that is renamed keeps what was published of it: keys, files, results."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fpbench import registry
from fpbench.leaderboard.archive.claims import check_job
from fpbench.leaderboard.archive.collect import collect
from fpbench.leaderboard.archive.layout import record_path
from fpbench.runs.job import SCORING_VERSION
from fpbench.runs.plan import resolve
from fpbench.runs.record import read_record
from fpbench.runs.renamed import _TITLES, FORMER, present_name
from fpbench.runs.store import Store

BOARDS = Path(__file__).parents[2] / "leaderboards"
RESULTS = BOARDS / "results" / "gm-mini"


def published(variant: str) -> Path:
    """A record that states a former name."""
    for path in sorted((RESULTS / "riemann").glob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        stated = content["job"] if content["schema_version"] > 1 else content["method"]
        job = read_record(path).job
        if (job.seed, job.control) == (0, "none") and stated["variant"] == variant:
            return path
    raise AssertionError(variant)


def test_the_table_names_what_there_is() -> None:
    for method, variant in FORMER:
        card = registry.method_class(method).card
        assert variant in card.variants
        assert card.title == _TITLES[method]
    for former in FORMER.values():
        cls = registry.method_class(former[0])
        assert former[1] not in cls.card.variants
        assert present_name(*former) in FORMER


@pytest.mark.parametrize("variant", ["pixels", "highpass", "ablation"])
def test_a_published_record_is_read_under_the_new_name_and_keeps_key_and_place(
    variant: str,
) -> None:
    path = published(variant)
    record = read_record(path)
    assert (record.job.method, record.job.variant) == present_name("riemann", variant)
    assert record.key == path.stem == record.job.key
    check_job(record, path)
    assert record_path(BOARDS, record) == path
    assert record.method.title == registry.method_class(record.job.method).card.title
    # What is planned today under the new name is that job, done before.
    planned = resolve(f"{record.job.method}:{record.job.variant}", {})
    again = replace(
        record.job, method=planned.name, variant=planned.variant, method_version=planned.version
    )
    assert again.key == record.key


def test_a_run_of_before_counts_as_done(tmp_path: Path) -> None:
    path = published("highpass")
    job = read_record(path).job
    old = tmp_path / "gm-mini" / "riemann-highpass" / path.stem
    old.mkdir(parents=True)
    shutil.copy(path, old / "record.json")
    store = Store(tmp_path)
    assert store.folder(job) == old
    found = store.find(job)
    assert found is not None and found.key == path.stem
    # One that is not there yet goes under the name of today.
    other = replace(job, seed=99, scoring=SCORING_VERSION)
    assert store.folder(other).parent.name == "resnet20-highpass"


def test_a_new_record_lies_under_the_new_name() -> None:
    record = read_record(published("highpass"))
    job = replace(record.job, seed=99)
    fresh = record.model_copy(update={"job": job, "key": job.key})
    assert record_path(BOARDS, fresh).parent.name == "resnet20"


def test_boards_take_records_from_the_old_place_with_the_card_of_the_new(tmp_path: Path) -> None:
    path = published("highpass")
    root = tmp_path / "leaderboards"
    there = root / path.relative_to(BOARDS)
    there.parent.mkdir(parents=True)
    shutil.copy(path, there)
    shutil.copytree(path.with_suffix(""), there.with_suffix(""))
    shutil.copytree(RESULTS / "resnet20", root / "results" / "gm-mini" / "resnet20")
    found = collect(root)
    assert found.problems == ()
    assert [entry.record.job.label for entry in found.entries] == ["resnet20:highpass"]
    assert found.cards["resnet20"].baseline
