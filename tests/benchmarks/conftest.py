"""Real images and a stopwatch for the benchmarks of the kernels.

Both sides of a comparison run in turns in one process, so that whatever else the machine does
disturbs both; the best round of each counts.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

_SETTLE_S = 0.4
"""OpenMP's threads spin for up to 0.2 s after a loop, on the core that the other side needs."""


def _parquet_images(name: str, file: str, size: int | None = None) -> NDArray[np.uint8]:
    root = os.environ.get("FPBENCH_SHARED_DATA")
    if not root:
        pytest.skip("FPBENCH_SHARED_DATA names no folder of real images")
    path = Path(root) / "real" / name / file
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    import pyarrow.parquet as parquet
    from PIL import Image

    images = []
    for row in parquet.read_table(path, columns=["image"])["image"].to_pylist():
        image = Image.open(io.BytesIO(row["bytes"])).convert("RGB")
        if size is not None and image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.LANCZOS)
        images.append(np.asarray(image))
    return np.stack(images)


@pytest.fixture(scope="session")
def cifar() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """24,000 reference images and 2,000 others, all 32×32."""
    return (
        _parquet_images("cifar10", "train.parquet"),
        _parquet_images("cifar10", "test.parquet")[:2000],
    )


@pytest.fixture(scope="session")
def faces() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """5,000 reference faces and 200 others, all 256×256.

    Real faces are few, so most of the reference are real ones flipped, shifted and made brighter
    or darker. No face among the queries is in the reference in any guise.
    """
    real = np.concatenate(
        [
            _parquet_images("ffhq-256", "train.parquet"),
            _parquet_images("celeba-hq-512", "train.parquet", 256),
        ]
    )
    rng = np.random.default_rng(0)
    order = rng.permutation(len(real))
    queries, sources = real[order[:200]], order[200:]
    reference = np.empty((5000, 256, 256, 3), np.uint8)
    for number in range(len(reference)):
        face = real[sources[number % len(sources)]]
        if number >= len(sources):
            face = face[:, :: rng.choice([-1, 1])]
            face = np.roll(face, rng.integers(-12, 13, 2), axis=(0, 1))
            scaled = face.astype(np.float32) * rng.uniform(0.8, 1.2) + rng.uniform(-12, 12)
            face = np.clip(scaled, 0, 255).astype(np.uint8)
        reference[number] = face
    return reference, queries


@dataclass(frozen=True)
class Times:
    """Best seconds of each side of a comparison, on the clock and of the processor."""

    ours: float
    theirs: float
    ours_cpu: float
    theirs_cpu: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is, on the clock."""
        return self.theirs / self.ours


@pytest.fixture
def race(benchmark: Any) -> Callable[..., Times]:
    """Run two callables in turns and enter what they took into the benchmark's record."""

    def run(
        ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int = 3, scale: float = 1.0
    ) -> Times:
        """`scale` times the other side's seconds, where it does a part of the work."""
        best = {"ours": [np.inf, np.inf], "theirs": [np.inf, np.inf]}

        def both() -> None:
            for name, side in (("ours", ours), ("theirs", theirs)):
                time.sleep(_SETTLE_S)
                clock, processor = time.perf_counter(), time.process_time()
                side()
                best[name][0] = min(best[name][0], time.perf_counter() - clock)
                best[name][1] = min(best[name][1], time.process_time() - processor)

        benchmark.pedantic(both, rounds=rounds, iterations=1)
        times = Times(
            best["ours"][0],
            best["theirs"][0] * scale,
            best["ours"][1],
            best["theirs"][1] * scale,
        )
        benchmark.extra_info.update(
            ours_s=round(times.ours, 4),
            theirs_s=round(times.theirs, 4),
            ratio=round(times.ratio, 2),
            cpu_ratio=round(times.theirs_cpu / times.ours_cpu, 2),
        )
        return times

    return run


class MemoryWatch:
    """The most resident memory of this process while the block ran, above that at its start."""

    def __init__(self) -> None:
        self.extra_bytes = 0
        self._stop = threading.Event()
        self._page = os.sysconf("SC_PAGE_SIZE")

    def _resident(self) -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * self._page

    def __enter__(self) -> MemoryWatch:
        start = self._resident()

        def watch() -> None:
            while not self._stop.wait(0.002):
                self.extra_bytes = max(self.extra_bytes, self._resident() - start)

        self._thread = threading.Thread(target=watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def memory_watch() -> MemoryWatch:
    """A `MemoryWatch`; skips where the kernel does not tell the resident memory."""
    if not Path("/proc/self/statm").is_file():
        pytest.skip("the resident memory is read from /proc")
    return MemoryWatch()
