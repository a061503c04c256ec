"""Jobs that run in another process than the plan: how they begin there, and how one is lost."""

from __future__ import annotations

import os
import traceback
from dataclasses import replace

from fpbench.errors import BadInput
from fpbench.method import Progress
from fpbench.runs.executors.base import ExecutorOptions, Result
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.store import Store


class Lost(Exception):
    """A job ended without a record; the message is the reason that its record will give."""


Outcome = Result | Lost
"""What comes back from a worker, or is said of one from which nothing comes back."""


def attempt(
    job: Job, store: Store, options: JobOptions, progress: Progress | None = None
) -> Outcome:
    """Run a job in a worker: whatever goes wrong there is this job's affair, not its neighbours'.

    Args:
        job: The job.
        store: Where its folder goes.
        options: How to run it.
        progress: Progress callback.
    """
    from fpbench.runs.execute import execute

    try:
        return execute(job, store, options, progress)
    except BadInput as refusal:
        return refusal
    # A fault of fpbench's own; the traceback is for the worker's log.
    except Exception as fault:
        traceback.print_exc()
        return Lost(f"{type(fault).__name__}: {fault}")


def concluded(job: Job, store: Store, options: JobOptions, outcome: Outcome) -> Result:
    """What a job comes to, its failure written into the store where it was lost.

    Args:
        job: The job.
        store: Where its folder goes.
        options: How it was run.
        outcome: What came back from its worker.
    """
    if not isinstance(outcome, Lost):
        return outcome
    # The worker may have died after its last word to the store.
    record = store.find(job)
    if record is not None:
        return record
    from fpbench.runs.execute import write_failed

    try:
        # The device was the worker's; here there may be none.
        return write_failed(job, store, replace(options, device="cpu"), str(outcome))
    except BadInput as refusal:
        return BadInput(f"{outcome} {refusal}")


def divided(options: ExecutorOptions) -> tuple[int, int]:
    """Workers, and threads of each, among whom this machine's cores are divided.

    >>> divided(ExecutorOptions(workers=3, threads=2))
    (3, 2)
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    workers = options.workers or max(1, cores // (options.threads or 1))
    return workers, options.threads or max(1, cores // workers)
