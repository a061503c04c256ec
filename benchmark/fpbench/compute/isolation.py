"""Global state that a method shares with all that run after it: kept, compared and put back.

What belongs to torch is looked at only where torch is loaded, and torch is never imported here.
"""

from __future__ import annotations

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# Here, not within: it sets an environment variable when it is loaded.
import threadpoolctl  # type: ignore[import-untyped]


@dataclass(frozen=True)
class Change:
    """One piece of global state that is not what it was.

    Attributes:
        what: Which, e.g. ``torch's default dtype``.
        before: What it was, in words.
        after: What it is, in words.
        cure: How to keep from changing it.
    """

    what: str
    before: str
    after: str
    cure: str

    def __str__(self) -> str:
        return f"{self.what} {self.after} instead of {self.before}"


def _now(before: Any, after: Any) -> tuple[str, str]:
    return str(before), f"is {after}"


@dataclass(frozen=True)
class _Piece:
    """One piece of global state.

    Attributes:
        what: What it is called.
        cure: How to keep from changing it.
        read: Reads it.
        restore: Puts it back; None where that cannot be done.
        comparable: What two readings are compared by.
        words: What two readings that differ are called.
        initial: What it is when its library has just been loaded; None where nobody can tell.
    """

    what: str
    cure: str
    read: Callable[[], Any]
    restore: Callable[[Any], Any] | None
    comparable: Callable[[Any], Any] = lambda value: value
    words: Callable[[Any, Any], tuple[str, str]] = _now
    initial: Callable[[], Any] | None = None


_RANDOM = (
    "draw from generators of your own, np.random.default_rng(context.seed) or random.Random, and "
    "seed torch inside fpbench.compute.device.seeded"
)
_MIXED = "another for each backend"
_THREADS = "use fpbench.compute.threads.limited_threads, which puts the number back"
_TORCH = "put it back in a `finally:`, or pass the option where it is used"


def _unlike(before: Any, after: Any) -> tuple[str, str]:
    return "what it was", "has another state"


def _names(before: Any, after: Any) -> tuple[str, str]:
    """Names alone of what differs: values may be secrets."""
    differs = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    return "what they were", f"hold another {', '.join(differs)}"


def _working_directory() -> str | None:
    try:
        return str(Path.cwd())
    except FileNotFoundError:  # removed meanwhile
        return None


def _to_directory(before: str | None) -> None:
    if before is not None:
        with suppress(OSError):
            os.chdir(before)


def _restore_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _stream(name: str) -> _Piece:
    return _Piece(
        f"sys.{name}",
        "use `with contextlib.redirect_stdout(...)` or redirect_stderr",
        lambda: getattr(sys, name),
        lambda before: setattr(sys, name, before),
        comparable=id,
        words=lambda before, after: ("what it was", f"is {type(after).__name__}"),
    )


def _blas_threads() -> _Piece:
    """Threads of the BLAS libraries that are loaded now; one loaded later has changed nothing."""
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers

    def restore(before: list[int]) -> None:
        for library, count in zip(libraries, before, strict=True):
            # Setting the number wakes the library's threads, so only where it differs.
            if library.num_threads != count:
                library.set_num_threads(count)

    def differing(before: list[int], after: list[int]) -> tuple[str, str]:
        first = next(pair for pair in zip(before, after, strict=True) if pair[0] != pair[1])
        return _now(*first)

    return _Piece(
        "the number of BLAS threads",
        _THREADS,
        lambda: [library.num_threads for library in libraries],
        restore,
        words=differing,
    )


def _python_pieces() -> Sequence[_Piece]:
    return (
        _Piece(
            "the working directory",
            "give absolute paths instead of changing it",
            _working_directory,
            _to_directory,
        ),
        _Piece(
            "environment variables",
            "set them before Python starts, or put them back",
            lambda: dict(os.environ),
            _restore_environment,
            words=_names,
        ),
        *(_stream(name) for name in ("stdin", "stdout", "stderr")),
        _Piece("Python's random state", _RANDOM, random.getstate, random.setstate, words=_unlike),
        _Piece(
            "NumPy's random state",
            _RANDOM,
            np.random.get_state,
            np.random.set_state,
            comparable=lambda state: (state[0], state[1].tobytes(), *state[2:]),
            words=_unlike,
        ),
        _Piece(
            "NumPy's handling of floating-point errors",
            "use `with np.errstate(...)`",
            np.geterr,
            lambda before: np.seterr(**before),
        ),
        _blas_threads(),
    )


