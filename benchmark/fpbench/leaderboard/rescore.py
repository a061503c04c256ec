"""Brings finished runs to the present scoring rules, from their stored predictions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.leaderboard.claims import (
    check_files,
    check_job,
    score_again,
    spec_of,
)
from fpbench.leaderboard.layout import RUN_RECORD
from fpbench.leaderboard.schema import load_record
from fpbench.leaderboard.transfers import check_transfer, score_transfer_again, transfer_spec
from fpbench.runs.job import SCORING_VERSION, JobSpec
from fpbench.runs.store import Store
from fpbench.runs.transferjob import TransferSpec
from fpbench.runs.transferrecord import TRANSFER_FILE, TransferRecord, read_transfer


def rescore(path: Path) -> Path | None:
    """Score a finished run by the present rules and put it where its new job belongs.

    Nothing is trained: scores follow from the predictions and evidence beside the record. The
    run's folder is replaced by that of the new job, a sibling; what it holds besides the record
    stays as it is, and so do the costs, which are those of the run.

    Args:
        path: A run's ``record.json`` or ``transfer.json``.

    Returns:
        The new record's file, or None if the run is of the present rules or has no scores.

    Raises:
        BadInput: If the record cannot be read, was scored by later rules than these, or its files
            are not those it was made with.
    """
    if path.name not in (RUN_RECORD, TRANSFER_FILE):
        raise BadInput(
            f"{path} is no run's {RUN_RECORD} or {TRANSFER_FILE}; rescore the run and submit it."
        )
    record = read_transfer(path) if path.name == TRANSFER_FILE else load_record(path)
    if record.protocol.scoring > SCORING_VERSION:
        raise BadInput(
            f"{path} was scored by version {record.protocol.scoring} of the rules; this fpbench "
            f"knows version {SCORING_VERSION}, so install a newer one."
        )
    if record.protocol.scoring == SCORING_VERSION or record.status == "failed":
        return None
    done = record.status == "done"
    spec: JobSpec | TransferSpec
    if isinstance(record, TransferRecord):
        check_transfer(record, path)
        spec = replace(transfer_spec(record), scoring=SCORING_VERSION)
        scores = score_transfer_again(record, path) if done else {}
    else:
        check_job(record, path)
        if done:
            check_files(record, path)
        spec = replace(spec_of(record), scoring=SCORING_VERSION)
        scores = score_again(record, path) if done else {}
    protocol = record.protocol.model_copy(update={"scoring": SCORING_VERSION})
    fresh = record.model_copy(update={"job": spec.key, "protocol": protocol, "scores": scores})
    old = path.parent
    store = Store(old.parents[2])
    with store.writing(spec) as folder:
        shutil.copytree(old, folder, dirs_exist_ok=True)
        text = fresh.model_dump_json(indent=2) + "\n"
        (folder / path.name).write_text(text, encoding="utf-8")
    moved = store.folder(spec)
    if moved != old:
        shutil.rmtree(old)
    return moved / path.name
