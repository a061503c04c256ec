"""A toy method that is installed as a plugin is, a small dataset, and plans of both."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fpbench import registry
from fpbench.datasets.resolve import resolve
from fpbench.runs.executors.base import ExecutorOptions, Report, Result
from fpbench.runs.job import Job, Side
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.record import Record
from fpbench.runs.run_plan import executor_named, iterate_plan
from fpbench.runs.store import Store


class Heard(Report):
    """Keeps what it is told, as pairs of what and the job's label."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def started(self, job: Job) -> None:
        self.told.append(("started", job.params["label"]))

    def progress(self, job: Job, what: str, done: int, total: int) -> None:
        self.told.append((what, job.params["label"]))

    def ended(self, job: Job, result: Result) -> None:
        self.told.append(("ended", job.params["label"]))


class Toys:
    """Toy jobs: what they are told to do, how they are run, and what has come of them.

    Args:
        folder: In which a job finds what to do, by its label, and notes that it has run.
        side: The dataset.
    """

    options = JobOptions(device="cpu", figures=False, offline=True, scores=("accuracy",))

    def __init__(self, folder: Path, side: Side) -> None:
        self.folder = folder
        self.side = side

    def plan(self, labels: Sequence[str]) -> list[Job]:
        """One job for each label."""
        return [
            job
            for label in labels
            for job in make_plan(
                ["toy"], [(self.side, self.side)], budget="smoke", params={"label": label}
            )
        ]

    def tell(self, label: str, what: str) -> None:
        """Let a job do something, see `toy.Toy`."""
        (self.folder / label).write_text(what)

    def forget(self, *labels: str) -> None:
        """Let jobs do nothing any more."""
        for label in labels:
            (self.folder / label).unlink()

    def run(
        self,
        executor: str,
        labels: Sequence[str],
        out: Path,
        report: Report | None = None,
        job_options: JobOptions = options,
        **options: Any,
    ) -> dict[str, Result]:
        """Run jobs; what each came to, by label, in the order in which they ended."""
        chosen = executor_named(executor, ExecutorOptions(**options))
        ended = iterate_plan(
            self.plan(labels), Store(out), executor=chosen, options=job_options, report=report
        )
        return {job.params["label"]: result for job, result in ended}

    def ran(self) -> list[tuple[str, int, str]]:
        """Label, process and OMP_NUM_THREADS of all that has begun, in order."""
        path = self.folder / "ran.txt"
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(label, int(pid), threads) for label, pid, threads in rows]

    def waiting(self, count: int) -> list[tuple[int, int]]:
        """Wait for jobs that were told to wait; their processes and those processes' children."""

        def found() -> list[tuple[int, int]]:
            notes = {path: path.read_text() for path in self.folder.glob("waiting-*")}
            return [
                (int(path.name.partition("-")[2]), int(child))
                for path, child in notes.items()
                if child.endswith("\n")
            ]

        self.wait_for(lambda: len(found()) == count)
        return found()

    @staticmethod
    def reason(result: Result) -> str:
        """Why a job failed, from its record."""
        assert isinstance(result, Record) and result.status == "failed", result
        assert result.reason is not None
        return result.reason

    @staticmethod
    def bits(result: Result) -> object:
        """What two runs of a job must have in common to the last bit."""
        assert isinstance(result, Record) and result.status == "done", result
        hashes = {name: entry.sha256 for name, entry in result.artifacts.items()}
        assert hashes and result.scores
        return result.scores, hashes

    @staticmethod
    def wait_for(what: Callable[[], bool], seconds: float = 180.0) -> None:
        """Wait until something is so, however slow the machine is."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "it never came to be"
            time.sleep(0.05)

    @staticmethod
    def alive(pid: int) -> bool:
        """Whether a process is there, and not only because nobody has asked how it ended."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        status = Path(f"/proc/{pid}/stat")
        return not status.is_file() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the toy is installed."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("toy.py"), folder / "fpbench_toy.py")
    facts = folder / "fpbench_toy-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: fpbench-toy\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[fpbench.methods]\ntoy = fpbench_toy:Toy\n")
    return folder


@pytest.fixture(scope="session")
def toy_side(tmp_path_factory: pytest.TempPathFactory) -> Side:
    """Real and two sources, each with a mean of its own."""
    folder = tmp_path_factory.mktemp("data") / "toys"
    generator = np.random.default_rng(0)
    for number, source in enumerate(("real", "model-a", "model-b")):
        (folder / source).mkdir(parents=True)
        for index in range(60):
            pixels = generator.integers(0, 100, (24, 24, 3)) + 40 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / source / f"{index:03}.png")
    return one_side(str(folder), resolve(str(folder), offline=True).identity)


@pytest.fixture
def toys(
    site: Path, toy_side: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Toys]:
    """Toy jobs of a test of its own."""
    folder = tmp_path / "toys"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("FPBENCH_TOYS", str(folder))
    registry._method_entries.cache_clear()
    yield Toys(folder, toy_side)
    registry._method_entries.cache_clear()


@pytest.fixture
def heard() -> Heard:
    """A report that keeps what it is told."""
    return Heard()
