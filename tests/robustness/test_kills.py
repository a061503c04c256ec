"""A plan that is killed again and again loses no finished job and leaves nothing half-written."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fpbench.files import SCRATCH
from fpbench.runs.record import read_record
from fpbench.runs.store import Store

from .folders import write_images

JOBS = 20
KINDS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
LONGEST = 600
"""Seconds after which a process that was told to end, or runs the plan to its end, hangs."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP"),
]


def begin(images: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable, "-m", "fpbench", "run", "--method", "majority", "--method", "pixels",
        "--dataset", str(images), "--seeds", str(JOBS // 2), "--budget", "smoke",
        "--device", "cpu", "--offline", "--out", str(out),
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def scratch_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(SCRATCH)]


def finished(out: Path) -> dict[str, bytes]:
    """Every record by its path; all of them can be read."""
    found = {}
    for path in Store(out).record_paths():
        assert read_record(path).status == "done"
        assert all((path.parent / e.file).is_file() for e in read_record(path).artifacts.values())
        found[str(path)] = path.read_bytes()
    return found


@pytest.fixture(autouse=True)
def listening() -> Iterator[None]:
    """A child of a process that ignores HUP (nohup) would ignore it, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def paces(images: Path, out: Path) -> tuple[float, float]:
    """Seconds until the first job of the plan begins to be written, and until the plan is done."""
    started = time.perf_counter()
    process = begin(images, out)
    first = None
    while process.poll() is None:
        if first is None and any(out.rglob(f"{SCRATCH}*")):
            first = time.perf_counter() - started
        time.sleep(0.05)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert len(finished(out)) == JOBS
    shutil.rmtree(out)
    whole = time.perf_counter() - started
    return first if first is not None else whole / 2, whole


def test_200_kills_lose_no_job_and_leave_no_scratch(tmp_path: Path) -> None:
    images, out = write_images(tmp_path / "images"), tmp_path / "runs"
    draw = random.Random(16)  # noqa: S311  (the same moments every time)
    first, whole = paces(images, out)
    hit = dict.fromkeys(KINDS, 0)
    untimely = plans = within = 0
    while sum(hit.values()) < 200:
        before = finished(out) if out.is_dir() else {}
        if len(before) == JOBS:
            plans += 1
            shutil.rmtree(out)
            before = {}
        process = begin(images, out)
        kind = draw.choice(KINDS)
        # Most of the time goes to imports, in which nothing is written: three of four come later.
        late = draw.random() < 0.75
        moment = draw.uniform(first, whole) if late else draw.uniform(0, first)
        try:
            _, errors = process.communicate(timeout=moment)
            untimely += 1  # it was done before
        except subprocess.TimeoutExpired:
            process.send_signal(getattr(signal, kind))
            _, errors = process.communicate(timeout=LONGEST)
            hit[kind] += 1
            sys.stderr.write(f"{sum(hit.values())}: {kind} after {moment:.1f} s\n")
        what = f"{kind} after {moment:.2f} s: {errors.decode()}"
        assert "fault in fpbench" not in errors.decode(), what
        # Before the program itself runs, Python's own start is interrupted as Python pleases.
        assert "Traceback" not in errors.decode() or "fpbench/" not in errors.decode(), what
        after = finished(out) if out.is_dir() else {}
        assert before.items() <= after.items(), what
        within += len(before) < len(after) < JOBS
        if kind != "SIGKILL" and process.returncode not in (-signal.SIGKILL,):
            mine = [p for p in scratch_below(tmp_path) if f"-{process.pid}-" in p.name]
            assert mine == [], what
    last = begin(images, out)
    _, errors = last.communicate(timeout=LONGEST)
    assert last.returncode == 0, errors.decode()
    assert len(finished(out)) == JOBS
    assert scratch_below(tmp_path) == []
    assert min(hit.values()) > 20, hit
    assert within > 20, within
    sys.stderr.write(
        f"{hit}; {within} within a plan of which a job was done; "
        f"{plans} plans ended; {untimely} too late\n"
    )
