"""What a record claims, held against what lies beside it: job, files, images, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.files import file_sha256
from fpbench.leaderboard.archive.layout import artifact_path, evidence_folder
from fpbench.runs.job import SCORING_VERSION
from fpbench.runs.record import Record, ScoreEntry
from fpbench.runs.rescoring import families_of, score_again

NEEDED = ("predictions", "evidence")
"""Files that scores follow from."""

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


def check_job(record: Record, path: Path) -> None:
    """Check that the job's hash follows from the record's own fields.

    Raises:
        BadInput: If it does not: a field that decides the result was changed.
    """
    expected = record.job.key
    if record.key != expected:
        raise BadInput(
            f"{path}: the key {record.key} does not follow from the record's job, which gives "
            f"{expected}; a field was changed after the run."
        )


def check_unlimited(record: Record, path: Path) -> None:
    """Check that the job was given everything, as every row of a board must be.

    Raises:
        BadInput: If a limit is set, so that the record is of an ablation, or scores were left out.
    """
    if record.job.limits.stated:
        raise BadInput(
            f"{path} is of an ablation ({record.job.limits}), which is never ranked; a board takes "
            "only jobs without limits, as `fpbench run` makes them."
        )
    if record.status == "done" and record.setup.families is not None:
        raise BadInput(
            f"{path} holds the scores of {', '.join(record.setup.families)} only; run the job "
            "again without --scores."
        )


def check_purpose(record: Record, path: Path) -> None:
    """Check that the job is on datasets that have a board.

    Raises:
        BadInput: If one is a development set, on which settings of methods were chosen.
    """
    from fpbench.datasets.card import is_development

    for side in (record.job.train, record.job.test):
        if is_development(side.name):
            raise BadInput(
                f"{path} is of {side.name}, a development set on which settings of methods are "
                "chosen; it has no board. Run the job on another dataset."
            )


def check_files(record: Record, path: Path) -> None:
    """Check that the files a record names are there and are the files it was made with.

    Embeddings are checked where they are there.

    Raises:
        BadInput: If one is missing, lies outside, or is another file.
    """
    needed = needed_files(record)
    for name in needed:
        if name not in record.artifacts:
            raise BadInput(f"{path} names no {name}, so its scores cannot be recomputed.")
    for name, entry in record.artifacts.items():
        found = artifact_path(path, entry)
        if not found.is_file():
            if name not in needed:
                continue
            raise BadInput(
                f"{found} is missing, so the scores of {path.name} cannot be recomputed."
            )
        size = found.stat().st_size
        if size == entry.size and name in needed and size > _LARGEST:
            raise BadInput(f"{found} has {size >> 20} MiB; at most {_LARGEST >> 20} are read.")
        if size != entry.size or file_sha256(found) != entry.sha256:
            raise BadInput(
                f"{found} is not the file that the record was made with: its checksum differs."
            )


def needed_files(record: Record) -> tuple[str, ...]:
    """Names of the files without which the scores of a record cannot be computed again.

    Embeddings are too large to ask for. Evidence there need not be where families of scores keep
    nothing beside predictions (those of a transfer), or not all of them were computed.
    """
    keep = record.setup.families is None and any(f.keeps for f in families_of(record))
    return tuple(n for n in NEEDED if n == "predictions" or keep or n in record.artifacts)


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
    """Check that a record was scored by the rules that its scores would be recomputed by.

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


def recomputed(record: Record, path: Path) -> list[Difference]:
    """Score the stored predictions again and list what differs from the record.

    Raises:
        BadInput: If the record is of other rules, or the evidence cannot be read, is of other
            images, or cannot be scored.
    """
    check_rules(record.job.scoring, path)
    # A score that this fpbench does not know how to compute cannot be recomputed, and is listed.
    found = record.with_scores(score_again(record, evidence_folder(path)))
    return compare_scores(record.scores, found.scores)
