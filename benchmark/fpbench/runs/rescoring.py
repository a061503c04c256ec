"""Scores of a finished job computed again from what is stored beside its record. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from fpbench.errors import BadInput
from fpbench.metrics.score import Score
from fpbench.runs.evidence import PREDICTIONS, read_evidence, read_predictions
from fpbench.runs.job import SCORING_VERSION
from fpbench.runs.plugins import protocol_named
from fpbench.runs.record import Record
from fpbench.scores.evidence import Evidence, Labels, ScoringSettings
from fpbench.scores.family import ScoreFamily, compute_scores


def families_of(record: Record) -> tuple[ScoreFamily, ...]:
    """The families of scores that were computed for a record."""
    computed = record.setup.families
    return tuple(
        family
        for family in protocol_named(record.job.protocol).families
        if computed is None or family.name in computed
    )


def scoring_settings(record: Record) -> ScoringSettings:
    """What scoring must know beside the evidence, as a record states it."""
    return protocol_named(record.job.protocol).scoring_of(record)


def evidence_of(record: Record, folder: Path) -> tuple[Evidence, Labels]:
    """Everything that the scores of a record follow from.

    Args:
        record: The record of a finished job.
        folder: Where its files lie.

    Raises:
        BadInput: If a file is missing, cannot be read, or is of other sources or counts than the
            record states, or lists an image twice.
    """
    tested, columns = record.test.as_sources, record.trained.as_sources
    found = read_evidence(folder, tested, columns, _images(record))
    _check(record, folder, found[1])
    dimension = found[0].arrays.get("dimension")
    stated = record.setup.embedding_dimension
    if dimension is not None and stated is not None and dimension.ravel().tolist() != [stated]:
        raise BadInput(
            f"The evidence in {folder} is of embeddings of dimension "
            f"{', '.join(map(str, dimension.ravel().tolist()))}, the record of {stated}."
        )
    return found


def predictions_of(record: Record, folder: Path) -> tuple[Evidence, Labels]:
    """As `evidence_of`, probabilities alone."""
    tested, columns = record.test.as_sources, record.trained.as_sources
    found = read_predictions(folder / PREDICTIONS, tested, columns, _images(record))
    _check(record, folder, found[1])
    return found


def score_again(record: Record, folder: Path) -> dict[str, Score]:
    """The scores that the stored evidence of a finished record has by the present rules.

    Raises:
        BadInput: As `evidence_of`, or if the evidence cannot be scored.
    """
    evidence, labels = evidence_of(record, folder)
    try:
        return compute_scores(
            families_of(record), evidence, labels, scoring_settings(record), rules=SCORING_VERSION
        )
    except (KeyError, ValueError, IndexError) as error:
        raise BadInput(f"The evidence in {folder} cannot be scored: {error}.") from error


def _images(record: Record) -> int:
    return sum(source.test or 0 for source in record.test.sources)


def _check(record: Record, folder: Path, labels: Labels) -> None:
    import numpy as np

    counts = np.bincount(labels.labels, minlength=len(record.test.sources))
    for source, count in zip(record.test.sources, counts.tolist(), strict=True):
        if count != source.test:
            raise BadInput(
                f"{folder / PREDICTIONS}: the record has {source.test} test images of "
                f"{source.name!r}, the predictions {count}."
            )
    if len(np.unique(labels.ids)) != len(labels.ids):
        raise BadInput(f"{folder / PREDICTIONS} lists an image twice.")
