"""Runs one transfer job: trained on the sources of one dataset, tested on those of another."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpbench import registry
from fpbench.compute.device import seed_everything
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodDeclined, Progress
from fpbench.metrics.transfer import TransferTask, closed_set_cap
from fpbench.runs.artifacts import PREDICTIONS, describe_file, write_predictions
from fpbench.runs.attempt import (
    cost_entry,
    keep_traceback,
    load_once,
    make_context,
    method_entry,
    sentence_of,
)
from fpbench.runs.environment import describe_environment
from fpbench.runs.outcome import Outcome, build_method, run_method
from fpbench.runs.scoring import score_entries
from fpbench.runs.store import Store
from fpbench.runs.timelimit import limited
from fpbench.runs.transferdata import Prepared, by, prepare
from fpbench.runs.transferjob import Side, TransferSpec
from fpbench.runs.transferrecord import (
    TRANSFER_FILE,
    LabelsEntry,
    SideEntry,
    SideSourceEntry,
    TransferProtocolEntry,
    TransferRecord,
)
from fpbench.runs.transferscoring import score_transfer


def execute_transfer(
    spec: TransferSpec,
    store: Store,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    offline: bool = False,
    time_limit: float | None = None,
) -> TransferRecord:
    """Run one transfer job and write its folder.

    A method that raises ends in a record with status ``failed``; one that cannot judge images of
    another size than it was trained on, or is slower than the limit, in ``declined``.

    Args:
        spec: The job.
        store: Where its folder goes.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Progress callback.
        offline: Whether to keep from asking the Hub for the datasets.
        time_limit: Minutes that the method may take (see `TimeLimit`), or None.

    Raises:
        BadInput: If a dataset cannot be loaded or the two do not go together.
    """
    started = time.perf_counter()
    context = make_context(spec, device, progress)
    source, target = (
        load_once(side.location or side.name, side.content_hash, offline)
        for side in (spec.train, spec.test)
    )
    prepared = prepare(spec, source, target)
    cls = registry.method_class(spec.method).variant_class(spec.variant)
    with store.writing(spec) as folder:
        record = _run(spec, cls, prepared, context, folder, started, time_limit)
        text = record.model_dump_json(indent=2) + "\n"
        (folder / TRANSFER_FILE).write_text(text, encoding="utf-8")
    return record


def task_of(proba: NDArray[np.float32], train: ImageSet, test: ImageSet) -> TransferTask:
    """The scoring task of probabilities (N, K) over the sources of `train` for images `test`."""
    tested = [test.sources[k] for k in test.labels]
    return TransferTask(
        proba,
        [source.architecture for source in train.sources],
        [source.family for source in train.sources],
        [source.name for source in tested],
        [source.architecture for source in tested],
        [source.family for source in tested],
        test.ids,
    )


def _run(
    spec: TransferSpec,
    cls: type[Method],
    prepared: Prepared,
    context: FitContext,
    folder: Path,
    started: float,
    time_limit: float | None,
) -> TransferRecord:
    splits = prepared.splits
    record = _description(spec, cls, prepared)
    try:
        outcome = _judge(spec, cls, prepared, limited(context, time_limit))
    except MethodDeclined as declined:
        return record.model_copy(update={"status": "declined", "reason": str(declined)})
    # Whatever a plugin raises is the failure of its own job; the traceback is kept beside it.
    except Exception as error:
        keep_traceback(folder)
        return record.model_copy(update={"status": "failed", "reason": sentence_of(error)})
    scores = score_transfer(task_of(outcome.proba, splits.train, splits.test), spec.seed)
    write_predictions(
        folder / PREDICTIONS,
        splits.test.ids,
        [splits.test.sources[k].name for k in splits.test.labels],
        [source.name for source in splits.train.sources],
        {"p": outcome.proba},
    )
    return record.model_copy(
        update={
            "created": datetime.now(UTC),
            "scores": score_entries(scores),
            "cost": cost_entry(outcome, len(splits.test), started, context),
            "artifacts": {"predictions": describe_file(folder / PREDICTIONS)},
        }
    )


def _judge(
    spec: TransferSpec, cls: type[Method], prepared: Prepared, context: FitContext
) -> Outcome:
    splits = prepared.splits
    smallest = min(*splits.train.size, *splits.test.size)
    if smallest < cls.card.min_size:
        raise MethodDeclined(
            f"{spec.method} needs images of at least {cls.card.min_size} pixels a side; some "
            f"of these have {smallest}."
        )
    fitted = False

    def noticing(what: str, done: int, total: int) -> None:
        nonlocal fitted
        fitted = fitted or what == "embed"
        context.progress(what, done, total)

    seed_everything(spec.seed)
    method = build_method(cls, spec.variant, spec.params)
    try:
        return run_method(method, splits, replace(context, progress=noticing))
    except MethodDeclined:
        raise
    except Exception as error:
        if prepared.size_rule != "native" or not fitted:
            raise
        raise MethodDeclined(
            f"{spec.method} was trained on {by(splits.train.size)} and cannot judge "
            f"{by(splits.test.size)} ({sentence_of(error)}). Pass --resize to enlarge the smaller "
            "images by nearest neighbour; that leaves a trace of its own, so scores are confounded."
        ) from error


def _description(spec: TransferSpec, cls: type[Method], prepared: Prepared) -> TransferRecord:
    splits = prepared.splits
    trained, tested = (
        {s.architecture for s in part.sources if not s.is_real}
        for part in (splits.train, splits.test)
    )
    families = {s.family for s in splits.train.sources} & {s.family for s in splits.test.sources}
    caps = [
        closed_set_cap(
            sorted(trained), [s.architecture for s in splits.test.sources if not s.is_real], real
        )
        for real in (False, True)
    ]
    return TransferRecord(
        job=spec.key,
        status="done",
        created=datetime.now(UTC),
        method=method_entry(spec, cls),
        train=_side(spec.train, splits.train, prepared.train_size),
        test=_side(spec.test, splits.test, prepared.test_size),
        protocol=TransferProtocolEntry(
            budget=spec.budget,
            seed=spec.seed,
            reference=spec.reference,
            resize=spec.resize,
            size_rule=prepared.size_rule,
            judged_size=splits.test.size,
            classifier="own" if cls.implements("predict_proba") else "probe",
            scoring=spec.scoring,
        ),
        labels=LabelsEntry(
            shared_architectures=sorted(trained & tested),
            new_architectures=sorted(tested - trained),
            shared_families=sorted(families),
            cap=caps[0],
            cap_with_real=caps[1],
            left_out=prepared.left_out,
        ),
        environment=describe_environment(),
    )


def _side(side: Side, images: ImageSet, size: tuple[int, int]) -> SideEntry:
    counts = np.bincount(images.labels, minlength=len(images.sources))
    return SideEntry(
        name=side.name,
        revision=side.revision,
        content_hash=side.content_hash,
        chosen=list(side.sources),
        image_size=size,
        sources=[
            SideSourceEntry(
                name=source.name,
                family=source.family,
                architecture=source.architecture,
                images=int(counts[k]),
            )
            for k, source in enumerate(images.sources)
        ],
    )
