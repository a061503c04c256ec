"""Rates and lengths of learned methods, all chosen from one grid on a dataset that is no board."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from fpbench import registry
from fpbench.errors import BadInput
from fpbench.files import write_text
from fpbench.runs.job import Job, Side
from fpbench.runs.plan import make_plan
from fpbench.runs.record import Record
from fpbench.scores.attribution import ACCURACY

DATASET = "gm-dev"
"""A development set: no board, other generators than those of the boards."""

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Learning rates that every method tries."""

PASSES = (10, 30)
"""Times that every training image is shown; the larger one is the most that budget small shows."""


@dataclass(frozen=True)
class Cell:
    """One point of the grid of one method: a line of the table.

    Attributes:
        method: ``NAME:VARIANT``.
        version: Of the method.
        dataset: Revision of the development set.
        rate: Learning rate.
        passes: Times that every training image is shown.
        seed: Of the run.
        status: ``done``, ``did not train``, ``failed`` or ``declined``.
        shown: Images shown by the longest training of the fit, or None.
        accuracy: Balanced accuracy among generators, or None.
        low: Lower end of its 95 % interval.
        high: Upper end.
        job: The job's key.
    """

    method: str
    version: str
    dataset: str
    rate: float
    passes: int
    seed: int
    status: str
    shown: int | None
    accuracy: float | None
    low: float | None
    high: float | None
    job: str

    @classmethod
    def of(cls, job: Job, record: Record) -> Cell:
        """A finished job of the grid."""
        score = record.scores.get(ACCURACY.key) if record.status == "done" else None
        trained = record.status != "done" or not record.did_not_train
        return cls(
            method=f"{job.method}:{job.variant}",
            version=job.method_version,
            dataset=job.test.revision,
            rate=float(job.params["rate"]),
            passes=int(job.params["epochs"]),
            seed=job.seed,
            status=record.status if trained else "did not train",
            shown=max((entry.shown for entry in record.training), default=None),
            accuracy=None if score is None else score.value,
            low=None if score is None else score.ci_low,
            high=None if score is None else score.ci_high,
            job=job.key,
        )


@dataclass(frozen=True)
class Choice:
    """What a method's grid says.

    Attributes:
        method: ``NAME:VARIANT``.
        version: Of the method.
        done: Points of the grid that have ended.
        asked: Points of the grid.
        rate: Of the highest mean accuracy over seeds, or None.
        passes: Likewise.
        accuracy: That accuracy.
        at_edge: Whether a rate beyond the grid might be better still.
    """

    method: str
    version: str
    done: int
    asked: int
    rate: float | None
    passes: int | None
    accuracy: float | None
    at_edge: bool

    @property
    def complete(self) -> bool:
        """Whether the choice may be made: every point of the grid has ended."""
        return self.done == self.asked


def learned_methods() -> list[str]:
    """``NAME:VARIANT`` of what takes a rate and a number of epochs.

    Of each method the default variant and those that are a class of their own.
    """
    found = []
    for name in registry.method_names():
        try:
            cls, default = registry.resolve_method(name)
        except BadInput:
            continue  # a plugin that cannot be imported is told of elsewhere
        for variant, about in cls.card.variants.items():
            known = cls.variant_class(variant).declared_parameters()
            own = variant == default or about.cls is not None
            if own and {"rate", "epochs"} <= known.keys():
                found.append(f"{name}:{variant}")
    return found


def plan_tuning(methods: Sequence[str], side: Side, seeds: Sequence[int]) -> list[Job]:
    """The whole grid of methods: ordinary jobs of budget small, method by method.

    Raises:
        BadInput: If a method takes no rate or no number of epochs.
    """
    plan = []
    for method in methods:
        cls, variant = registry.resolve_method(method)
        missing = {"rate", "epochs"} - cls.variant_class(variant).declared_parameters().keys()
        if missing:
            raise BadInput(
                f"Method {method!r} has no parameter {', '.join(sorted(missing))}, so there is "
                f"nothing to tune; those that have are {', '.join(learned_methods())}."
            )
        for passes in PASSES:
            for rate in RATES:
                plan += make_plan(
                    [method], [(side, side)], seeds=seeds, params={"rate": rate, "epochs": passes}
                )
    return plan


def choices(cells: Iterable[Cell]) -> list[Choice]:
    """The best point of each method's grid by mean accuracy over seeds, the lower rate of equals.

    A point that did not train, failed or was declined has no accuracy; a seed counts only where
    all points have it.
    """
    grids: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        grids.setdefault((cell.method, cell.version), []).append(cell)
    points = [(rate, passes) for rate in RATES for passes in PASSES]
    found = []
    for (method, version), members in sorted(grids.items()):
        ended = {(cell.rate, cell.passes) for cell in members}
        means: dict[tuple[float, int], float] = {}
        for point in points:
            values = [
                cell.accuracy
                for cell in members
                if (cell.rate, cell.passes) == point
                and cell.status == "done"
                and cell.accuracy is not None
            ]
            if values:
                means[point] = math.fsum(values) / len(values)
        best = max(means, key=lambda p: (means[p], -p[0], p[1]), default=None)
        found.append(
            Choice(
                method=method,
                version=version,
                done=sum(point in ended for point in points),
                asked=len(points),
                rate=None if best is None else best[0],
                passes=None if best is None else best[1],
                accuracy=None if best is None else means[best],
                at_edge=best is not None and best[0] in (RATES[0], RATES[-1]),
            )
        )
    return found


_NAMES = tuple(field.name for field in fields(Cell))


def read_table(path: Path) -> list[Cell]:
    """The cells of a table that `write_table` wrote; none if there is no file.

    Raises:
        BadInput: If the file is no such table.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [_cell(row) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} is no table of `fpbench tune` ({error}); name another file.") from (
            error
        )


def _cell(row: Mapping[str, str]) -> Cell:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return Cell(
        method=row["method"],
        version=row["version"],
        dataset=row["dataset"],
        rate=float(row["rate"]),
        passes=int(row["passes"]),
        seed=int(row["seed"]),
        status=row["status"],
        shown=int(row["shown"]) if row["shown"] else None,
        accuracy=number("accuracy"),
        low=number("low"),
        high=number("high"),
        job=row["job"],
    )


def write_table(path: Path, cells: Iterable[Cell]) -> list[Cell]:
    """Add cells to a table; those of the same job are replaced, all are sorted.

    Returns:
        All cells of the table.
    """
    kept = {cell.job: cell for cell in read_table(path)} | {cell.job: cell for cell in cells}
    ordered = sorted(
        kept.values(), key=lambda c: (c.method, c.version, c.passes, c.rate, c.seed, c.job)
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, _NAMES, lineterminator="\n")
    writer.writeheader()
    for cell in ordered:
        values = asdict(cell)
        for name in ("accuracy", "low", "high"):
            if values[name] is not None:
                values[name] = f"{values[name]:.4f}"
        values["rate"] = f"{cell.rate:g}"
        writer.writerow(values)
    write_text(path, text.getvalue())
    return ordered
