"""From records to rows: one row a configuration, its seeds and folds combined."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.collect import Entry, Problem
from fpbench.leaderboard.ranking.judged import Judged, JudgedRow, of_folds, of_seeds, read_judged
from fpbench.metrics.comparison import Comparisons
from fpbench.metrics.ranking import ALPHA, RankRange
from fpbench.metrics.runs import combine
from fpbench.metrics.score import Score
from fpbench.runs.job import Job
from fpbench.runs.record import CostEntry, MethodEntry, Record
from fpbench.scores.attribution import ACCURACY
from fpbench.scores.catalogue import bounds

HEADLINE = ACCURACY.key

DID_NOT_TRAIN = "did not train"
"""Why a row has no rank one of whose runs never got below the loss of guessing."""

ONE_RUN = "one run"
"""Why a row has no rank of its own whose method may give another result with another seed."""

_T = TypeVar("_T")
_K = TypeVar("_K")


@dataclass(frozen=True)
class Cost:
    """Means over a row's records; memory is the largest.

    Attributes:
        fit_seconds: Wall time of fit.
        images_per_second: Test images per second of inference.
        total_seconds: Wall time of a job.
        peak_memory_bytes: Peak resident memory.
        parameters: Learned parameters, or None.
        device: The device, or how many different ones.
    """

    fit_seconds: float
    images_per_second: float
    total_seconds: float
    peak_memory_bytes: int
    parameters: int | None
    device: str


@dataclass(frozen=True)
class Row:
    """One configuration of a method on one dataset.

    Attributes:
        job: Of its newest record: method, variant, version and parameters are the row's.
        method: Package and title, as in its newest record.
        entries: Its records, by fold and seed.
        scores: By key, combined over folds and seeds.
        spread: Smallest and largest value over seeds, for scores with several.
        cost: What its jobs cost, or None.
        judged: Its predictions, or None where they cannot be compared.
        rank: The ranks that it may have, or None.
        unranked: Why it has no rank, or None; `ONE_RUN` has comparisons nonetheless.
        remarks: What its method's card has boards say beside it.
    """

    job: Job
    method: MethodEntry
    entries: tuple[Entry, ...]
    scores: Mapping[str, Score] = field(default_factory=dict)
    spread: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    cost: Cost | None = None
    judged: JudgedRow | None = None
    rank: RankRange | None = None
    unranked: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The method as it is asked for: ``manifpt:freq k=5``."""
        return self.job.label

    @property
    def is_baseline(self) -> bool:
        """Whether the method's card says that it claims no fingerprint."""
        return "baseline" in self.remarks

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that were run, sorted."""
        return tuple(sorted({entry.record.job.seed for entry in self.entries}))

    @property
    def newest(self) -> Record:
        """The record made last."""
        return max(self.entries, key=_age).record

    @property
    def value(self) -> float | None:
        """The headline score, if there is one."""
        score = self.scores.get(HEADLINE)
        return None if score is None else score.value


@dataclass(frozen=True)
class Section:
    """Rows that compare: one budget, one way of splitting, one version of scoring.

    Attributes:
        budget: Training length.
        folds: Number of folds, or None for the dataset's own splits.
        scoring: Version of the scoring rules.
        rows: Highest accuracy first, rows without one last.
        pairs: Comparisons of the rows that have predictions of the same images.
        paired: Positions in `rows` of the rows of `pairs`.
        by_image: Whether folds are of single images, as they were before blocks were assigned.
    """

    budget: str
    folds: int | None
    scoring: int
    rows: tuple[Row, ...]
    pairs: Comparisons | None = None
    paired: tuple[int, ...] = ()
    by_image: bool = False

    @property
    def title(self) -> str:
        """E.g. ``Budget small, 10 folds``."""
        folds = "" if self.folds is None else f", {self.folds} folds"
        folds += " of single images" if self.by_image else ""
        return f"Budget {self.budget}{folds}"

    @property
    def leaders(self) -> tuple[Row, ...]:
        """The compared row of highest accuracy, and those not significantly different from it."""
        if self.pairs is None or not self.paired:
            return ()
        close = self.pairs.corrected[0] > ALPHA
        return tuple(self.rows[k] for i, k in enumerate(self.paired) if i == 0 or close[i])


def _age(entry: Entry) -> tuple[object, str]:
    return entry.record.created, entry.record.key


def grouped(items: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    """Items by key, in the order in which they come."""
    groups: dict[_K, list[_T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def configuration(entry: Entry) -> tuple[str, str, str]:
    """What a row stands for: method, variant, and parameters with the files that they name."""
    job = entry.record.job
    told = [job.params, job.files] if job.files else job.params
    return job.method, job.variant, json.dumps(told, sort_keys=True)


def current(entries: Iterable[Entry]) -> list[Entry]:
    """Of each configuration, the records of the method's version that was run last."""
    kept: list[Entry] = []
    for members in grouped(entries, configuration).values():
        version = max(members, key=_age).record.job.method_version
        kept += [entry for entry in members if entry.record.job.method_version == version]
    return kept


