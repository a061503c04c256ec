"""What two workers gain over one process with the same cores, and what memory they need."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.benchmark

RUN = (
    sys.executable, "-m", "fpbench", "run", "--method", "all", "--dataset", "gm-mini",
    "--budget", "smoke", "--device", "cpu", "--offline",
)  # fmt: skip


def children(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [p for child in task.read_text().split() for p in children(int(child))]
    return found


def proportional_bytes(pid: int) -> int:
    """Memory of a process, in which what several share counts once for all of them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def measured(*words: str) -> tuple[float, int]:
    """Seconds and peak of memory of a plan with all its processes."""
    started = time.perf_counter()
    plan = subprocess.Popen([*RUN, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.5):
            try:
                peak = max(peak, sum(proportional_bytes(pid) for pid in children(plan.pid)))
            except OSError:
                continue  # one ended while it was looked at

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert plan.wait() == 0
    ended.set()
    watcher.join()
    return time.perf_counter() - started, peak


def test_two_workers_of_one_thread_outrun_one_process_of_two(benchmark, tmp_path: Path) -> None:
    """On an idle machine with two cores: at most 0.75 of the time."""

    def both() -> tuple[float, float]:
        alone, _ = measured("--threads", "2", "--out", str(tmp_path / "local"))
        divided, _ = measured(
            "--executor", "processes", "--workers", "2", "--threads", "1",
            "--out", str(tmp_path / "processes"),
        )  # fmt: skip
        return alone, divided

    alone, divided = benchmark.pedantic(both, rounds=1)
    benchmark.extra_info |= {"local": alone, "processes": divided, "ratio": divided / alone}
    assert divided <= 0.75 * alone


def test_two_workers_need_at_most_twice_the_memory_of_one(benchmark, tmp_path: Path) -> None:
    if not Path("/proc/self/smaps_rollup").is_file():
        pytest.skip("the memory of several processes is read from /proc")

    def peak(workers: int) -> int:
        _, found = measured(
            "--executor", "processes", "--workers", str(workers), "--threads", "1",
            "--out", str(tmp_path / str(workers)),
        )  # fmt: skip
        return found

    one, two = benchmark.pedantic(lambda: (peak(1), peak(2)), rounds=1)
    benchmark.extra_info |= {"one_mib": one / 2**20, "two_mib": two / 2**20}
    assert two <= 2 * one + (200 << 20)
