"""Runs one job: job in, folder with record, predictions and figures out."""

from __future__ import annotations

import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from fpbench import registry
from fpbench.compute.device import device_name, peak_memory_bytes, pick_device, seed_everything
from fpbench.compute.isolation import isolated
from fpbench.compute.threads import limited_threads
from fpbench.compute.training_log import trainings_noted
from fpbench.compute.weights import weights_noted
from fpbench.datasets.dataset import GMDataset
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.files import CannotWrite, told
from fpbench.hub import offline
from fpbench.method import FitContext, Method, MethodDeclined, Progress
from fpbench.runs.curve import TrainingEntry
from fpbench.runs.environment import describe_environment
from fpbench.runs.evidence import write_evidence
from fpbench.runs.job import Job, Side
from fpbench.runs.judge import NullControl, Stopwatch, build_method, fit, sentence_of
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import hashes_of_files
from fpbench.runs.plugins import protocol_named
from fpbench.runs.protocols.base import Finished, Prepared, Protocol
from fpbench.runs.record import (
    RECORD_FILE,
    CostEntry,
    MethodEntry,
    Record,
    ScoreEntry,
    SetupEntry,
    Status,
)
from fpbench.runs.store import FIGURES, Store
from fpbench.runs.timelimit import limited
from fpbench.scores.evidence import Outcome
from fpbench.scores.family import ScoreFamily, chosen_families, compute_scores, gather_evidence

TRACEBACK_FILE = "traceback.txt"


loaded: dict[tuple[str, str, bool], GMDataset] = {}
"""Datasets that the jobs of a plan share, the one used last at the end."""

# A transfer job needs two at a time.
_KEPT = 2


def load_once(
    reference: str, content_hash: str, offline: bool, progress: Progress | None = None
) -> GMDataset:
    """Load a dataset once for the jobs of a plan, which come dataset by dataset.

    Raises:
        BadInput: If it cannot be loaded, or its content is no longer that of the plan.
    """
    key = (reference, content_hash, offline)
    dataset = loaded.pop(key, None)
    if dataset is None:
        dataset = resolve(reference, offline=offline, progress=progress).load(progress)
        if dataset.identity.content_hash != content_hash:
            raise BadInput(
                f"The dataset {reference} changed while the plan was running; start it again."
            )
    loaded[key] = dataset
    while len(loaded) > _KEPT:
        del loaded[next(iter(loaded))]
    return dataset


def load_side(side: Side, *, offline: bool = False, progress: Progress | None = None) -> GMDataset:
    """Load one side of a job.

    Raises:
        BadInput: As `load_once`.
    """
    return load_once(side.reference, side.content_hash, offline, progress)


def execute(
    job: Job, store: Store, options: JobOptions | None = None, progress: Progress | None = None
) -> Record:
    """Run one job and write its folder.

    A method that raises ends in a record with status ``failed`` (``declined`` if it says so),
    never in an exception, so that other jobs go on. KeyboardInterrupt leaves no folder.

    Args:
        job: The job.
        store: Where its folder goes.
        options: How to run it; the defaults where None.
        progress: Progress callback.

    Raises:
        BadInput: If a dataset cannot be loaded or prepared, the device is not there, or the
            store cannot be written to.
    """
    chosen = options or JobOptions()
    threads = nullcontext() if chosen.threads is None else limited_threads(chosen.threads)
    # A plugin that changes a default of torch or the working directory changes it for itself.
    with threads, isolated(), offline(chosen.offline):
        return _Attempt.begin(job, chosen, progress).run(store)


