"""Runs a record's job again, and judges whether the two runs agree."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench import registry
from fpbench.errors import BadInput
from fpbench.leaderboard.archive.claims import Difference, check_files, check_job, compare_scores
from fpbench.leaderboard.archive.layout import RUN_RECORDS, evidence_folder
from fpbench.method import Progress
from fpbench.metrics.agreement import rank_agreement
from fpbench.metrics.runs import next_run
from fpbench.metrics.score import Integers
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.record import Record, ScoreEntry, read_record
from fpbench.runs.rescoring import evidence_of
from fpbench.scores.catalogue import bounds

Outcome = Literal[
    "bitwise", "within tolerance", "reproduced within seed variation", "mismatch", "not checked"
]

WORST_FIRST: tuple[Outcome, ...] = (
    "mismatch",
    "reproduced within seed variation",
    "within tolerance",
    "bitwise",
)

TOLERANCE = 0.5
"""By how many half-widths of its own interval a score may move when a job is run again."""

_WITHOUT_INTERVAL = 0.02  # relative, for scores that have none

SEED_DEVIATION = 0.055
"""Standard deviation between seeds that a score of the unit interval is taken to have where the
seeds of its row do not tell: the largest that the accuracy of a published row has."""

SEED_DEVIATION_ELSEWHERE = 0.25
"""The same for scores that have no upper bound, as a share of the score."""

_SURE = 3.09  # standard deviations that the ranks of images must agree beyond chance: p < 0.001


@dataclass(frozen=True)
class Step:
    """One thing that was verified.

    Attributes:
        what: E.g. ``scores``.
        outcome: How it ended.
        details: Sentences: differences, or why it was not checked.
    """

    what: str
    outcome: Outcome
    details: tuple[str, ...] = ()


def run_again(
    record: Record,
    job: Job,
    path: Path,
    device: str,
    tolerance: float,
    offline: bool,
    progress: Progress | None,
) -> Step:
    """Run a record's job again, compare scores and probabilities, and say what computed them.

    Args:
        record: The record.
        job: Its job, on the dataset as it is named here.
        path: The record's file; other seeds of its row lie beside it.
        device: Device to run on.
        tolerance: Half-widths of its interval that a score may move by.
        offline: Whether to keep from asking the Hub for the dataset.
        progress: Progress callback of the run.
    """
    try:
        cls, _ = registry.resolve_method(f"{record.job.method}:{record.job.variant}")
    except BadInput as error:
        return Step("rerun", "not checked", (str(error),))
    if cls.card.version != record.job.method_version:
        told = (
            f"version {cls.card.version} is installed, the record is of {record.job.method_version}"
        )
        return Step("rerun", "not checked", (f"Of {record.job.method}, {told}.",))
    # Imported here, because they import torch: following stored predictions needs none.
    from fpbench.runs.environment import environment_differences
    from fpbench.runs.execute import execute
    from fpbench.runs.store import Store

    # As many threads as the record's run had, because training amplifies the order of sums.
    options = JobOptions(
        device=device, figures=False, offline=offline, threads=record.environment.threads
    )
    with tempfile.TemporaryDirectory(prefix="fpbench-verify-") as folder:
        store = Store(Path(folder))
        try:
            again = execute(job, store, options, progress)
        except BadInput as error:
            return Step("rerun", "not checked", (str(error),))
        if again.status != "done":
            return Step("rerun", "mismatch", (f"It {again.status}: {again.reason}",))
        differences = compare_scores(record.scores, again.scores)
        try:
            first, labels = evidence_of(record, evidence_folder(path))
            second, found = evidence_of(again, store.folder(job))
        except BadInput as error:
            return Step("rerun", "mismatch", (str(error),))
    same = np.array_equal(labels.ids, found.ids) and np.array_equal(labels.labels, found.labels)
    if not same:
        return Step("rerun", "mismatch", ("The predictions are of other images.",))
    other = tuple(
        f"Computed otherwise: {line}"
        for line in environment_differences(record.environment, again.environment)
    )
    if not differences and np.array_equal(first.proba, second.proba):
        return Step("rerun", "bitwise", other)
    step = judged_rerun(
        record.scores,
        differences,
        (first.proba, second.proba, _columns(record, first.proba, labels.labels)),
        tolerance,
        other_seeds(record, path),
    )
    return replace(step, details=step.details + other)


def _columns(record: Record, proba: NDArray[np.float32], labels: Integers) -> Integers:
    """The column of each image's source; of one that has none, the column that it gets most of."""
    columns = [source.name for source in record.trained.sources]
    found = np.empty(len(record.test.sources), dtype=np.int64)
    for k, source in enumerate(record.test.sources):
        known = source.name in columns
        found[k] = columns.index(source.name) if known else proba[labels == k].sum(axis=0).argmax()
    return found[labels]


