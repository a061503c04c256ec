import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fpbench.errors import BadInput
from fpbench.runs.job import Job, Side
from fpbench.runs.machine import EnvironmentEntry
from fpbench.runs.record import (
    RECORD_FILE,
    MethodEntry,
    Record,
    SetupEntry,
    SideEntry,
    SourceEntry,
    read_record,
)
from fpbench.runs.store import OLD_TRANSFER_FILE, Store, find_records

SIDE = Side("gm-mini", "1", "ab")
JOB = Job("prnu", "wavelet", "1", SIDE, SIDE)
VERSION_1 = Path(__file__).parent / "version_1"


def make_record(status: str = "done", families: list[str] | None = None) -> Record:
    return Record(
        key=JOB.key,
        status=status,  # type: ignore[arg-type]
        created=datetime(2026, 1, 1, tzinfo=UTC),
        job=JOB,
        method=MethodEntry(title="t", package="p"),
        test=SideEntry(
            image_size=(32, 32),
            reference=1,
            sources=[SourceEntry(name="g", family="GAN", architecture="G", test=1)],
        ),
        setup=SetupEntry(classifier="own", families=families),
        environment=EnvironmentEntry(
            python="3", platform="p", cores=1, packages={}, git_commit=None, git_dirty=None
        ),
    )


def write(store: Store, record: Record) -> None:
    with store.writing(JOB) as folder:
        (folder / RECORD_FILE).write_text(record.json_text())


def test_a_finished_job_is_found_and_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find(JOB) is None
    write(store, make_record())
    assert store.find(JOB) == make_record()
    assert store.record_paths() == [store.folder(JOB) / RECORD_FILE]


def test_an_interrupted_job_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.writing(JOB) as folder:
        (folder / RECORD_FILE).write_text(make_record().json_text())
        raise KeyboardInterrupt
    assert store.find(JOB) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_interrupted_repeat_keeps_the_earlier_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, make_record())
    with pytest.raises(KeyboardInterrupt), store.writing(JOB):
        raise KeyboardInterrupt
    assert store.find(JOB) is not None


@pytest.mark.parametrize("status", ["failed", "declined"])
def test_a_job_that_did_not_finish_is_run_again(tmp_path: Path, status: str) -> None:
    store = Store(tmp_path)
    write(store, make_record(status))
    assert store.find(JOB) is None
    read = store.read(JOB)
    assert read is not None and read.status == status
    write(store, make_record())
    assert store.find(JOB) is not None


def test_a_job_with_some_scores_left_out_is_done_for_those_who_ask_for_no_more(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    write(store, make_record(families=["attribution", "bags"]))
    assert store.find(JOB) is not None and store.find(JOB, ["bags"]) is not None
    assert store.find(JOB, ["attribution", "separability"]) is None
    write(store, make_record())
    assert store.find(JOB, ["attribution", "separability"]) is not None


def test_a_record_of_another_job_is_not_taken_for_this_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, make_record().model_copy(update={"key": "0" * 16}))
    assert store.find(JOB) is None and store.read(JOB) is None


def test_a_truncated_record_is_not_taken_for_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, make_record())
    path = store.folder(JOB) / RECORD_FILE
    path.write_text(path.read_text()[:100])
    assert store.find(JOB) is None
    with pytest.raises(BadInput, match=r"record\.json is not JSON"):
        read_record(path)


@pytest.mark.parametrize(
    ("document", "name"), [("closed-set", RECORD_FILE), ("transfer", OLD_TRANSFER_FILE)]
)
def test_a_job_finished_before_records_nested_jobs_is_found(
    tmp_path: Path, document: str, name: str
) -> None:
    """The job is planned anew from what the record says; its folder is where it always was."""
    source = VERSION_1 / f"{document}.json"
    old = json.loads(source.read_text("utf-8"))
    asked = Job.from_dict(read_record(source).job.to_dict())
    store = Store(tmp_path)
    folder = store.folder(asked)
    assert folder.name == old["job"]
    assert folder.parent.name == f"{old['method']['name']}-{old['method']['variant']}"
    folder.mkdir(parents=True)
    shutil.copy(source, folder / name)
    found = store.find(asked, ["attribution"])
    assert found is not None and found.job == asked and found.status == "done"
    assert store.record_paths() == [folder / name]


def test_unfinished_and_hidden_folders_hold_no_records(tmp_path: Path) -> None:
    for folder in (".partial-x", "kept", ".git/kept"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / RECORD_FILE).write_text("{}")
    assert list(find_records(tmp_path)) == [tmp_path / "kept" / RECORD_FILE]


def test_opening_a_store_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    with store.writing(JOB) as folder:
        mine = folder.name
        assert store.folder(JOB).parent == folder.parent
        # The name holds the id of the process; no process has this one.
        left = folder.with_name(mine.replace(f"-{mine.split('-')[2]}-", "-4194305-"))
        left.mkdir()
        (left / "half.txt").write_text("half")
        store.open()
        assert folder.is_dir() and not left.exists()
    assert store.folder(JOB).is_dir()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"Cannot write.*file.*--out"):
        Store(tmp_path / "file").open()


def test_a_job_on_sources_described_otherwise_is_not_done(tmp_path: Path) -> None:
    """Design choices and FDR's n and d are not in the key, but results depend on them."""
    store = Store(tmp_path)
    described, otherwise = replace(SIDE, digest="a" * 64), replace(SIDE, digest="b" * 64)
    job, other = (replace(JOB, train=side, test=side) for side in (described, otherwise))
    assert job.key == other.key == JOB.key
    write(store, make_record().model_copy(update={"job": job}))
    assert store.find(job) is not None
    assert store.find(other) is None
    # A record of before digests were noted stands.
    write(store, make_record())
    assert store.find(other) is not None
