"""What a job and a transfer job share: datasets, context, and what a record says of the run."""

from __future__ import annotations

import time
import traceback
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fpbench import registry
from fpbench.compute.device import device_name, peak_memory_bytes, pick_device
from fpbench.datasets.load import GMDataset, load
from fpbench.errors import BadInput
from fpbench.method import FitContext, Method, Progress
from fpbench.runs.job import JobSpec
from fpbench.runs.outcome import InvalidOutput, Outcome
from fpbench.runs.record import CostEntry, MethodEntry
from fpbench.runs.transferjob import TransferSpec

TRACEBACK_FILE = "traceback.txt"


@lru_cache(maxsize=2)
def load_once(name: str, content_hash: str, offline: bool) -> GMDataset:
    """Load a dataset once for the jobs of a plan, which come dataset by dataset.

    Raises:
        BadInput: If it cannot be loaded, or its content is no longer that of the plan.
    """
    dataset = load(name, offline=offline)
    if dataset.identity.content_hash != content_hash:
        raise BadInput(f"The dataset {name} changed while the plan was running; start it again.")
    return dataset


def make_context(
    spec: JobSpec | TransferSpec, device: str, progress: Progress | None
) -> FitContext:
    """The context of a job on ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        BadInput: If the device is not there.
    """
    chosen = pick_device(device)
    if progress is None:
        return FitContext(seed=spec.seed, budget=spec.budget, device=chosen)
    return FitContext(seed=spec.seed, budget=spec.budget, device=chosen, progress=progress)


def method_entry(spec: JobSpec | TransferSpec, cls: type[Method]) -> MethodEntry:
    """What a record says of the method: the package it comes from is that of its entry point."""
    origin = registry.method_origin(spec.method)
    try:
        package = f"{origin} {version(origin)}"
    except PackageNotFoundError:
        package = origin
    return MethodEntry(
        name=spec.method,
        variant=spec.variant,
        version=spec.method_version,
        params=dict(spec.params),
        title=cls.card.title,
        package=package,
    )


def cost_entry(outcome: Outcome, images: int, started: float, context: FitContext) -> CostEntry:
    """What a record says of time and memory.

    Args:
        outcome: What the method gave.
        images: Test images.
        started: `time.perf_counter` at the job's start.
        context: For its device.
    """
    return CostEntry(
        fit_seconds=outcome.fit_seconds,
        inference_seconds=outcome.inference_seconds,
        images_per_second=images / max(outcome.inference_seconds, 1e-9),
        total_seconds=time.perf_counter() - started,
        peak_memory_bytes=peak_memory_bytes(),
        parameters=outcome.parameters,
        device=f"{context.device} ({device_name(context.device)})",
    )


def sentence_of(error: Exception) -> str:
    """What a record gives as the reason for an exception of a method."""
    if isinstance(error, InvalidOutput):
        return str(error)
    return f"{type(error).__name__}: {error}"


def keep_traceback(folder: Path) -> None:
    """Write the traceback of the exception being handled beside the record."""
    (folder / TRACEBACK_FILE).write_text(traceback.format_exc(), encoding="utf-8")
