"""A plan that is killed again and again loses no finished job and leaves nothing half-written."""

import json
import os
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
KILLS = 200
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
        self.server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, kind: str | None = None, moment: float = 0.0) -> tuple[int, int, bool]:
        """Process id, exit code, and whether the signal came before the end."""
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps({"words": self.words, "errors": str(self.errors)}))
        self.server.stdin.write("\n")
        self.server.stdin.flush()
        pid = int(self.server.stdout.readline())
        hit = False
        if kind is not None:
            time.sleep(moment)
            try:
                os.kill(pid, getattr(signal, kind))
                hit = True
            except ProcessLookupError:
                hit = False
        return pid, int(self.server.stdout.readline()), hit

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
        kind, moment = draw.choice(KINDS), draw.uniform(0, whole / 3)
        pid, code, timely = plan.run(kind, moment)
        hit[kind] += timely
        late += not timely
        said = plan.errors.read_text() if plan.errors.is_file() else ""
        what = f"{kind} after {moment:.2f} s, exit code {code}: {said}"
        assert "fault in fpbench" not in said and "Traceback" not in said, what
        after = plan.finished()
        assert before.items() <= after.items(), what
        within += len(before) < len(after) < JOBS
        mine = [path for path in plan.scratch() if f"-{pid}-" in path.name]
        assert mine == [] or kind == "SIGKILL" or code == -getattr(signal, kind), what
        left += bool(mine)
    assert plan.run()[1] == 0, plan.errors.read_text()
    assert len(plan.finished()) == JOBS
    assert plan.scratch() == []
    sys.stderr.write(
        f"{hit}; {within} after which some jobs were new; {left} left scratch, removed at the next "
        f"start; {plans} plans ended; {late} came too late; a plan takes {whole:.1f} s\n"
    )
    assert within > KILLS // 10 and min(hit.values()) > KILLS // 10
