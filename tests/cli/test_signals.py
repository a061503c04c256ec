"""Signals that come when the work is done: results are stored, and Python's own end is not told."""

import os
import signal
import sys

import pytest

from fpbench.cli import main

NAMES = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@pytest.mark.parametrize("name", NAMES)
def test_after_the_work_a_signal_ends_with_its_code_and_one_sentence(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    number = getattr(signal, name)
    before = {each: signal.getsignal(getattr(signal, each)) for each in NAMES}
    codes: list[int] = []
    monkeypatch.setattr(main, "_run", lambda words: 0)
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(sys, "argv", ["fpbench", "methods", "list"])
    try:
        signal.signal(number, signal.SIG_DFL)
        with pytest.raises(SystemExit) as end:
            main.entry()
        # As when it comes while Python shuts down: no exception, which nobody would catch there.
        os.kill(os.getpid(), number)
    finally:
        for each, handler in before.items():
            signal.signal(getattr(signal, each), handler)
    assert end.value.code == 0
    assert codes == [128 + number]
    said = capfd.readouterr().err
    assert said == "\nInterrupted after the work was done; all results are stored.\n"