@dataclass(frozen=True)
class _Attempt:
    """One job on its way, with all that its record will say whatever comes of it."""

    job: Job
    options: JobOptions
    protocol: Protocol
    families: tuple[ScoreFamily, ...]
    cls: type[Method]
    prepared: Prepared
    context: FitContext
    stopwatch: Stopwatch

    @classmethod
    def begin(cls, job: Job, options: JobOptions, progress: Progress | None) -> _Attempt:
        stopwatch = Stopwatch()
        device = pick_device(options.device)
        context = FitContext(seed=job.seed, budget=job.budget, device=device)
        if progress is not None:
            context = FitContext(seed=job.seed, budget=job.budget, device=device, progress=progress)
        method = registry.method_class(job.method).variant_class(job.variant)
        _check_files(job, method)
        protocol = protocol_named(job.protocol)
        families = chosen_families(protocol.families, options.scores)
        prepared = protocol.prepare(
            job, partial(load_side, offline=options.offline, progress=progress)
        )
        return cls(job, options, protocol, families, method, prepared, context, stopwatch)

    def run(self, store: Store) -> Record:
        """Judge, score and write; whatever a plugin raises is the failure of its own job."""
        with store.writing(self.job) as folder, weights_noted() as weights:
            try:
                record = self._judged(folder)
            except CannotWrite:
                raise  # a full disk is no fault of the method
            except MethodDeclined as declined:
                record = self._record("declined", str(declined))
            except (Exception, SystemExit) as error:
                with told(store.folder(self.job)):
                    (folder / TRACEBACK_FILE).write_text(traceback.format_exc(), encoding="utf-8")
                record = self._record("failed", sentence_of(error))
            entry = record.method.model_copy(update={"weights": weights})
            record = record.model_copy(update={"method": entry})
            with told(store.folder(self.job)):
                (folder / RECORD_FILE).write_text(record.json_text(), encoding="utf-8")
        return record

    def _judged(self, folder: Path) -> Record:
        job, prepared = self.job, self.prepared
        self.protocol.check(self.cls, job, prepared)
        seed_everything(job.seed)
        method = build_method(self.cls, job.variant, job.params)
        context = limited(self.context, self.options.time_limit)
        with trainings_noted() as logs:
            fitted = fit(method, prepared.splits, context, null=NullControl.of(job))
        training = [TrainingEntry.of(log) for log in logs]
        outcome = self.protocol.judge(fitted, prepared, context, job)
        report = self.context.progress
        report("score", 0, 2)
        labels = prepared.labels
        evidence = gather_evidence(self.families, outcome, labels, prepared.scoring)
        scores = compute_scores(
            self.families, evidence, labels, prepared.scoring, rules=job.scoring
        )
        report("score", 1, 2)
        finished = Finished(job, method, prepared, outcome, evidence, scores)
        notes: list[str] = []
        with told(folder):
            artifacts = write_evidence(folder, evidence, labels)
            artifacts |= self.protocol.write_beside(folder, finished)
            if self.options.figures:
                (folder / FIGURES).mkdir()
                notes = self.protocol.draw(folder / FIGURES, finished.drawable)
        report("score", 2, 2)
        return self._record("done", None, outcome).model_copy(
            update={
                "scores": {key: ScoreEntry.of(score) for key, score in scores.items()},
                "training": training,
                "did_not_train": any(entry.did_not_train for entry in training),
                "artifacts": artifacts,
                "notes": notes,
            }
        )

    def _record(self, status: Status, reason: str | None, outcome: Outcome | None = None) -> Record:
        """What is known of the job, with the time at which it ended."""
        card, prepared, scoring = self.cls.card, self.prepared, self.prepared.scoring
        own = self.cls.implements("predict_proba") if outcome is None else outcome.own_classifier
        every = len(self.families) == len(self.protocol.families)
        return Record(
            key=self.job.key,
            status=status,
            reason=reason,
            created=datetime.now(UTC),
            job=self.job,
            method=MethodEntry(
                title=card.title,
                package=registry.method_package(self.job.method),
                code=registry.code_hash(self.cls),
            ),
            train=prepared.train,
            test=prepared.test,
            setup=SetupEntry(
                unit=card.unit,
                classifier="own" if own else "probe",
                embedding_dimension=None if outcome is None else outcome.dimension,
                fdr_samples=scoring.fdr_samples or None,
                fdr_dimensions=scoring.fdr_dimensions if scoring.fdr_samples else None,
                families=None if every else [family.name for family in self.families],
                facts=prepared.facts,
            ),
            cost=None if outcome is None else self._cost(outcome),
            environment=describe_environment(self.options.executor, self.context.device),
        )

    def _cost(self, outcome: Outcome) -> CostEntry:
        images = len(self.prepared.splits.test)
        return CostEntry(
            fit_seconds=outcome.fit_seconds,
            inference_seconds=outcome.inference_seconds,
            images_per_second=images / max(outcome.inference_seconds, 1e-9),
            total_seconds=self.stopwatch.total,
            reused_seconds=self.stopwatch.reused,
            peak_memory_bytes=peak_memory_bytes(),
            parameters=outcome.parameters,
            device=f"{self.context.device} ({device_name(self.context.device)})",
        )


def _check_files(job: Job, method: type[Method]) -> None:
    """Refuse a job whose files are no longer those that it was planned with.

    Raises:
        BadInput: If one has changed, or is gone.
    """
    # Jobs of before files were hashed hold none, and say so by their key.
    now = hashes_of_files(method, job.variant, job.params) if job.files else {}
    for name, planned in job.files.items():
        if now.get(name) != planned:
            raise BadInput(
                f"The file that --set {name}={job.params.get(name)} names is not the one that "
                f"{job.title} was planned with (SHA-256 {planned[:12]}...): put that one back, or "
                "start the command again to run the new one."
            )


def write_failed(job: Job, store: Store, options: JobOptions, reason: str) -> Record:
    """The record of a job whose process ended without one, written into the store.

    Args:
        job: The job.
        store: Where its folder goes.
        options: How it was run.
        reason: Why it failed, one sentence.

    Raises:
        BadInput: As `execute`.
    """
    attempt = _Attempt.begin(job, options, None)
    record = attempt._record("failed", reason)
    with store.writing(job) as folder, told(store.folder(job)):
        (folder / RECORD_FILE).write_text(record.json_text(), encoding="utf-8")
    return record
