"""``processes``: several jobs at once on this machine, each in a process that may die alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from fpbench.compute.threads import thread_environment
from fpbench.errors import BadInput
from fpbench.files import remove_abandoned
from fpbench.runs.executors.base import Executor, ExecutorOptions, Report, Result
from fpbench.runs.executors.elsewhere import Lost, Outcome, attempt, concluded, divided
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.store import Store
from fpbench.runs.streams import stdout_to_stderr

SILENCE = 600.0
"""Seconds without a word, past its time limit, after which a job is taken to hang."""

_LOOK = 0.5
"""Seconds between two looks at workers that say nothing."""

_OFTEN = 0.1
"""Seconds between two reports of one activity."""

_READY = "ready"

_CAUSES = {signal.SIGKILL: "out of memory?", signal.SIGBUS: "disk full?"}
"""What most often sends these signals; the others' names say it."""


class Processes(Executor):
    """Runs as many jobs at once as there are workers, each with a share of the cores.

    A worker takes one job after another, so that imports and datasets are loaded once; decoded
    images are memory-mapped and so shared. A job whose process crashes, is killed or hangs is
    failed, and the next one gets a new process.
    """

    name = "processes"

    def __init__(self, options: ExecutorOptions) -> None:
        self._workers, threads = divided(options)
        super().__init__(replace(options, threads=threads))

    def submit(
        self, jobs: Sequence[Job], store: Store, options: JobOptions, report: Report
    ) -> Iterator[tuple[Job, Result]]:
        """As `Executor.submit`.

        Raises:
            BadInput: If no worker can be started.
        """
        waiting = deque(jobs)
        crew: list[_Worker] = []
        # A killed job cleans up nothing, so its temporary files lie where the plan finds them.
        with tempfile.TemporaryDirectory(prefix="fpbench-", ignore_cleanup_errors=True) as scratch:

            def hire() -> None:
                crew.append(_Worker(store, options, scratch))
                crew[-1].give(waiting.popleft(), report)

            try:
                while waiting and len(crew) < self._workers:
                    hire()
                while crew:
                    wait([worker.connection for worker in crew], timeout=_LOOK)
                    for worker in list(crew):
                        outcome = worker.listen(report)
                        if outcome is None:
                            continue
                        job = worker.job
                        # Before anything is done with the record: no worker should wait for that.
                        if worker.alive and waiting:
                            worker.give(waiting.popleft(), report)
                        else:
                            worker.end()
                            crew.remove(worker)
                            if waiting:
                                hire()
                        result = concluded(job, store, options, outcome)
                        report.ended(job, result)
                        yield job, result
            finally:
                for worker in crew:
                    worker.kill()
                for worker in crew:
                    worker.end()
                remove_abandoned(store.root)


class _Worker:
    """A process that runs jobs, and the wire to it.

    Each has a wire of its own: a process that is killed while it holds the lock of a shared queue
    would silence the others.
    """

    def __init__(self, store: Store, options: JobOptions, scratch: str) -> None:
        # A fork would share threads' locks in whatever state they are.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._limit = 60 * options.time_limit if options.time_limit is not None else None
        self._minutes = options.time_limit
        self._ready = False
        self._process = context.Process(target=_work, args=(theirs, store.root, options, scratch))
        with _inherited(options.threads or 1):
            self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether it can take another job."""
        return self._process.is_alive()

    def give(self, job: Job, report: Report) -> None:
        """Start a job."""
        self.job = job
        self._began = self._heard = time.monotonic()
        # One that has died meanwhile is found out when it is listened to.
        with suppress(OSError):
            self.connection.send(job)
        report.started(job)

    def listen(self, report: Report) -> Outcome | None:
        """Pass on what it reports.

        Returns:
            What its job came to, or None while it goes on.

        Raises:
            BadInput: If it ended before it could begin.
        """
        try:
            while self.connection.poll():
                message = self.connection.recv()
                self._heard = time.monotonic()
                if message == _READY:
                    self._ready = True
                elif isinstance(message, tuple):
                    report.progress(self.job, *message)
                else:
                    outcome: Outcome = message
                    return outcome
        except (EOFError, OSError):
            self._process.join(_LOOK)
        if not self._process.is_alive():
            return Lost(self._cause_of_death(self._process.exitcode or 0))
        return self._hanging()

    def _cause_of_death(self, code: int) -> str:
        if code < 0:
            cause = _CAUSES.get(signal.Signals(-code), signal.strsignal(-code))
            return f"The worker was killed by signal {-code} ({cause})."
        if not self._ready:
            raise BadInput(
                "The worker processes cannot start; the reason stands above. A script that uses "
                "them must begin its work below `if __name__ == '__main__':`."
            )
        return f"The worker ended with exit code {code} in the middle of the job."

    def _hanging(self) -> Lost | None:
        now = time.monotonic()
        if self._limit is None or now < max(self._began + self._limit, self._heard) + SILENCE:
            return None
        self.kill()
        return Lost(
            f"The job reported nothing for {SILENCE / 60:.3g} minutes past its time limit of "
            f"{self._minutes:g} minutes, so its worker was ended."
        )

    def kill(self) -> None:
        """End it at once, and whatever processes it has started."""
        self._process.kill()
        if self._process.pid is not None:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End it and wait until it is gone."""
        self.kill()
        self._process.join()
        self.connection.close()


@contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """What a process started inside the block inherits.

    Libraries read the number of threads when they are loaded, which is before any code of ours
    runs in the process. Ctrl-C at the terminal is for the plan, which ends its workers itself.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with thread_environment(threads):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _work(wire: Connection, root: Path, options: JobOptions, scratch: str) -> None:
    """What a worker does until it is ended."""
    os.setsid()
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    threading.Thread(target=_end_with_parent, daemon=True).start()
    wire.send(_READY)
    store = Store(root)
    with stdout_to_stderr():
        while True:
            job: Job = wire.recv()
            wire.send(attempt(job, store, options, _Telling(wire)))


def _end_with_parent() -> None:
    """Leave no orphan: a plan that is killed cannot end its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)


class _Telling:
    """A progress callback that sends what it is told, though not too often."""

    def __init__(self, wire: Connection) -> None:
        self._wire = wire
        self._last: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done in (0, total) or now - self._last.get(what, 0.0) >= _OFTEN:
            self._last[what] = now
            self._wire.send((what, done, total))
