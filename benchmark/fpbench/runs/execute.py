"""Runs one job: spec in, folder with record, predictions and figures out."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from fpbench import registry
from fpbench.compute.device import seed_everything
from fpbench.datasets.load import GMDataset
from fpbench.method import FitContext, Method, MethodDeclined, Progress
from fpbench.runs.artifacts import write_embeddings, write_evidence
from fpbench.runs.attempt import (
    cost_entry,
    keep_traceback,
    load_once,
    make_context,
    method_entry,
    sentence_of,
)
from fpbench.runs.environment import describe_environment
from fpbench.runs.figures import draw_figures
from fpbench.runs.fingerprintbags import BAG_SIZE, gather_fingerprint_bags, write_fingerprint_bags
from fpbench.runs.folds import Splits, limit_splits, splits_of
from fpbench.runs.job import JobSpec
from fpbench.runs.outcome import BAG_SIZES, build_method, run_method
from fpbench.runs.record import DatasetEntry, ProtocolEntry, Record, SourceEntry
from fpbench.runs.scoring import (
    Protocol,
    compute_scores,
    gather_evidence,
    make_protocol,
    score_entries,
)
from fpbench.runs.store import RECORD_FILE, Store
from fpbench.runs.structure import describe_structure, write_structure
from fpbench.runs.timelimit import limited


def execute(
    spec: JobSpec,
    store: Store,
    *,
    device: str = "auto",
    progress: Progress | None = None,
    figures: bool = True,
    offline: bool = False,
    time_limit: float | None = None,
) -> Record:
    """Run one job and write its folder.

    A method that raises ends in a record with status ``failed`` (``declined`` if it says so),
    never in an exception, so that other jobs go on. KeyboardInterrupt leaves no folder.

    Args:
        spec: The job.
        store: Where its folder goes.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Progress callback.
        figures: Whether to draw figures.
        offline: Whether to keep from asking the Hub for the dataset.
        time_limit: Minutes that the method may take (see `TimeLimit`), or None. A job that
            takes longer is declined; what it scores does not depend on the limit.

    Raises:
        BadInput: If the dataset cannot be loaded, the device is not there, or the store cannot
            be written to.
    """
    started = time.perf_counter()
    context = make_context(spec, device, progress)
    dataset = load_once(spec.location or spec.dataset, spec.content_hash, offline)
    splits = limit_splits(
        splits_of(dataset, spec.fold, spec.folds),
        spec.train_images,
        spec.reference_images,
        spec.seed,
    )
    cls = registry.method_class(spec.method).variant_class(spec.variant)
    with store.writing(spec) as folder:
        try:
            record = _run(spec, cls, dataset, splits, context, folder, started, figures, time_limit)
        except MethodDeclined as declined:
            record = _unfinished(spec, cls, dataset, splits, "declined", str(declined))
        # Whatever a plugin raises is the failure of its own job; the traceback is kept beside it.
        except Exception as error:
            keep_traceback(folder)
            record = _unfinished(spec, cls, dataset, splits, "failed", sentence_of(error))
        text = record.model_dump_json(indent=2) + "\n"
        (folder / RECORD_FILE).write_text(text, encoding="utf-8")
    return record


def _run(
    spec: JobSpec,
    cls: type[Method],
    dataset: GMDataset,
    splits: Splits,
    context: FitContext,
    folder: Path,
    started: float,
    figures: bool,
    time_limit: float | None,
) -> Record:
    if min(splits.test.size) < cls.card.min_size:
        h, w = splits.test.size
        raise MethodDeclined(
            f"{spec.method} needs images of at least {cls.card.min_size} pixels a side; "
            f"these are {h}x{w}."
        )
    seed_everything(spec.seed)
    method = build_method(cls, spec.variant, spec.params)
    outcome = run_method(
        method,
        splits,
        limited(context, time_limit),
        shuffle_labels=spec.control == "shuffled-labels",
        bag_sizes=spec.bag_sizes or BAG_SIZES,
    )
    context.progress("score", 0, 2)
    protocol = make_protocol(dataset, splits, spec.seed)
    evidence = gather_evidence(outcome, splits, protocol)
    scores = score_entries(compute_scores(evidence, protocol))
    context.progress("score", 1, 2)
    artifacts = write_evidence(folder, evidence)
    fingerprints = np.stack(
        [
            outcome.train_embeddings[splits.train.labels == k].mean(axis=0)
            for k in range(len(dataset.sources))
        ]
    )
    artifacts["embeddings"] = write_embeddings(folder, outcome.test_embeddings, fingerprints)
    if spec.fingerprint_bags:
        size = spec.fingerprint_bag_size or BAG_SIZE
        found = gather_fingerprint_bags(
            method, outcome, splits, spec.fingerprint_bags, size, spec.seed
        )
        artifacts["fingerprint_bags"] = write_fingerprint_bags(folder, found)
    structure = describe_structure(evidence, outcome.test_embeddings, dataset.sources, spec.seed)
    if structure is not None:
        artifacts["structure"] = write_structure(folder, structure)
    if figures:
        (folder / "figures").mkdir()
        draw_figures(folder / "figures", spec, method, outcome, evidence, splits, structure)
    context.progress("score", 2, 2)
    return Record(
        job=spec.key,
        status="done",
        created=datetime.now(UTC),
        method=method_entry(spec, cls),
        dataset=_dataset_entry(spec, dataset, splits),
        protocol=_protocol_entry(
            spec,
            cls,
            protocol,
            classifier_is_own=outcome.own_classifier,
            dimension=evidence.dimension,
        ),
        scores=scores,
        cost=cost_entry(outcome, len(splits.test), started, context),
        environment=describe_environment(),
        artifacts=artifacts,
    )


def _unfinished(
    spec: JobSpec,
    cls: type[Method],
    dataset: GMDataset,
    splits: Splits,
    status: str,
    reason: str,
) -> Record:
    return Record(
        job=spec.key,
        status="declined" if status == "declined" else "failed",
        reason=reason,
        created=datetime.now(UTC),
        method=method_entry(spec, cls),
        dataset=_dataset_entry(spec, dataset, splits),
        protocol=_protocol_entry(
            spec,
            cls,
            make_protocol(dataset, splits, spec.seed),
            classifier_is_own=cls.implements("predict_proba"),
            dimension=None,
        ),
        environment=describe_environment(),
    )


def _dataset_entry(spec: JobSpec, dataset: GMDataset, splits: Splits) -> DatasetEntry:
    counts = [
        np.bincount(part.labels, minlength=len(dataset.sources))
        for part in (splits.train, splits.validation, splits.test)
    ]
    return DatasetEntry(
        name=spec.dataset,
        revision=spec.revision,
        content_hash=spec.content_hash,
        image_size=splits.test.size,
        reference=len(splits.reference),
        sources=[
            SourceEntry(
                name=source.name,
                family=source.family,
                architecture=source.architecture,
                train=int(counts[0][k]),
                validation=int(counts[1][k]),
                test=int(counts[2][k]),
            )
            for k, source in enumerate(dataset.sources)
        ],
        shortcut=dataset.shortcut,
    )


def _protocol_entry(
    spec: JobSpec,
    cls: type[Method],
    protocol: Protocol,
    *,
    classifier_is_own: bool,
    dimension: int | None,
) -> ProtocolEntry:
    return ProtocolEntry(
        budget=spec.budget,
        seed=spec.seed,
        fold=spec.fold,
        folds=spec.folds,
        unit=cls.card.unit,
        control=spec.control,
        classifier="own" if classifier_is_own else "probe",
        embedding_dimension=dimension,
        fdr_samples=protocol.fdr_samples,
        fdr_dimensions=protocol.fdr_dimensions,
        scoring=spec.scoring,
        train_images=spec.train_images,
        reference_images=spec.reference_images,
        bag_sizes=spec.bag_sizes,
        fingerprint_bags=spec.fingerprint_bags,
        fingerprint_bag_size=spec.fingerprint_bag_size,
    )
