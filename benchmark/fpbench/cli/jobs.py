"""What ``run``, ``transfer`` and ``ablate`` share: a plan is run, its records are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fpbench.cli.called import as_called
from fpbench.cli.tables import console, number
from fpbench.errors import BadInput, visible

if TYPE_CHECKING:
    from fpbench.method import Progress
    from fpbench.metrics.score import Score
    from fpbench.runs.job import Job, Side
    from fpbench.runs.record import Record
    from fpbench.runs.store import Store

_T = TypeVar("_T")


@dataclass
class Problems:
    """What could not be planned or run; it is named, and the rest goes on.

    Attributes:
        messages: One sentence each.
    """

    messages: list[str] = field(default_factory=list)

    def add(self, error: BadInput) -> None:
        """Keep a problem for the end."""
        message = str(error)
        if message not in self.messages:
            self.messages.append(message)

    def gather(self, items: Iterable[_T], find: Callable[[_T], Any]) -> list[Any]:
        """What is found for each item, without those for which nothing can be."""
        found = []
        for item in items:
            try:
                found.append(find(item))
            except BadInput as error:
                self.add(error)
        return found

    def tell(self) -> None:
        """Print all of them."""
        for message in self.messages:
            click.echo(as_called(f"Error: {message}"), err=True)


def find_sides(references: Iterable[str], problems: Problems, *, offline: bool) -> list[Side]:
    """Datasets as sides of jobs; those that are not available become problems.

    Of a dataset that somebody brings as it is, how it was split and what a first look finds are
    noted on stderr.
    """
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.resolve import resolve
    from fpbench.runs.plan import one_side

    notes: list[str] = []

    def find(reference: str, progress: Progress) -> Side:
        found = resolve(reference, offline=offline, progress=progress)
        if found.brought:
            from fpbench.datasets.glance import glance

            name = found.identity.name
            notes.append(f"{name}: {found.brought}")
            notes.extend(f"{name}: {text}" for text in glance(found, progress))
        return one_side(reference, found.identity)

    with progress_bars("finding the datasets") as progress:
        sides = problems.gather(dict.fromkeys(references), lambda ref: find(ref, progress))
    for note in notes:
        click.echo(f"Note: {visible(note)}", err=True)
    return sides


def plan_each(
    items: Iterable[_T], problems: Problems, make: Callable[[_T], list[Job]]
) -> list[Job]:
    """The jobs of every method, say; one that cannot be planned becomes a problem."""
    parts = problems.gather(items, make)
    plan = list({job.key: job for part in parts for job in part}.values())
    # Dataset by dataset, so that each is loaded once.
    places = list(dict.fromkeys(job.place for job in plan))
    return sorted(plan, key=lambda job: places.index(job.place))


def run_jobs(
    plan: Sequence[Job],
    problems: Problems,
    show: Callable[[Job, Record, Path], None] | None,
    **running: Any,
) -> tuple[Store, list[tuple[Job, Record]]]:
    """Run a plan under one progress view and show each record as its job ends.

    Args:
        plan: The jobs.
        problems: What could not be planned; what cannot be run joins it.
        show: Prints one finished job, or None.
        running: The values of `fpbench.cli.options.running_options`, and ``figures`` and
            ``scores``.

    Raises:
        BadInput: If nothing can be run at all.
    """
    from fpbench.cli.progress import plan_report
    from fpbench.runs.executors.base import ExecutorOptions
    from fpbench.runs.options import JobOptions
    from fpbench.runs.run_plan import executor_named, iterate_plan
    from fpbench.runs.store import Store

    if not plan and problems.messages:
        raise BadInput("\nError: ".join(problems.messages))
    problems.tell()
    executor = executor_named(
        running["executor"],
        ExecutorOptions(running["workers"], running["threads"], running["engine"]),
    )
    options = JobOptions(
        device=running["device"],
        figures=running.get("figures", False),
        offline=running["offline"],
        time_limit=running["time_limit"],
        scores=running.get("scores"),
    )
    store = Store(running["out"])
    ended: dict[str, Record] = {}
    with plan_report() as report:
        for job, result in iterate_plan(
            plan, store, executor=executor, options=options, report=report, again=running["again"]
        ):
            if isinstance(result, BadInput):
                problems.add(result)
                continue
            ended[job.key] = result
            if show is not None and result.status == "done" and not running["as_json"]:
                show(job, result, store.folder(job))
    return store, [(job, ended[job.key]) for job in plan if job.key in ended]


def exit_code(records: Iterable[tuple[Job, Record]], problems: Problems) -> int:
    """0 if no job failed or was left out, 1 if one did, 2 if none could be run."""
    ended = [record for _, record in records]
    if problems.messages and not ended:
        return 2
    failed = any(record.status == "failed" for record in ended)
    return 1 if failed or problems.messages else 0


def print_json(records: Sequence[tuple[Job, Record]]) -> None:
    """Print all records as one JSON document."""
    click.echo(json.dumps([record.model_dump(mode="json") for _, record in records], indent=2))


def score_table(job: Job, record: Record) -> Any:
    """The scores of one job that the terminal shows, as a table of rich."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from fpbench.runs.plugins import protocol_named

    table = Table(title=Text(visible(job.title)), box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("score", "value", "95 % interval", "chance", "n"):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    for definition in protocol_named(job.protocol).definitions:
        entry = record.scores.get(definition.key)
        if entry is None or not definition.in_terminal:
            continue
        if entry.value is None:
            reason = entry.reason or ""
            table.add_row(definition.title, "null", reason, "", str(entry.n), style="dim")
            continue
        table.add_row(
            definition.title,
            number(entry.value),
            between(entry.score),
            number(entry.chance),
            str(entry.n),
        )
    return table


def print_remarks(job: Job, record: Record) -> None:
    """Print what a job's protocol has to say beside the table of its scores."""
    from fpbench.runs.plugins import protocol_named

    for line in protocol_named(job.protocol).remarks(record):
        click.echo(line)


def print_training(record: Record) -> None:
    """Print a warning where a training has not learned."""
    for entry in record.training:
        if entry.did_not_train:
            click.echo(
                f"Did not train: in {entry.what!r} the validation loss never fell below that of "
                f"guessing ({entry.least:.3f} against {entry.guess:.3f}), so these scores are no "
                "result of the method and are never ranked."
            )


def print_cost(record: Record) -> None:
    """Print what a job cost."""
    cost = record.cost
    if cost is not None:
        console().print(
            f"{cost.total_seconds:.1f} s in all (fit {cost.fit_seconds:.1f} s), "
            f"{cost.images_per_second:.0f} images/s, "
            f"peak memory {cost.peak_memory_bytes / 2**30:.2f} GiB, {cost.device}"
        )


def between(score: Score) -> str:
    """Both ends of a 95 % interval, empty where there is none."""
    if score.ci_low is None or score.ci_high is None:
        return ""
    return f"{number(score.ci_low)} - {number(score.ci_high)}"
