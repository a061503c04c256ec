"""Progress on stderr: bars with rate and time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from fpbench.errors import visible
from fpbench.method import Progress

if TYPE_CHECKING:
    from fpbench.runs.executors.base import Report, Result
    from fpbench.runs.job import Job
    from fpbench.runs.record import Record

_SECONDS_BETWEEN_LINES = 30.0
_QUIET_SECONDS = 2.0


def _bars(*, transient: bool = True) -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=transient,
    )


class _Lines:
    """A line every half minute, for a stderr that nobody watches live."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def tell(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            click.echo(text, err=True)


_shown: list[Any] = []


@contextmanager
def paused() -> Iterator[None]:
    """Take the bars that are drawn off the terminal while something is said or asked."""
    bars = list(_shown)
    for one in bars:
        one.stop()
    try:
        yield
    finally:
        for one in bars:
            one.start()


@contextmanager
def progress_bars(title: str) -> Iterator[Progress]:
    """A progress callback that draws one bar per activity while the block runs.

    Args:
        title: Shown above the bars, once there is one.
    """
    if not sys.stderr.isatty():
        lines = _Lines()
        yield lambda what, done, total: lines.tell(f"{title}: {what} {done:,} of {total:,}")
        return
    tasks: dict[str, Any] = {}
    with _bars() as bars, _noted(bars):

        def report(what: str, done: int, total: int) -> None:
            if not tasks:
                bars.console.print(title, style="bold", highlight=False, markup=False)
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report


@contextmanager
def _noted(bars: Any) -> Iterator[None]:
    _shown.append(bars)
    try:
        yield
    finally:
        _shown.remove(bars)


@contextmanager
def plan_report() -> Iterator[Report]:
    """One view of a plan's jobs, wherever they run: done, running, failed, and time left."""
    from fpbench.runs.executors.base import Report
    from fpbench.runs.record import Record

    class Shown(Report):
        """Draws bars on a terminal, and says in a line what begins and ends."""

        def __init__(self, bars: Any | None) -> None:
            self._bars = bars
            self._lines = _Lines()
            self._places: dict[str, str] = {}
            self._tasks: dict[str, Any] = {}
            self._jobs = self._done = self._failed = 0
            self._all: Any = None

        def begun(self, jobs: Sequence[Job], done_before: Sequence[tuple[Job, Record]]) -> None:
            self._jobs = len(jobs)
            total = len(jobs) + len(done_before)
            every = [*(job for job, _ in done_before), *jobs]
            if total > 1:
                self._places = {
                    job.key: f"[{position}/{total}] " for position, job in enumerate(every, 1)
                }
            for job, _ in done_before:
                self._say(job, "done before")
            if self._bars is not None and len(jobs) > 1:
                self._all = self._bars.add_task(self._counts(0), total=len(jobs))

        def remark(self, job: Job, what: str) -> None:
            self._say(job, f"note: {what}")

        def started(self, job: Job) -> None:
            self._say(job, "running")

        def progress(self, job: Job, what: str, done: int, total: int) -> None:
            if self._bars is None:
                self._lines.tell(f"{self._title(job)}: {what} {done:,} of {total:,}")
                return
            name = f"{job.label} seed {job.seed}: {what}"
            task = self._tasks.get(job.key)
            if task is None:
                task = self._tasks[job.key] = self._bars.add_task(name, total=total)
            if self._bars.tasks[self._bars.task_ids.index(task)].description != name:
                self._bars.reset(task, total=total, description=name)
            self._bars.update(task, completed=done, total=total)

        def ended(self, job: Job, result: Result) -> None:
            self._done += 1
            if not isinstance(result, Record):
                self._failed += 1
                self._say(job, f"not run: {result}")
            elif result.status != "done":
                self._failed += result.status == "failed"
                self._say(job, f"{result.status}: {result.reason}")
            for note in result.notes if isinstance(result, Record) else ():
                self._say(job, f"note: {note}")
            if self._bars is None:
                return
            task = self._tasks.pop(job.key, None)
            if task is not None:
                self._bars.remove_task(task)
            if self._all is not None:
                counts = self._counts(len(self._tasks))
                self._bars.update(self._all, completed=self._done, description=counts)

        def _counts(self, running: int) -> str:
            failed = f", {self._failed} failed" if self._failed else ""
            return f"{self._done} of {self._jobs} jobs done{failed}"

        def _title(self, job: Job) -> str:
            return f"{self._places.get(job.key, '')}{job.title}"

        def _say(self, job: Job, what: str) -> None:
            text = visible(f"{self._title(job)}: {what}")
            if self._bars is None:
                click.echo(text, err=True)
            else:
                self._bars.console.print(text, highlight=False, markup=False)

    if not sys.stderr.isatty():
        yield Shown(None)
        return
    with _bars() as bars:
        yield Shown(bars)
