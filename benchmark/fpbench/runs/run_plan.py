"""Runs a plan: what is finished is found, the rest goes to an executor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fpbench import registry
from fpbench.errors import BadInput
from fpbench.runs.executors.base import Executor, ExecutorOptions, Report, Result
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.plugins import executor_class, protocol_named
from fpbench.runs.record import Record
from fpbench.runs.store import FIGURES, Store
from fpbench.scores.family import chosen_families

Plan = Sequence[Job]


def executor_named(name: str, options: ExecutorOptions | None = None) -> Executor:
    """An executor by name.

    Raises:
        BadInput: If there is none, or its engine is not installed.
    """
    return executor_class(name)(options or ExecutorOptions())


def run_plan(
    plan: Plan,
    store: Store,
    *,
    executor: Executor | None = None,
    options: JobOptions | None = None,
    report: Report | None = None,
    again: bool = False,
) -> list[tuple[Job, Record]]:
    """Run all jobs of a plan and return their records in its order.

    Finished jobs are found in the store and not run again: after an interruption or a failure
    the same call goes on where it stopped.

    Args:
        plan: The jobs.
        store: Where their folders go.
        executor: What runs them; in this process, one after another, where None.
        options: How to run them.
        report: Told what happens.
        again: Whether to run finished jobs anew; a new result takes the old one's place.

    Raises:
        BadInput: If the store cannot be written to, a score asked for is unknown, or, after all
            others have ended, a job could not be run at all.
    """
    found: dict[str, Record] = {}
    refused: list[BadInput] = []
    for job, result in iterate_plan(
        plan, store, executor=executor, options=options, report=report, again=again
    ):
        if isinstance(result, BadInput):
            refused.append(result)
        else:
            found[job.key] = result
    if refused:
        raise refused[0]
    return [(job, found[job.key]) for job in plan]


def iterate_plan(
    plan: Plan,
    store: Store,
    *,
    executor: Executor | None = None,
    options: JobOptions | None = None,
    report: Report | None = None,
    again: bool = False,
) -> Iterator[tuple[Job, Result]]:
    """As `run_plan`, handing over each job as it ends, those done before first.

    Raises:
        BadInput: If the store cannot be written to, or a score asked for is unknown.
    """
    chosen = executor or executor_named("local")
    how = replace(options or JobOptions(), executor=chosen.name)
    if how.threads is None:
        how = replace(how, threads=chosen.options.threads)
    told = report or Report()
    store.open()
    before: list[tuple[Job, Record]] = []
    left: list[Job] = []
    for job in _distinct(plan):
        families = chosen_families(protocol_named(job.protocol).families, how.scores)
        record = None if again else store.find(job, [family.name for family in families])
        if record is None:
            left.append(job)
        else:
            before.append((job, record))
    told.begun(left, before)
    for job, record in before:
        for remark in _remarks(job, record, store, how):
            told.remark(job, remark)
    yield from before
    if left:
        yield from chosen.submit(left, store, how, told)


def _remarks(job: Job, record: Record, store: Store, options: JobOptions) -> Iterator[str]:
    """What a result of before lacks of what running the job now would give, figures drawn now."""
    if options.figures and not (store.folder(job) / FIGURES).is_dir():
        from fpbench.runs.completing import draw_later

        yield from draw_later(job, record, store)
    if record.method.code is None:
        return  # of before it was noted
    try:
        cls = registry.method_class(job.method).variant_class(job.variant)
    except BadInput:
        return  # its result can be shown without it
    if record.method.code != registry.code_hash(cls):
        yield (
            f"the code of {job.method} has changed since, but not its version "
            f"{job.method_version}: raise the version where scores may differ, or run it with "
            "--again"
        )


def _distinct(plan: Plan) -> list[Job]:
    """The jobs of a plan, each once."""
    return list({job.key: job for job in plan}.values())
