"""Work spread over as many threads as BLAS uses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    return ThreadpoolController()


def thread_count() -> int:
    """How many threads NumPy's BLAS uses, which is how many `each_in_threads` uses."""
    counts = [pool["num_threads"] for pool in _blas().info() if pool["user_api"] == "blas"]
    return max(1, min(max(counts, default=1), os.cpu_count() or 1))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS on one thread inside the block.

    OpenBLAS's own threads spin for a tenth of a second after a product, each on a core that
    threads started meanwhile by `each_in_threads` would need.
    """
    with _blas().limit(limits=1, user_api="blas"):
        yield


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Torch and BLAS on `count` threads inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with _blas().limit(limits=count, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def each_in_threads(function: Callable[[int], None], items: Iterable[int]) -> None:
    """Call a function on every item, on as many threads as BLAS uses, with BLAS on one each."""
    work = list(items)
    threads = min(thread_count(), len(work))
    if threads <= 1:
        for item in work:
            function(item)
        return
    with (
        one_blas_thread(),
        ThreadPoolExecutor(threads, thread_name_prefix="fpbench") as pool,
    ):
        for _ in pool.map(function, work):
            pass