def _torch_pieces(torch: Any, environment: dict[str, str]) -> Sequence[_Piece]:
    """The pieces of torch; its initial number of threads is known from the environment alone."""

    def deterministic() -> tuple[bool, bool]:
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        )

    def products() -> str:
        try:
            return str(torch.get_float32_matmul_precision())
        except RuntimeError:  # set for one backend alone
            return _MIXED

    def cudnn(name: str, initial: bool) -> _Piece:
        return _Piece(
            f"torch.backends.cudnn.{name}",
            _TORCH,
            lambda: getattr(torch.backends.cudnn, name),
            lambda before: setattr(torch.backends.cudnn, name, before),
            initial=lambda: initial,
        )

    threads = environment.get("OMP_NUM_THREADS", "")
    return (
        _Piece(
            "torch's default dtype",
            _TORCH,
            torch.get_default_dtype,
            torch.set_default_dtype,
            initial=lambda: torch.float32,
        ),
        _Piece(
            "torch's default device",
            _TORCH,
            torch.get_default_device,
            lambda before: torch.set_default_device(None if before.type == "cpu" else before),
            initial=lambda: torch.device("cpu"),
        ),
        _Piece(
            "torch's grad mode",
            "use `with torch.no_grad():`",
            torch.is_grad_enabled,
            torch.set_grad_enabled,
            initial=lambda: True,
        ),
        _Piece(
            "torch's number of threads",
            _THREADS,
            torch.get_num_threads,
            torch.set_num_threads,
            initial=(lambda: int(threads)) if threads.isdigit() else None,
        ),
        _Piece(
            "torch's number of threads between operations",
            "leave it to the user",
            torch.get_num_interop_threads,
            None,
        ),
        _Piece(
            "torch's choice of deterministic algorithms",
            _TORCH,
            deterministic,
            lambda before: torch.use_deterministic_algorithms(before[0], warn_only=before[1]),
            words=lambda b, a: (str(b[0]), f"is {a[0]}" + (", warn only" if a[1] else "")),
            initial=lambda: (False, False),
        ),
        cudnn("benchmark", False),
        cudnn("deterministic", False),
        cudnn("enabled", True),
        _Piece(
            "torch's precision of float32 products",
            _TORCH,
            products,
            lambda before: before == _MIXED or torch.set_float32_matmul_precision(before),
            initial=lambda: "highest",
        ),
        _Piece(
            "torch's detection of anomalies",
            "use `with torch.autograd.detect_anomaly():`",
            torch.is_anomaly_enabled,
            torch.autograd.set_detect_anomaly,
            initial=lambda: False,
        ),
        _Piece(
            "torch's random state",
            _RANDOM,
            torch.get_rng_state,
            torch.set_rng_state,
            comparable=lambda state: state.numpy().tobytes(),
            words=_unlike,
        ),
    )


def _gpu_pieces(torch: Any) -> Sequence[_Piece]:
    """The random states of GPUs, if any is in use."""
    if not torch.cuda.is_initialized():
        return ()
    return (
        _Piece(
            "the random states of GPUs",
            _RANDOM,
            torch.cuda.get_rng_state_all,
            torch.cuda.set_rng_state_all,
            comparable=lambda states: [state.numpy().tobytes() for state in states],
            words=_unlike,
        ),
    )


class Isolation:
    """What global state was when this was made."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._filters = list(warnings.filters)
        self._pieces = [(piece, piece.read()) for piece in _python_pieces()]
        self._torch_was_there = "torch" in sys.modules
        if self._torch_was_there:
            torch = sys.modules["torch"]
            pieces = (*_torch_pieces(torch, self._environment), *_gpu_pieces(torch))
            self._pieces += [(piece, piece.read()) for piece in pieces]
        self._found: list[Change] | None = None

    def _kept(self) -> list[tuple[_Piece, Any]]:
        """Pieces and what they were; torch's, if it is loaded only now, as it is when loaded."""
        torch = sys.modules.get("torch")
        if self._torch_was_there or torch is None:
            return self._pieces
        pieces = _torch_pieces(torch, self._environment)
        return self._pieces + [(p, p.initial()) for p in pieces if p.initial is not None]

    def changes(self) -> list[Change]:
        """What is not as it was: now, or when the block of `isolated` ended."""
        if self._found is not None:
            return self._found
        found = []
        for piece, before in self._kept():
            after = piece.read()
            if piece.comparable(before) != piece.comparable(after):
                old, new = piece.words(before, after)
                found.append(Change(piece.what, old, new, piece.cure))
        if list(warnings.filters) != self._filters:
            cure = "use `with warnings.catch_warnings():`"
            found.append(Change("the filters of warnings", "those of before", "are others", cure))
        return found

    def restore(self) -> None:
        """Put back all but the filters of warnings, and remember what had to be."""
        self._found = self.changes()
        changed = {change.what for change in self._found}
        for piece, before in self._kept():
            if piece.what in changed and piece.restore is not None:
                piece.restore(before)
        if not self._torch_was_there and "torch" in sys.modules:
            sys.modules["torch"].seed()  # from a seed that nobody chose, as when it is loaded


@contextmanager
def isolated() -> Iterator[Isolation]:
    """A block after which global state is what it was before, however the block ends.

    Of Python the working directory, environment, standard streams, filters of warnings and
    random state; of NumPy the random state and `numpy.geterr`; the threads of BLAS; of torch the
    default dtype and device, grad mode, threads, deterministic algorithms, cuDNN's flags,
    precision of products, detection of anomalies and random states. Where the block loads torch,
    its settings become those that it is loaded with; its number of threads only where
    ``OMP_NUM_THREADS`` states it, and its random state another that nobody chose.

    Yields:
        What the state was, and after the block what the block had changed.
    """
    with warnings.catch_warnings():
        isolation = Isolation()
        try:
            yield isolation
        finally:
            isolation.restore()
