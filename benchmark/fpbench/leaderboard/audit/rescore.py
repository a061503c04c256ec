"""Brings finished runs to the present scoring rules, from their stored predictions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.files import told
from fpbench.leaderboard.archive.claims import check_files, check_job
from fpbench.leaderboard.archive.layout import RUN_RECORDS
from fpbench.runs.job import SCORING_VERSION
from fpbench.runs.record import RECORD_FILE, read_record
from fpbench.runs.rescoring import score_again
from fpbench.runs.store import OLD_TRANSFER_FILE, Store


def rescore(path: Path) -> Path | None:
    """Score a finished run by the present rules and put it where its new job belongs.

    Nothing is trained: scores follow from the predictions and evidence beside the record. The
    run's folder is replaced by that of the new job, a sibling; what it holds besides the record
    stays as it is, and so do the costs, which are those of the run.

    Args:
        path: A run's record.

    Returns:
        The new record's file, or None if the run is of the present rules or has no scores.

    Raises:
        BadInput: If the record cannot be read, was scored by later rules than these, or its files
            are not those it was made with.
    """
    if path.name not in RUN_RECORDS:
        raise BadInput(f"{path} is no run's {RECORD_FILE}; rescore the run and submit it.")
    record = read_record(path)
    if record.job.scoring > SCORING_VERSION:
        raise BadInput(
            f"{path} was scored by version {record.job.scoring} of the rules; this fpbench "
            f"knows version {SCORING_VERSION}, so install a newer one."
        )
    if record.job.scoring == SCORING_VERSION or record.status == "failed":
        return None
    check_job(record, path)
    old = path.parent
    job = replace(record.job, scoring=SCORING_VERSION)
    fresh = record.model_copy(update={"key": job.key, "job": job, "scores": {}})
    if record.status == "done":
        check_files(record, path)
        fresh = fresh.with_scores(score_again(record, old))
    store = Store(old.parents[2])
    with store.writing(job) as folder, told(store.folder(job)):
        shutil.copytree(old, folder, dirs_exist_ok=True)
        (folder / OLD_TRANSFER_FILE).unlink(missing_ok=True)
        (folder / RECORD_FILE).write_text(fresh.json_text(), encoding="utf-8")
    moved = store.folder(job)
    if moved != old:
        shutil.rmtree(old)
    return moved / RECORD_FILE
