"""``slurm``: the jobs of a plan as an array of a Slurm cluster, submitted through submitit."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fpbench.compute.threads import thread_variables
from fpbench.distribution import install_command
from fpbench.errors import BadInput
from fpbench.runs.executors.base import Executor, ExecutorOptions, Report, Result
from fpbench.runs.executors.elsewhere import Lost, Outcome, attempt, concluded
from fpbench.runs.executors.slurm_queue import (
    FORGOTTEN,
    Batch,
    NoAnswer,
    TaskState,
    ask_queue,
    live_tasks,
    need_slurm,
    note_batch,
)
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.record import Record
from fpbench.runs.store import Store

FOLDER = ".slurm"
"""Within the store: what was submitted, and the logs of what failed."""

LARGEST_ARRAY = 1000
"""Tasks of one array; Slurm allows one more where nobody has changed it."""

LATE = 15.0
"""Seconds that a shared file system may take to show what an ended task has written."""

_SILENCE = 600.0
"""Seconds that Slurm may leave questions unanswered."""

_OWN = {
    "array": "--workers",
    "cpus-per-task": "--threads",
    "error": "--out",
    "output": "--out",
}
"""Options of sbatch that fpbench sets, and what sets them."""


_OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class Slurm(Executor):
    """Runs jobs as tasks of a Slurm array, at most as many at once as there are workers.

    All nodes must see the store under one path. The plan may be interrupted: the array goes on,
    and the same command finds it again and waits for it. Settings of the engine are options of
    ``sbatch`` by their long names, such as ``partition=gpu``, ``gres=gpu:1``, ``time=2:00:00``
    or ``mem=16G``.
    """

    name = "slurm"
    settings = None

    def __init__(self, options: ExecutorOptions) -> None:
        super().__init__(replace(options, threads=options.threads or 1))
        for key, value in options.engine.items():
            # They become lines of a script.
            if not _OPTION.fullmatch(key) or not value.isprintable():
                raise BadInput(f"{key!r}={value!r} is no option of sbatch, such as partition=gpu.")
            own = _OWN.get(key.replace("_", "-"))
            if own is not None:
                raise BadInput(f"The option {key} of sbatch is set by {own}.")
        try:
            import submitit
        except ImportError as error:
            raise BadInput(
                f"The executor 'slurm' needs submitit; install it with: {install_command('slurm')}"
            ) from error
        need_slurm()
        self._submitit = submitit

    def submit(
        self, jobs: Sequence[Job], store: Store, options: JobOptions, report: Report
    ) -> Iterator[tuple[Job, Result]]:
        """As `Executor.submit`.

        Raises:
            BadInput: If Slurm does not answer, or refuses the array.
        """
        folder = (store.root / FOLDER).resolve()
        wanted = {job.key: job for job in jobs}
        try:
            live = live_tasks(folder)
        except NoAnswer as error:
            raise _unanswered(error) from error
        tasks = [
            self._task(task, [wanted.pop(key) for key in keys if key in wanted], folder)
            for task, keys in live.items()
            if not wanted.keys().isdisjoint(keys)
        ]
        if wanted:
            tasks += self._submit(list(wanted.values()), store, options, folder)
        for task in _follow(tasks, report):
            for job in task.jobs:
                result = concluded(job, store, options, task.outcome(job))
                report.ended(job, result)
                yield job, result

    def _submit(
        self, jobs: Sequence[Job], store: Store, options: JobOptions, folder: Path
    ) -> list[_Task]:
        """Submit jobs; one a task, or more where the array would be too large."""
        each = -(-len(jobs) // LARGEST_ARRAY)
        parts = [jobs[start : start + each] for start in range(0, len(jobs), each)]
        engine = self._submitit.SlurmExecutor(folder=folder)
        threads = options.threads or 1
        engine.update_parameters(
            job_name="fpbench",
            # No time of ours unless one is asked for: every partition has one of its own.
            time=None,
            cpus_per_task=threads,
            array_parallelism=self.options.workers or LARGEST_ARRAY,
            setup=[f"export {key}={value}" for key, value in thread_variables(threads).items()],
            # A step within the task might be bound to one of the cores that the task has.
            use_srun=False,
            additional_parameters=dict(self.options.engine),
        )
        root = store.root.resolve()
        said = io.StringIO()
        try:
            with redirect_stderr(said):
                made = engine.submit_array(
                    [partial(run_task, part, root, options) for part in parts]
                )
        except RuntimeError as error:
            reason = (said.getvalue().strip() or str(error)).splitlines()[0]
            raise BadInput(
                f"Slurm refuses the jobs: {reason.removeprefix('sbatch: error: ')}. "
                "Settings of the engine are options of sbatch."
            ) from error
        tasks = [
            self._task(handle.job_id, part, folder)
            for handle, part in zip(made, parts, strict=True)
        ]
        note_batch(folder, Batch(tasks={t.id: tuple(job.key for job in t.jobs) for t in tasks}))
        return tasks

    def _task(self, name: str, jobs: Sequence[Job], folder: Path) -> _Task:
        return _Task(jobs, self._submitit.SlurmJob(folder=folder, job_id=name))


class _Task:
    """A task of an array.

    Args:
        jobs: Those of its jobs that the plan waits for.
        handle: submitit's view of it.
    """

    def __init__(self, jobs: Sequence[Job], handle: Any) -> None:
        self.id: str = handle.job_id
        self.jobs = jobs
        self._handle = handle
        self._outcomes: Mapping[str, Outcome] = {}
        self._lost = ""
        self._started = False
        self._gone: float | None = None

    def ended(self, state: TaskState | None, report: Report) -> bool:
        """Whether it has ended, and its jobs have outcomes.

        Args:
            state: What Slurm says of it, or None where Slurm gives no answer.
            report: Told when it starts.
        """
        if state is not None and state.running and not self._started:
            self._started = True
            for job in self.jobs:
                report.started(job)
        if self._handle.paths.result_pickle.exists():
            self._read()
            return True
        if state is None or not state.gone:
            return False
        if self._gone is None:
            self._gone = time.monotonic()
        if time.monotonic() - self._gone < LATE:
            return False
        self._lost = f"Slurm ended the task {self.id} ({state.name}); its log is {self._log}."
        return True

    def outcome(self, job: Job) -> Outcome:
        """What one of its jobs came to."""
        return self._outcomes.get(job.key, Lost(self._lost))

    @property
    def _log(self) -> Path:
        paths = self._handle.paths
        log: Path = paths.stderr if paths.stderr.exists() else paths.stdout
        return log

    def _read(self) -> None:
        """Take what it has sent; of a task without a failure nothing else is kept."""
        paths = self._handle.paths
        try:
            self._outcomes = self._handle.result()
        except RuntimeError as error:
            # submitit could not even call the task's function, e.g. for want of a package.
            last = str(error).strip().partition("\n------")[0].splitlines()[-1]
            self._lost = f"The task {self.id} could not begin: {last}; its log is {self._log}."
        paths.submitted_pickle.unlink(missing_ok=True)
        paths.result_pickle.unlink(missing_ok=True)
        if all(isinstance(o, Record) and o.status != "failed" for o in self._outcomes.values()):
            paths.stdout.unlink(missing_ok=True)
            paths.stderr.unlink(missing_ok=True)


def run_task(jobs: Sequence[Job], root: Path, options: JobOptions) -> dict[str, Outcome]:
    """What a task does, on its node.

    Returns:
        What its jobs came to, by their keys.
    """
    store = Store(root)
    return {job.key: attempt(job, store, options, None) for job in jobs}


def _follow(tasks: Sequence[_Task], report: Report) -> Iterator[_Task]:
    """Wait for tasks, and hand over each when it has ended."""
    waiting = list(tasks)
    began = answered = time.monotonic()
    while waiting:
        try:
            states = ask_queue()
            answered = time.monotonic()
        except NoAnswer as error:
            states = None
            if time.monotonic() - answered > _SILENCE:
                raise _unanswered(error) from error
        for task in list(waiting):
            if task.ended(None if states is None else states.get(task.id, FORGOTTEN), report):
                waiting.remove(task)
                yield task
        if waiting:
            # Often at first, for who is watching; a cluster is not to be asked so for hours.
            time.sleep(min(10.0, 0.5 + (time.monotonic() - began) / 30))


def _unanswered(error: NoAnswer) -> BadInput:
    return BadInput(
        f"Slurm does not answer: {error}. What was submitted goes on; run the same command again."
    )
