"""What a record claims, held against what lies beside it: job, files, images, scores."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fpbench.errors import BadInput
from fpbench.leaderboard.layout import artifact_path, evidence_folder
from fpbench.runs.artifacts import Evidence, read_evidence
from fpbench.runs.job import LIMITS, SCORING_VERSION, JobSpec
from fpbench.runs.record import Record, ScoreEntry
from fpbench.runs.scoring import Protocol, compute_scores, score_entries

NEEDED = ("predictions", "evidence")
"""Files without which scores cannot be followed; embeddings are too large to ask for."""

ROUNDING = 1e-9
"""Relative difference that another processor's order of summation may make."""

_LARGEST = 64 << 20
_NUMBERS = ("value", "ci_low", "ci_high", "chance")


@dataclass(frozen=True)
class Difference:
    """One number of a record against the same number found again.

    Attributes:
        score: Key of the score.
        field: ``value``, ``ci_low``, ``ci_high``, ``chance``, ``n`` or ``reason``.
        recorded: As it stands in the record.
        found: As it was found.
    """

    score: str
    field: str
    recorded: float | str | None
    found: float | str | None

    @property
    def is_rounding(self) -> bool:
        """Whether the two differ in nothing but the last digits."""
        a, b = self.recorded, self.found
        if not isinstance(a, float | int) or not isinstance(b, float | int):
            return False
        return abs(a - b) <= ROUNDING * max(1.0, abs(a), abs(b))

    def __str__(self) -> str:
        return f"{self.score}.{self.field}: {self.recorded} in the record, {self.found} found"


def spec_of(record: Record, location: str = "") -> JobSpec:
    """The job that a record says it is of.

    Args:
        record: The record.
        location: What the dataset is to be loaded by, where that is not its name.
    """
    limits: dict[str, Any] = {name: getattr(record.protocol, name) for name in LIMITS}
    return JobSpec(
        method=record.method.name,
        variant=record.method.variant,
        dataset=record.dataset.name,
        revision=record.dataset.revision,
        content_hash=record.dataset.content_hash,
        method_version=record.method.version,
        params=record.method.params,
        budget=record.protocol.budget,
        seed=record.protocol.seed,
        fold=record.protocol.fold,
        folds=record.protocol.folds,
        control=record.protocol.control,
        scoring=record.protocol.scoring,
        location=location,
        **limits,
    )


def protocol_of(record: Record) -> Protocol:
    """What scoring must know, as the record states it."""
    real = [k for k, source in enumerate(record.dataset.sources) if source.family == "Real"]
    return Protocol(
        real=real[0] if real else None,
        fdr_samples=record.protocol.fdr_samples,
        fdr_dimensions=record.protocol.fdr_dimensions,
        seed=record.protocol.seed,
    )


def check_job(record: Record, path: Path) -> None:
    """Check that the job's hash follows from the record's own fields.

    Raises:
        BadInput: If it does not: a field that decides the result was changed.
    """
    expected = spec_of(record).key
    if record.job != expected:
        raise BadInput(
            f"{path}: the job {record.job} does not follow from the record's method, dataset and "
            f"protocol, which give {expected}; a field was changed after the run."
        )


def check_unlimited(record: Record, path: Path) -> None:
    """Check that the job was given everything, as every row of a board must be.

    Raises:
        BadInput: If one of `fpbench.runs.job.LIMITS` is set: the record is of an ablation.
    """
    told = []
    for name in LIMITS:
        limit = getattr(record.protocol, name)
        if limit is not None:
            shown = ", ".join(map(str, limit)) if isinstance(limit, tuple) else str(limit)
            told.append(f"{name.replace('_', ' ')}: {shown}")
    if told:
        raise BadInput(
            f"{path} is of an ablation ({'; '.join(told)}), which is never ranked; a board takes "
            "only jobs without limits, as `fpbench run` makes them."
        )


