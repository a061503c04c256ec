from datetime import UTC, datetime
from pathlib import Path

import pytest

from fpbench.errors import BadInput
from fpbench.runs.job import JobSpec
from fpbench.runs.record import (
    SCHEMA_VERSION,
    DatasetEntry,
    EnvironmentEntry,
    MethodEntry,
    ProtocolEntry,
    Record,
    read_record,
)
from fpbench.runs.store import RECORD_FILE, Store

SPEC = JobSpec("prnu", "wavelet", "gm-mini", "1", "ab", "1")


def make_record(status: str = "done") -> Record:
    return Record.model_validate(
        {
            "job": SPEC.key,
            "status": status,
            "created": datetime(2026, 1, 1, tzinfo=UTC),
            "method": MethodEntry(
                name="prnu", variant="wavelet", version="1", params={}, title="t", package="p"
            ),
            "dataset": DatasetEntry(
                name="gm-mini",
                revision="1",
                content_hash="ab",
                image_size=(32, 32),
                reference=1,
                sources=[],
            ),
            "protocol": ProtocolEntry(
                budget="small",
                seed=0,
                fold=None,
                folds=None,
                unit="image",
                control="none",
                classifier="own",
                embedding_dimension=3,
                fdr_samples=10,
                fdr_dimensions=1,
                scoring=1,
            ),
            "environment": EnvironmentEntry(
                python="3", platform="p", cores=1, packages={}, git_commit=None, git_dirty=None
            ),
        }
    )


def write(store: Store, record: Record) -> None:
    with store.writing(SPEC) as folder:
        (folder / RECORD_FILE).write_text(record.model_dump_json())


def test_a_finished_job_is_found_and_listed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.find(SPEC) is None
    write(store, make_record())
    assert store.find(SPEC) == make_record()
    assert store.record_paths() == [store.folder(SPEC) / RECORD_FILE]


def test_an_interrupted_job_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.writing(SPEC) as folder:
        (folder / RECORD_FILE).write_text(make_record().model_dump_json())
        raise KeyboardInterrupt
    assert store.find(SPEC) is None
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_interrupted_repeat_keeps_the_earlier_result(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, make_record())
    with pytest.raises(KeyboardInterrupt), store.writing(SPEC):
        raise KeyboardInterrupt
    assert store.find(SPEC) is not None


@pytest.mark.parametrize("status", ["failed", "declined"])
def test_a_job_that_did_not_finish_is_run_again(tmp_path: Path, status: str) -> None:
    store = Store(tmp_path)
    write(store, make_record(status))
    assert store.find(SPEC) is None
    write(store, make_record())
    assert store.find(SPEC) is not None


def test_a_truncated_record_is_not_taken_for_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, make_record())
    path = store.folder(SPEC) / RECORD_FILE
    path.write_text(path.read_text()[:100])
    assert store.find(SPEC) is None
    with pytest.raises(BadInput, match="not a valid record"):
        read_record(path)


@pytest.mark.parametrize(("version", "remedy"), [(SCHEMA_VERSION + 1, "update"), (0, "again")])
def test_another_schema_version_is_named(tmp_path: Path, version: int, remedy: str) -> None:
    path = tmp_path / "record.json"
    text = make_record().model_dump_json()
    path.write_text(
        text.replace(f'"schema_version":{SCHEMA_VERSION}', f'"schema_version":{version}')
    )
    with pytest.raises(BadInput, match=f"schema version {version}.*{remedy}"):
        read_record(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"Cannot write.*file.*--out"):
        Store(tmp_path / "file").check_writable()
