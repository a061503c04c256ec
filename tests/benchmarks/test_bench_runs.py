"""Start-up, and what a plan saves over single runs; both sides in one run on one machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fpbench import registry

pytestmark = pytest.mark.benchmark


def seconds_of(command: list[str], repeats: int = 1) -> float:
    """The fastest of some wall times; the first start after a change compiles modules."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.mark.parametrize("words", [["--help"], ["methods", "list"], ["data", "list"]])
def test_quick_commands_start_within_03_seconds_of_python(benchmark, words):
    bare = seconds_of([sys.executable, "-c", "pass"], 5)
    command = [sys.executable, "-m", "fpbench", *words]
    found = benchmark.pedantic(seconds_of, (command, 5), rounds=1)
    benchmark.extra_info |= {"seconds": found, "python": bare}
    assert found < bare + (0.3 if words == ["--help"] else 0.4)


def test_all_methods_together_cost_less_than_one_by_one(benchmark, tmp_path: Path):
    """`--method all` starts once, decodes once and shares what jobs have in common."""
    run = [sys.executable, "-m", "fpbench", "run", "--dataset", "gm-mini", "--budget", "smoke"]
    names = registry.method_names()
    alone = sum(
        seconds_of([*run, "--method", name, "--out", str(tmp_path / "alone")]) for name in names
    )
    together = benchmark.pedantic(
        seconds_of, ([*run, "--method", "all", "--out", str(tmp_path / "together")],), rounds=1
    )
    benchmark.extra_info |= {"together": together, "alone": alone, "ratio": together / alone}
    assert together < 0.7 * alone
    assert together < 360


@pytest.mark.parametrize("method", ["prnu", "manifpt"])
def test_memory_grows_with_the_embeddings_only(benchmark, method: str):
    """Peak memory of judging 1,000 and 4,000 test images, less the embeddings themselves."""
    script = Path(__file__).with_name("memory_of_embedding.py")

    def peak(count: int) -> tuple[int, int]:
        done = subprocess.run(
            [sys.executable, str(script), method, str(count)],
            check=True, capture_output=True, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        memory, embeddings = done.stdout.split()
        return int(memory), int(embeddings)

    (few, few_rows), (many, many_rows) = benchmark.pedantic(
        lambda: (peak(1000), peak(4000)), rounds=1
    )
    growth = (many - few) - 2 * (many_rows - few_rows)
    benchmark.extra_info |= {"growth_mib": growth / 2**20}
    # The images themselves (9 MiB more) and what values are shared between jobs are allowed.
    assert growth < 128 * 2**20
