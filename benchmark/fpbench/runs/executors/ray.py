"""``ray``: the jobs of a plan as tasks of a Ray cluster."""

from __future__ import annotations

import logging
import math
import socket
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from fpbench.distribution import install_command
from fpbench.errors import BadInput
from fpbench.runs.executors.base import Executor, ExecutorOptions, Report, Result
from fpbench.runs.executors.elsewhere import Lost, Outcome, attempt, concluded, divided
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.store import Store
from fpbench.runs.streams import stdout_of_this_thread

_SMALLEST_STORE = 80 << 20
"""Bytes of Ray's object store, of which records need next to nothing; Ray takes no less."""

_MOST_GPUS = 1024
"""GPUs of one job; no machine has more."""

_PATIENCE = 10.0
"""Seconds that a cluster may take to answer."""


class Ray(Executor):
    """Runs jobs as tasks of a Ray cluster, at most as many at once as there are workers.

    All nodes must see the store under one path. A task is not tried again: a job whose worker or
    node dies is failed, as with every executor, and the next run of the plan runs it again.
    Settings of the engine: ``address`` of a cluster (without one, a cluster of this machine alone
    is started and stopped), and ``gpus`` of each job (one where ``--device`` is cuda).
    """

    name = "ray"
    settings = ("address", "gpus")

    def __init__(self, options: ExecutorOptions) -> None:
        try:
            import ray
        except ImportError as error:
            raise BadInput(
                f"The executor 'ray' needs ray; install it with: {install_command('ray')}"
            ) from error
        self._ray: Any = ray
        self._address = options.engine.get("address")
        if self._address == "":
            raise BadInput("address= is no address of a Ray cluster; leave it out to start one.")
        self._given_gpus = _gpus_of(options.engine.get("gpus"))
        self._workers, threads = options.workers, options.threads or 1
        if self._address is None:
            self._workers, threads = divided(options)
        super().__init__(replace(options, threads=threads))

    def submit(
        self, jobs: Sequence[Job], store: Store, options: JobOptions, report: Report
    ) -> Iterator[tuple[Job, Result]]:
        """As `Executor.submit`.

        Raises:
            BadInput: If there is no cluster at the address.
        """
        ray = self._ray
        waiting = deque(jobs)
        running: dict[Any, Job] = {}
        root = store.root.resolve()
        threads, gpus = options.threads or 1, self._gpus(options)
        task = ray.remote(run_task).options(num_cpus=threads, num_gpus=gpus, max_retries=0)
        # Threads of Ray print there what becomes of workers.
        with stdout_of_this_thread(), ExitStack() as stack:
            self._connect(stack, threads)
            here = ray.cluster_resources().get("GPU", 0)
            if self._address is None and gpus > here:
                # Ray would wait for them without end.
                raise BadInput(f"gpus={gpus:g} are asked for each job; there are {here:g} here.")
            workers = self._workers or int(ray.cluster_resources().get("CPU", 1)) // threads

            def begin() -> None:
                job = waiting.popleft()
                running[task.remote(job, root, options)] = job
                report.started(job)

            try:
                while waiting and len(running) < max(1, workers):
                    begin()
                while running:
                    (reference, *_), _ = ray.wait(list(running))
                    job = running.pop(reference)
                    if waiting:
                        begin()
                    result = concluded(job, store, options, self._outcome(reference))
                    report.ended(job, result)
                    yield job, result
            finally:
                for reference in running:
                    ray.cancel(reference, force=True)

    def _connect(self, stack: ExitStack, threads: int) -> None:
        """Join the cluster at the address, or start one until the stack is closed."""
        if self._ray.is_initialized():
            return
        own: dict[str, Any] = {}
        if self._address is None:
            # Its logs and sockets; a socket's path may have no more than 107 letters.
            scratch = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
            own = {
                "num_cpus": (self._workers or 1) * threads,
                "object_store_memory": _SMALLEST_STORE,
                "include_dashboard": False,
                "_temp_dir": stack.enter_context(scratch),
            }
        address = self._address or "local"
        stack.callback(self._ray.shutdown)
        try:
            _knock(address)
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BadInput(f"There is no Ray cluster at {address}: {reason}") from error

    def _gpus(self, options: JobOptions) -> float:
        """GPUs of each job; Ray hides those that a task has not asked for."""
        if self._given_gpus is not None:
            return self._given_gpus
        return 1.0 if options.device.startswith("cuda") else 0.0

    def _outcome(self, reference: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            # The first sentence says what happened; Ray goes on with advice to its developers.
            return Lost(f"Ray lost the job's worker: {str(error).strip().splitlines()[0]}")
        return outcome


def _gpus_of(given: str | None) -> float | None:
    """A number of GPUs, or None where none is given.

    Raises:
        BadInput: If it is no number that Ray can give a job: a share of one, or whole ones.
    """
    if given is None:
        return None
    try:
        gpus = float(given)
    except ValueError:
        gpus = math.nan
    if not 0 <= gpus <= _MOST_GPUS or (gpus > 1 and not gpus.is_integer()):
        raise BadInput(f"gpus={given} is no number of GPUs; give a share of one, or whole ones.")
    return gpus


def _knock(address: str) -> None:
    """See whether anybody answers at an address; Ray itself would try for many minutes.

    Raises:
        OSError: If nobody does.
        OverflowError: If the port is no port.
        ValueError: If it is no number.
    """
    host, colon, port = address.rpartition("/")[2].rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def run_task(job: Job, root: Path, options: JobOptions) -> Outcome:
    """What a task does, on its node."""
    return attempt(job, Store(root), options, None)
