"""Whatever is typed: no traceback, no fault in fpbench, an exit code that is one."""

import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from fpbench.cli.main import entry

from .fuzz import calls

HUNG = 600
"""Seconds after which a call is taken to hang; the slowest take a few on an idle machine."""


class Hung(BaseException):
    """A call that does not end."""


@contextmanager
def ended() -> Iterator[None]:
    """Interrupt the block if it hangs, where the system has a timer."""

    def interrupt(signum: int, frame: object) -> None:
        raise Hung

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(HUNG)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def told(call: list[str]) -> tuple[int, str]:
    """Exit code, and all that was printed; -1 of a call that hangs."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end, ended():
            entry(call)
    except Hung:
        return -1, f"it hangs: {out.getvalue()}{err.getvalue()}"
    assert isinstance(end.value.code, int)
    return end.value.code, out.getvalue() + err.getvalue()


def spoiled(folder: Path, seed: int, count: int) -> list[str]:
    """Calls that ended as none may."""
    wrong = []
    for call in calls(seed, count, folder):
        code, text = told(call)
        if code not in (0, 1, 2) or "Traceback" in text or "fault in fpbench" in text:
            wrong.append(f"{call!r}: {code}: {text[-600:]}")
            sys.stderr.write(f"{wrong[-1]}\n")
    return wrong


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("FPBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "odd").mkdir()
    return tmp_path / "odd"


def test_60_calls(folder: Path) -> None:
    assert spoiled(folder, 1, 60) == []


@pytest.mark.slow
def test_2000_calls(folder: Path) -> None:
    assert spoiled(folder, 16, 2000) == []
