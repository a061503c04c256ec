"""An executor: runs jobs somewhere and hands over their records as they finish."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fpbench.errors import BadInput, suggest
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions, check_count
from fpbench.runs.record import Record
from fpbench.runs.store import Store


@dataclass(frozen=True)
class ExecutorOptions:
    """What an executor may use.

    Attributes:
        workers: Jobs at the same time, or None for what the executor finds right.
        threads: Threads of each job, or None for what the executor finds right.
        engine: Settings of the engine behind it, e.g. a Slurm partition.

    Raises:
        BadInput: If there is no such number of workers or threads.
    """

    workers: int | None = None
    threads: int | None = None
    engine: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count("workers", self.workers)
        check_count("threads", self.threads)


Result = Record | BadInput
"""The record of a job; or why there can be none, e.g. a dataset that has changed since."""


class Report:
    """What happens to the jobs of a plan, told to whoever shows it; by default to nobody."""

    def begun(self, jobs: Sequence[Job], done_before: Sequence[tuple[Job, Record]]) -> None:
        """A plan begins: the jobs that will run, and those that need not."""

    def remark(self, job: Job, what: str) -> None:
        """Something is to be said of a job that need not run again."""

    def started(self, job: Job) -> None:
        """A job starts."""

    def progress(self, job: Job, what: str, done: int, total: int) -> None:
        """A job has got as far as step `done` of `total` of an activity."""

    def ended(self, job: Job, result: Result) -> None:
        """A job has ended, whether done, declined, failed or refused."""


class Executor(ABC):
    """Runs jobs. Subclasses are registered under the entry-point group ``fpbench.executors``.

    Args:
        options: What it may use.

    Raises:
        BadInput: If its engine or an extra is not installed, with the command that installs it,
            or a setting of the engine is unknown.
    """

    name: ClassVar[str]
    settings: ClassVar[Collection[str] | None] = ()
    """Settings that its engine takes, or None where the engine itself says what it does not."""

    def __init__(self, options: ExecutorOptions) -> None:
        for key in options.engine:
            if self.settings is not None and key not in self.settings:
                known = suggest(key, self.settings)
                raise BadInput(f"The executor {self.name!r} has no setting {key!r}. {known}")
        self.options = options

    @abstractmethod
    def submit(
        self, jobs: Sequence[Job], store: Store, options: JobOptions, report: Report
    ) -> Iterator[tuple[Job, Result]]:
        """Run jobs and yield each with its result, in the order in which they end.

        A job that fails, or whose process dies, yields a record of status ``failed``; one whose
        datasets cannot be loaded or whose folder cannot be written yields the `BadInput` that
        says so. The others go on.

        Args:
            jobs: Jobs that are not finished.
            store: Where their folders go.
            options: How to run them.
            report: Told what happens.
        """
