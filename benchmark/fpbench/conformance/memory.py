"""Whether memory grows with the number of images, beyond what is returned."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fpbench.conformance.result import Fault, NotRun
from fpbench.conformance.subject import Subject, forget
from fpbench.images import ImageSet

FEW, MANY = 320, 1280
_SLACK = 64 * 2**20
_PATIENCE = 90.0
_MIB = 2**20


def _reset_peak() -> bool:
    """Start a new peak of the resident set, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def _resident() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def _measure(ask: Callable[[ImageSet], object], images: ImageSet) -> tuple[int, int | None]:
    """Most bytes held above the start: of Python and NumPy, and of the whole process."""
    forget()
    resident = _resident() if _reset_peak() else None
    tracemalloc.start()
    try:
        ask(images)
        traced = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return traced, None if resident is None else max(_peak() - resident, 0)


def check_memory(subject: Subject) -> str:
    """Judging four times as many images takes no more memory, apart from the answers."""
    fitted, test = subject.fitted, subject.sets.test
    pixels = test.pixels
    few, many = (
        ImageSet(np.resize(pixels, (count, *pixels.shape[1:]))).unlabelled()
        for count in (FEW, MANY)
    )
    # Vectors of the size of a fingerprint may be held for all images, in a few forms at once; a
    # copy of the images in bytes is no fault, one in floating point is.
    vector = subject.known_answers()["embed"].nbytes / len(test)
    allowed = (4 * vector + 3 * pixels[0].nbytes) * (MANY - FEW)
    told = []
    for member in subject.judging:
        ask = getattr(fitted, member)
        started = time.perf_counter()
        ask(few)  # also whatever is set up once
        if (time.perf_counter() - started) * MANY / FEW > _PATIENCE:
            raise NotRun(f"{member} of {MANY} images would take over {_PATIENCE:.0f} s here")
        small, large = _measure(ask, few), _measure(ask, many)
        growth = large[0] - small[0]
        resident = 0
        if small[1] is not None and large[1] is not None:
            resident = large[1] - small[1] - _SLACK
        if max(growth, resident) > allowed:
            raise Fault(
                f"{member} takes {max(growth, resident) / _MIB:.0f} MiB more for {MANY} images "
                f"than for {FEW}, where their fingerprints explain {allowed / _MIB:.0f} MiB; go "
                "through images.batches(256) instead of the whole set at once."
            )
        told.append(f"{member} +{max(growth, 0) / _MIB:.1f} MiB")
    return f"{', '.join(told)} for {MANY} images instead of {FEW}"
