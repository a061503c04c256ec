"""What a board needs of stored predictions: who was right on which image, and confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.archive.layout import evidence_folder
from fpbench.metrics.attribution import confusion_matrix, image_correctness
from fpbench.metrics.comparison import RunSummary, summarise_runs
from fpbench.metrics.null_control import (
    POWERLESS,
    chance_interval,
    chance_p_value,
    commonest_answer,
)
from fpbench.metrics.score import NotComputable
from fpbench.runs.rescoring import predictions_of
from fpbench.scores.evidence import Labels


@dataclass(frozen=True)
class Judged:
    """Who was right: one record's predictions.

    Attributes:
        ids: Ids of the M test images of generators, sorted.
        labels: int64 of shape (M,), their sources, counted among generators.
        correct: float64 of shape (M,), 1 where attributed correctly, 1/t where t tie.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    correct: NDArray[np.float64]


@dataclass(frozen=True)
class JudgedRow:
    """Who was right: the predictions of a row's records together.

    Attributes:
        ids: Ids of the M test images of generators, sorted.
        labels: int64 of shape (M,), their sources, counted among generators.
        summary: Who was right on each of them, and how much runs differ.
        folds: int64 of shape (M,), the fold that each was tested in; None for fixed splits.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    summary: RunSummary
    folds: NDArray[np.int64] | None = None

    @property
    def images(self) -> tuple[bytes, bytes, bytes]:
        """What two rows must share to be compared: images, their sources, their folds."""
        folds = b"" if self.folds is None else self.folds.tobytes()
        return self.ids.tobytes(), self.labels.tobytes(), folds


def _read(entry: Entry) -> tuple[NDArray[np.float32], Labels]:
    """Stored probabilities in the order of ids, and who made which image."""
    try:
        evidence, labels = predictions_of(entry.record, evidence_folder(entry.path))
    except BadInput as error:
        raise BadInput(f"{entry.link}: {error}") from error
    order = np.argsort(labels.ids, kind="stable")
    found = replace(labels, ids=labels.ids[order], labels=labels.labels[order])
    return evidence.proba[order], found


def read_judged(entry: Entry) -> Judged:
    """Read who was right, from the predictions of a finished record.

    Raises:
        BadInput: If they cannot be read, are of other sources or counts, or define no accuracy.
    """
    proba, found = _read(entry)
    try:
        correct, kept = image_correctness(found.labels, proba, found.real)
    except NotComputable as error:
        raise BadInput(f"{entry.link}: the predictions define no accuracy: {error}") from error
    return Judged(found.ids[found.generated], kept, correct)


def read_confusion(entries: Sequence[Entry]) -> NDArray[np.float64] | None:
    """Mean confusion of several records.

    Returns:
        Shape (K, K), share of the images of each source (rows) attributed to each source
        (columns), Real among them; None where predictions define none.

    Raises:
        BadInput: If predictions cannot be read.
    """
    shares = []
    for entry in entries:
        proba, found = _read(entry)
        try:
            counts = confusion_matrix(found.labels, proba, found.real)
        except NotComputable:
            return None
        shares.append(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
    mean: NDArray[np.float64] = np.mean(shares, axis=0)
    return mean


def read_probabilities(entry: Entry) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The sources of a finished record's test images, Real among them, and its probabilities.

    Returns:
        int64 of shape (N,), columns of the true sources, and float32 of shape (N, K).

    Raises:
        BadInput: If they cannot be read.
    """
    proba, found = _read(entry)
    return found.labels, proba


@dataclass(frozen=True)
class Control:
    """A null control and what shuffled labels may give.

    Attributes:
        entry: Its record.
        low: Lower end of the 95 % interval of its accuracy under random renamings.
        high: Upper end.
        p_value: Two-sided p-value of its accuracy; on a board corrected by Holm over its controls
            that have power.
        commonest: Share of images that it gives one answer.
    """

    entry: Entry
    low: float
    high: float
    p_value: float
    commonest: float = 0.0

    @property
    def without_power(self) -> bool:
        """Whether it tells nothing apart, so that being at chance says nothing."""
        return self.commonest >= POWERLESS

    @property
    def at_chance(self) -> bool:
        """Whether nothing speaks against chance at the 5 % level."""
        return self.p_value > 0.05


def read_control(entry: Entry) -> Control:
    """Hold a null control against chance, from its predictions; its p-value is not corrected.

    Raises:
        BadInput: If they cannot be read or define no accuracy.
    """
    proba, found = _read(entry)
    try:
        low, high = chance_interval(found.labels, proba, found.real)
        p_value = chance_p_value(found.labels, proba, found.real)
        commonest = commonest_answer(found.labels, proba, found.real)
    except NotComputable as error:
        raise BadInput(f"{entry.link}: the predictions define no accuracy: {error}") from error
    return Control(entry, low, high, p_value, commonest)


def of_seeds(parts: Sequence[Judged], deterministic: bool = False) -> JudgedRow | None:
    """Runs that judged the same images together, or None if they did not.

    Args:
        parts: One a seed.
        deterministic: Whether the method draws nothing at random, as its card says.
    """
    first = parts[0]
    for part in parts[1:]:
        if not np.array_equal(part.ids, first.ids) or not np.array_equal(part.labels, first.labels):
            return None
    correct = np.stack([part.correct for part in parts])
    summary = summarise_runs(correct, first.labels, deterministic=deterministic)
    return JudgedRow(first.ids, first.labels, summary)


def of_folds(parts: Sequence[JudgedRow]) -> JudgedRow | None:
    """The union of folds, or None if an image is in two of them."""
    ids = np.concatenate([part.ids for part in parts])
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    if (ids[1:] == ids[:-1]).any():
        return None
    correct = np.concatenate([part.summary.correct for part in parts])[order]
    return JudgedRow(
        ids,
        np.concatenate([part.labels for part in parts])[order],
        RunSummary(correct, runs=len(parts)),
        np.repeat(np.arange(len(parts)), [len(part.ids) for part in parts])[order],
    )
