"""Progress bars on stderr, with rate and time left; silent when stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fpbench.method import Progress


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@contextmanager
def progress_bars(title: str, *, enabled: bool = True) -> Iterator[Progress]:
    """A progress callback that draws one bar per activity while the block runs.

    Args:
        title: Shown above the bars, e.g. the job.
        enabled: False silences the bars, as does a stderr that is no terminal.
    """
    if not enabled or not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskID,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    console.print(title, style="bold", highlight=False)
    tasks: dict[str, TaskID] = {}
    with Bars(
        TextColumn("  {task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as bars:

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield report
