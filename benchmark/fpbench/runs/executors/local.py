"""``local``: one job after another in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from fpbench.errors import BadInput
from fpbench.runs.executors.base import Executor, ExecutorOptions, Report, Result
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.store import Store
from fpbench.runs.streams import stdout_to_stderr


class Local(Executor):
    """Runs jobs here, one after another; datasets and shared values stay in memory between them."""

    name = "local"

    def __init__(self, options: ExecutorOptions) -> None:
        super().__init__(options)
        if (options.workers or 1) > 1:
            raise BadInput(
                f"The executor 'local' runs one job at a time, not {options.workers}; "
                "use --executor processes."
            )

    def submit(
        self, jobs: Sequence[Job], store: Store, options: JobOptions, report: Report
    ) -> Iterator[tuple[Job, Result]]:
        """As `Executor.submit`."""
        # Imported here, because it imports torch: showing finished jobs must be quick.
        from fpbench.runs.execute import execute

        for job in jobs:
            report.started(job)
            result: Result
            try:
                with stdout_to_stderr():
                    result = execute(job, store, options, partial(report.progress, job))
            except BadInput as error:
                result = error
            report.ended(job, result)
            yield job, result
