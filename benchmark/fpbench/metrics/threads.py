"""How many threads linear algebra may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep linear algebra on one thread; a context manager and a decorator.

    For many decompositions of small matrices, where threads that wait for each other bring
    nothing on an idle machine and were up to forty times slower on a busy one.

    >>> @one_blas_thread()
    ... def answer() -> int:
    ...     return 42
    >>> answer()
    42
    """
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own, limited only once it is loaded
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1, user_api="blas"):
        yield
