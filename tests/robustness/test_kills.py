"""A plan that is killed again and again loses no finished job and leaves nothing half-written."""

import json
import os
import random
import select
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
KILLS = 200
LONGEST = 1.0
"""Seconds that a job is taken to last at most; on a busy machine it is longer."""

KINDS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
]


class Plan:
    """A plan of `JOBS` jobs, run in a process of its own each time.

    Args:
        folder: Where images, results and what is said go.
    """

    def __init__(self, folder: Path) -> None:
        self.out = folder / "runs"
        self.errors = folder / "errors"
        images = write_images(folder / "images")
        self.words = [
            "run", "--method", "majority", "--method", "pixels", "--dataset", str(images),
            "--seeds", str(JOBS // 2), "--budget", "smoke", "--device", "cpu", "--offline",
            "--no-figures", "--out", str(self.out),
        ]  # fmt: skip
        command = [sys.executable, str(Path(__file__).with_name("forked.py"))]
        # Without a buffer, whose content `select` would not see.
        self.server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def run(
        self, kind: str | None = None, jobs: int = 0, delay: float = 0.0
    ) -> tuple[int, int, bool]:
        """Run the plan, and kill it if asked.

        Args:
            kind: The signal, or None.
            jobs: How many jobs must be new before it comes.
            delay: Seconds that it comes later than that.

        Returns:
            Process id, exit code, and whether the signal came before the end.
        """
        assert self.server.stdin is not None and self.server.stdout is not None
        asked = json.dumps({"words": self.words, "errors": str(self.errors)})
        self.server.stdin.write(f"{asked}\n".encode())
        pid = int(self.server.stdout.readline())
        hit = False
        if kind is not None:
            # Counted in jobs, not in time, so that a busy machine is killed at the same moments.
            wanted = self.count() + jobs
            while self.count() < wanted and not self._ended(0.02):
                pass
            self._ended(delay)
            try:
                os.kill(pid, getattr(signal, kind))
                hit = True
            except ProcessLookupError:
                hit = False
        return pid, int(self.server.stdout.readline()), hit

    def _ended(self, seconds: float) -> bool:
        """Wait for the end of the process, so long at most."""
        return bool(select.select([self.server.stdout], [], [], seconds)[0])

    def count(self) -> int:
        """How many jobs have a folder; they appear whole."""
        return sum(
            not path.parent.name.startswith(SCRATCH)
            for path in self.out.glob("*/*/[!.]*/record.json")
        )

    def finished(self) -> dict[str, bytes]:
        """Every record by its path; each is whole, and so are its files."""
        found: dict[str, bytes] = {}
        for path in Store(self.out).record_paths() if self.out.is_dir() else []:
            record = read_record(path)
            assert record.status == "done", record.reason
            for entry in record.artifacts.values():
                assert (path.parent / entry.file).stat().st_size == entry.size
            found[str(path)] = path.read_bytes()
        return found

    def scratch(self) -> list[Path]:
        """What is not finished, anywhere."""
        return [p for p in self.out.parent.rglob("*") if p.name.startswith(SCRATCH)]


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    made = Plan(tmp_path)
    yield made
    assert made.server.stdin is not None
    made.server.stdin.close()
    made.server.wait()


def test_200_kills_lose_no_job_and_leave_no_scratch(plan: Plan) -> None:
    assert plan.run()[1] == 0, plan.errors.read_text()  # the first waits for the server's imports
    shutil.rmtree(plan.out)
    started = time.perf_counter()
    assert plan.run()[1] == 0, plan.errors.read_text()
    whole = time.perf_counter() - started
    assert len(plan.finished()) == JOBS
    shutil.rmtree(plan.out)
    draw = random.Random(16)  # noqa: S311  (the same draws every time)
    hit = dict.fromkeys(KINDS, 0)
    late = plans = within = left = 0
    while sum(hit.values()) < KILLS:
        before = plan.finished()
        if len(before) == JOBS:
            plans += 1
            shutil.rmtree(plan.out)
            before = {}
        # No later than within the seventh new job; half of them before the first.
        kind, jobs = draw.choice(KINDS), max(0, draw.randrange(-6, 7))
        delay = draw.uniform(0, whole / JOBS * (5 if jobs == 0 else 1))
        pid, code, timely = plan.run(kind, jobs, delay)
        hit[kind] += timely
        late += not timely
        said = plan.errors.read_text() if plan.errors.is_file() else ""
        what = f"{kind} {delay:.2f} s after {jobs} jobs, exit code {code}: {said}"
        assert "fault in fpbench" not in said and "Traceback" not in said, what
        after = plan.finished()
        assert before.items() <= after.items(), what
        within += len(before) < len(after) < JOBS
        mine = [path for path in plan.scratch() if f"-{pid}-" in path.name]
        assert mine == [] or kind == "SIGKILL" or code == -getattr(signal, kind), what
        left += bool(mine)
        whole = min(whole, JOBS * LONGEST)
        if sum(hit.values()) % 20 == 0:
            sys.stderr.write(f"{hit}, {plans} plans ended\n")
    assert plan.run()[1] == 0, plan.errors.read_text()
    assert len(plan.finished()) == JOBS
    assert plan.scratch() == []
    sys.stderr.write(
        f"{hit}; {within} after which some jobs were new; {left} left scratch, removed at the next "
        f"start; {plans} plans ended; {late} came too late; a plan takes {whole:.1f} s\n"
    )
    assert within > KILLS // 10 and min(hit.values()) > KILLS // 10