def weights_of(record: Record) -> tuple[str, ...]:
    """SHA-256 of the trained weights that a job read, sorted; whatever their files were called."""
    return tuple(sorted(record.method.weights.values()))


def of_same_weights(entries: Sequence[Entry], problems: list[Problem]) -> list[Entry]:
    """The records of each configuration that read the weights which its newest record read.

    Args:
        entries: Finished records that compare otherwise.
        problems: What is left out is added here.
    """
    newest = {
        kind: max(members, key=_age) for kind, members in grouped(entries, configuration).items()
    }
    kept = []
    for entry in entries:
        last = newest[configuration(entry)]
        if weights_of(entry.record) == weights_of(last.record):
            kept.append(entry)
            continue
        problems.append(
            Problem(
                entry.link,
                f"was made with other trained weights than {last.link}, the newest record of its "
                "configuration, or does not say with which, so the two are not combined; run it "
                "again with those.",
            )
        )
    return kept


def make_row(
    entries: Sequence[Entry], problems: list[Problem], deterministic: bool = False
) -> Row | None:
    """One row from the finished records of one configuration, budget and number of folds.

    Records whose predictions cannot be read become problems and are left out.

    Args:
        entries: The records.
        problems: What is found wrong is added here.
        deterministic: Whether every seed gives the same predictions, as the method's card says.

    Returns:
        The row, or None if no record was left.
    """
    usable: list[Entry] = []
    judged: dict[str, Judged] = {}
    for entry in sorted(entries, key=_place):
        try:
            judged[entry.link] = read_judged(entry)
            _ = entry.record.score_values  # raises on a score that cannot be
        except BadInput as error:
            problems.append(Problem(entry.link, str(error).removeprefix(f"{entry.link}: ")))
            continue
        except ValueError as error:
            problems.append(Problem(entry.link, f"holds a score that cannot be: {error}"))
            continue
        usable.append(entry)
    if not usable:
        return None
    folds = usable[0].record.job.folds
    by_fold = grouped(usable, lambda entry: entry.record.job.fold)
    together, unranked = _judged_together(by_fold, judged, folds, deterministic)
    idle = sum(entry.record.did_not_train for entry in usable)
    if idle:
        together = None
        unranked = DID_NOT_TRAIN
        if idle < len(usable):
            unranked += f" in {idle} of {len(usable)} runs"
    newest = max(usable, key=_age).record
    return Row(
        job=newest.job,
        method=newest.method,
        entries=tuple(usable),
        scores=combined_scores(by_fold),
        spread=_spread(usable) if folds is None else {},
        cost=_cost([entry.record.cost for entry in usable if entry.record.cost is not None]),
        judged=together,
        unranked=unranked,
    )


def _place(entry: Entry) -> tuple[int, int, str]:
    job = entry.record.job
    return (-1 if job.fold is None else job.fold), job.seed, job.key


def combined_scores(by_fold: Mapping[_K, Sequence[Entry]]) -> dict[str, Score]:
    """Over the seeds of each fold, then over folds; of scores that every record has."""
    tables = [[entry.record.score_values for entry in members] for members in by_fold.values()]
    records = [scores for seeds in tables for scores in seeds]
    keys = [key for key in records[0] if all(key in scores for scores in records)]
    found = {}
    for key in keys:
        lower, upper = bounds(key)
        found[key] = combine(
            [[scores[key] for scores in seeds] for seeds in tables], lower=lower, upper=upper
        )
    return found


def _spread(entries: Sequence[Entry]) -> dict[str, tuple[float, float]]:
    if len(entries) < 2:
        return {}
    found = {}
    for key in entries[0].record.scores:
        values = [
            score.value
            for entry in entries
            if (score := entry.record.scores.get(key)) is not None and score.value is not None
        ]
        if len(values) == len(entries):
            found[key] = (min(values), max(values))
    return found


def _judged_together(
    by_fold: Mapping[int | None, Sequence[Entry]],
    judged: Mapping[str, Judged],
    folds: int | None,
    deterministic: bool,
) -> tuple[JudgedRow | None, str | None]:
    """Predictions over all seeds and folds, or why there are none to compare."""
    if folds is not None and len(by_fold) < folds:
        return None, f"{len(by_fold)} of {folds} folds"
    parts = [
        of_seeds([judged[entry.link] for entry in members], deterministic)
        for members in by_fold.values()
    ]
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        return None, "seeds judged different images"
    if folds is None:
        return whole[0], None
    union = of_folds(whole)
    return union, None if union is not None else "folds share images"


def _cost(costs: Sequence[CostEntry]) -> Cost | None:
    if not costs:
        return None
    count = len(costs)
    devices = sorted({cost.device for cost in costs})
    known = [cost.parameters for cost in costs if cost.parameters is not None]
    return Cost(
        fit_seconds=sum(cost.fit_seconds for cost in costs) / count,
        images_per_second=sum(cost.images_per_second for cost in costs) / count,
        total_seconds=sum(cost.total_seconds for cost in costs) / count,
        peak_memory_bytes=max(cost.peak_memory_bytes for cost in costs),
        parameters=max(known) if known else None,
        device=devices[0] if len(devices) == 1 else f"{len(devices)} devices",
    )