def check_files(record: Record, path: Path) -> None:
    """Check that the files a record names are there and are the files it was made with.

    Embeddings are checked where they are there.

    Raises:
        BadInput: If one is missing, lies outside, or is another file.
    """
    for name in NEEDED:
        if name not in record.artifacts:
            raise BadInput(f"{path} names no {name}, so its scores cannot be followed.")
    for name, entry in record.artifacts.items():
        found = artifact_path(path, entry)
        if not found.is_file():
            if name not in NEEDED:
                continue
            raise BadInput(f"{found} is missing, so the scores of {path.name} cannot be followed.")
        size = found.stat().st_size
        if size == entry.size and name in NEEDED and size > _LARGEST:
            raise BadInput(f"{found} has {size >> 20} MiB; at most {_LARGEST >> 20} are read.")
        if size != entry.size or _digest(found) != entry.sha256:
            raise BadInput(
                f"{found} is not the file that the record was made with: its checksum differs."
            )


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_checked_evidence(record: Record, path: Path) -> Evidence:
    """The evidence of a record, if it is of the sources and counts that the record states.

    Raises:
        BadInput: If it cannot be read or is of other sources or counts.
    """
    evidence = read_evidence(evidence_folder(path))
    names = tuple(source.name for source in record.dataset.sources)
    if evidence.names != names:
        raise BadInput(f"{path}: the predictions are for the sources {', '.join(evidence.names)}.")
    counts = Counter(evidence.labels.tolist())
    for k, source in enumerate(record.dataset.sources):
        if counts[k] != source.test:
            raise BadInput(
                f"{path}: the record has {source.test} test images of {source.name!r}, the "
                f"predictions {counts[k]}."
            )
    if len(np.unique(evidence.ids)) != len(evidence.ids):
        raise BadInput(f"{path}: the predictions list an image twice.")
    return evidence


def compare_scores(
    recorded: Mapping[str, ScoreEntry], found: Mapping[str, ScoreEntry]
) -> list[Difference]:
    """Every number in which two sets of scores differ, however little."""
    differences = []
    for key in sorted(set(recorded) | set(found)):
        if key not in recorded or key not in found:
            there = "there" if key in recorded else None
            differences.append(Difference(key, "score", there, None if there else "there"))
            continue
        for field in (*_NUMBERS, "n", "reason"):
            a, b = getattr(recorded[key], field), getattr(found[key], field)
            if a != b:
                differences.append(Difference(key, field, a, b))
    return differences


def check_rules(scoring: int, path: Path) -> None:
    """Check that a record was scored by the rules that its scores would be followed by.

    Args:
        scoring: Version of the rules in the record.
        path: The record.

    Raises:
        BadInput: If it was scored by others.
    """
    if scoring != SCORING_VERSION:
        raise BadInput(
            f"{path} was scored by version {scoring} of the rules, this fpbench has version "
            f"{SCORING_VERSION}: run `fpbench rescore` on its run and submit it again."
        )


def score_again(record: Record, path: Path) -> dict[str, ScoreEntry]:
    """The scores that the stored predictions of a finished record have by the present rules.

    Raises:
        BadInput: If the evidence cannot be read, is of other images, or cannot be scored.
    """
    evidence = read_checked_evidence(record, path)
    try:
        return score_entries(compute_scores(evidence, protocol_of(record)))
    except (ValueError, IndexError) as error:
        raise BadInput(f"{path}: the stored predictions cannot be scored: {error}.") from error


def recomputed(record: Record, path: Path) -> list[Difference]:
    """Score the stored predictions again and list what differs from the record.

    Raises:
        BadInput: If the record is of other rules, or the evidence cannot be read, is of other
            images, or cannot be scored.
    """
    check_rules(record.protocol.scoring, path)
    # A score that this fpbench does not know how to compute cannot be followed, and is listed.
    return compare_scores(record.scores, score_again(record, path))
