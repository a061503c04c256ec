"""Exact neighbours against faiss.IndexFlatL2, building the index included, on equal threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from fpbench.compute.neighbors import ExactNeighbors
from fpbench.compute.threads import thread_count

pytestmark = [pytest.mark.benchmark, pytest.mark.shared_data]

Images = NDArray[np.uint8]


def by_faiss(reference: Images, queries: Images) -> NDArray[np.int64]:
    faiss.omp_set_num_threads(thread_count())
    rows = reference.reshape(len(reference), -1).astype(np.float32)
    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    _, found = index.search(queries.reshape(len(queries), -1).astype(np.float32), 1)
    return np.asarray(found[:, 0])


def compare(
    race: Callable[..., Any], benchmark: Any, reference: Images, queries: Images, rounds: int
) -> float:
    found: dict[str, NDArray[np.int64]] = {}

    def ours() -> None:
        found["ours"] = ExactNeighbors(reference).search(queries)[1][:, 0]

    def theirs() -> None:
        found["theirs"] = by_faiss(reference, queries)

    times = race(ours, theirs, rounds)
    benchmark.extra_info["threads"] = thread_count()
    different = np.flatnonzero(found["ours"] != found["theirs"])
    for query in different:
        # Single precision cannot tell near ties apart; exact integers can.
        exact = [
            int(((reference[found[side][query]].astype(np.int64) - queries[query]) ** 2).sum())
            for side in ("ours", "theirs")
        ]
        assert exact[0] <= exact[1]
    benchmark.extra_info["different"] = len(different)
    assert len(different) <= len(queries) // 1000
    return float(times.ratio)


def test_cifar(race: Callable[..., Any], benchmark: Any, cifar: tuple[Images, Images]) -> None:
    """2,000 images against 24,000 of 32×32."""
    assert compare(race, benchmark, *cifar, rounds=5) >= 4


def test_faces(race: Callable[..., Any], benchmark: Any, faces: tuple[Images, Images]) -> None:
    """200 images against 5,000 of 256×256."""
    assert compare(race, benchmark, *faces, rounds=3) >= 10


def test_memory(benchmark: Any, memory_watch: Any, faces: tuple[Images, Images]) -> None:
    """The same faces: memory above that of the reference itself."""

    def search() -> None:
        with memory_watch:
            ExactNeighbors(*faces[:1]).search(faces[1])

    benchmark.pedantic(search, rounds=1, iterations=1)
    benchmark.extra_info["extra_mib"] = memory_watch.extra_bytes >> 20
    assert 0 < memory_watch.extra_bytes < 1.5 * 2**30


def test_growth(race: Callable[..., Any], benchmark: Any, cifar: tuple[Images, Images]) -> None:
    """Six times the reference takes less than four times as much of the processor."""
    reference, queries = cifar

    def search(count: int) -> Callable[[], Any]:
        return lambda: ExactNeighbors(reference[:count]).search(queries)

    times = race(search(4000), search(24_000), rounds=7)
    assert times.theirs_cpu / times.ours_cpu < 4