def judged_rerun(
    recorded: Mapping[str, ScoreEntry],
    differences: Sequence[Difference],
    answers: tuple[ArrayLike, ArrayLike, ArrayLike],
    tolerance: float = TOLERANCE,
    seeds: Sequence[Mapping[str, ScoreEntry]] = (),
) -> Step:
    """Whether a second run agrees with a record.

    Within tolerance, if no score moved by more than `tolerance` half-widths of its interval.
    Reproduced within seed variation, if every score that moved further lies where another seed of
    the row would (`fpbench.metrics.runs.next_run`, all scores together at 95 %), and both runs
    find the same images of a source easy: another processor trains another network, as another
    seed does, but it does not deal the answers to other images. Mismatch otherwise.

    Args:
        recorded: Scores of the record.
        differences: What differs in the second run.
        answers: Probabilities of both runs, shape (N, K), and the column of each image's source,
            shape (N,).
        tolerance: Half-widths of its interval that a score may move by.
        seeds: Scores of the row's other seeds.
    """
    first, second, labels = (np.asarray(part) for part in answers)
    moved = float(np.abs(first - second).max(initial=0.0))
    told = [f"Probabilities differ by {moved:.2g} at most."]
    values = [d for d in differences if d.field in ("value", "score", "n", "reason")]
    beyond = [d for d in values if not _tolerable(d, recorded, tolerance)]
    if not beyond:
        return Step("rerun", "within tolerance", (*told, *map(str, values)))
    within: list[str] = []
    outside: list[str] = []
    for d in beyond:
        span = _of_another_seed(d, recorded, seeds)
        inside = span is not None and isinstance(d.found, float) and span[0] <= d.found <= span[1]
        where = "" if span is None else f"; another seed: {span[0]:.4g} to {span[1]:.4g}"
        (within if inside else outside).append(f"{d}{where}")
    if outside:
        return Step("rerun", "mismatch", (*told, *outside))
    agreement = rank_agreement(first, second, labels)
    alike = f"rank correlation {agreement.correlation:.2f}, {agreement.z:.1f} standard deviations"
    if agreement.z < _SURE:
        told.append(
            "Every score lies where another seed's would, but the two runs do not find the same "
            f"images easy ({alike} from none): the answers are not of these images."
        )
        return Step("rerun", "mismatch", tuple(told))
    told.append(
        f"Every score lies where another seed's would, by {_counted(seeds)}; the images that one "
        f"run finds easy, the other does ({alike})."
    )
    return Step("rerun", "reproduced within seed variation", (*told, *within))


def _counted(seeds: Sequence[Mapping[str, ScoreEntry]]) -> str:
    if not seeds:
        return (
            f"the stated deviation of {SEED_DEVIATION} (a quarter of scores without a bound), as "
            "no other seed lies beside the record"
        )
    return f"the {len(seeds) + 1} seeds beside the record"


def other_seeds(record: Record, path: Path) -> list[Mapping[str, ScoreEntry]]:
    """Scores of the other seeds of a record's row, from the records beside it.

    Records that are not sound are left out, as a board leaves them out.

    Args:
        record: The record.
        path: Its file, in a leaderboards' folder or in a run's folder.
    """
    if path.name in RUN_RECORDS:
        beside = [file for name in RUN_RECORDS for file in path.parent.parent.glob(f"*/{name}")]
    else:
        beside = list(path.parent.glob("*.json"))
    found: dict[int, Mapping[str, ScoreEntry]] = {}
    for file in sorted(beside):
        if file.resolve() == path.resolve():
            continue
        try:
            other = read_record(file)
            same = replace(other.job, seed=record.job.seed).key == record.job.key
            if not same or other.status != "done" or other.job.seed == record.job.seed:
                continue
            check_job(other, file)
            check_files(other, file)
        except BadInput:
            continue
        found.setdefault(other.job.seed, other.scores)
    return list(found.values())


def _tolerable(
    difference: Difference, recorded: Mapping[str, ScoreEntry], tolerance: float
) -> bool:
    a, b = difference.recorded, difference.found
    if difference.field != "value" or not isinstance(a, float) or not isinstance(b, float):
        return False
    entry = recorded[difference.score]
    if entry.ci_low is None or entry.ci_high is None:
        return abs(a - b) <= _WITHOUT_INTERVAL * max(abs(a), abs(b))
    # The longer side counts: at a bound the shorter one is nothing.
    half = max(a - entry.ci_low, entry.ci_high - a)
    return abs(a - b) <= tolerance * half


def _of_another_seed(
    difference: Difference,
    recorded: Mapping[str, ScoreEntry],
    seeds: Sequence[Mapping[str, ScoreEntry]],
) -> tuple[float, float] | None:
    """Where the score would lie for another run of its row; None if it is no number."""
    key, value = difference.score, difference.recorded
    if difference.field != "value" or not isinstance(value, float):
        return None
    others = [seed[key].value for seed in seeds if key in seed]
    values = [value, *(other for other in others if other is not None)]
    bounded = math.isfinite(bounds(key)[1])
    deviation = SEED_DEVIATION if bounded else SEED_DEVIATION_ELSEWHERE * abs(value)
    return next_run(values, deviation, len(recorded))
