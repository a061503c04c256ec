"""Work spread over as many threads as BLAS uses."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@lru_cache(maxsize=2)
def _blas(with_scipy: bool = False) -> Any:
    """NumPy's BLAS alone, where it has one of its own: setting another's threads wakes them.

    Args:
        with_scipy: Whether SciPy's is there too.
    """
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

    packages = ["numpy"]
    if with_scipy:
        importlib.import_module("scipy.linalg")  # brings its BLAS, which is limited once loaded
        packages.append("scipy")
    every = ThreadpoolController().select(user_api="blas")
    own = [
        blas.filepath
        for blas in every.lib_controllers
        if any(package in blas.filepath for package in packages)
    ]
    return every.select(filepath=own) if own else every


_threads_here: ContextVar[int | None] = ContextVar("_threads_here", default=None)
"""In a block of `one_blas_thread`, how many threads BLAS used before; not in threads within."""


def thread_count() -> int:
    """How many threads NumPy's BLAS uses, which is how many `each_in_threads` uses."""
    here = _threads_here.get()
    if here is not None:
        return here
    counts = [pool["num_threads"] for pool in _blas().info()]
    return max(1, min(max(counts, default=1), os.cpu_count() or 1))


@contextmanager
def one_blas_thread(*, scipy: bool = False) -> Iterator[None]:
    """BLAS on one thread inside the block, `each_in_threads` on as many as BLAS had before.

    OpenBLAS's own threads spin for a tenth of a second after a product, and when their number is
    set, each on a core that `each_in_threads` needs: a kernel of several steps is one block. For
    many decompositions of small matrices, too, threads that wait for each other bring nothing on
    an idle machine and were up to forty times slower on a busy one. Also a decorator.

    Args:
        scipy: Whether SciPy's linear algebra is kept on one thread as well.

    >>> @one_blas_thread()
    ... def answer() -> int:
    ...     return 42
    >>> answer()
    42
    """
    inside = _threads_here.get() is not None
    if inside and not scipy:
        yield
        return
    token = None if inside else _threads_here.set(thread_count())
    try:
        with _blas(scipy).limit(limits=1):
            yield
    finally:
        if token is not None:
            _threads_here.reset(token)


def thread_variables(count: int) -> dict[str, str]:
    """Environment variables that libraries read, when they are loaded, for their threads."""
    return dict.fromkeys(_VARIABLES, str(count))


@contextmanager
def thread_environment(count: int) -> Iterator[None]:
    """What is loaded inside the block, or started as a process, has `count` threads."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(thread_variables(count))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def limited_threads(count: int) -> Iterator[None]:
    """Torch, BLAS and OpenMP on `count` threads inside the block.

    A library that is first loaded inside the block keeps to `count` threads after it.
    """
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(limits=count), thread_environment(count):
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
