"""Stdout holds results alone, whoever prints meanwhile."""

import os
import sys
import threading

import pytest

from fpbench.runs.streams import stdout_of_this_thread, stdout_to_stderr


def test_what_a_job_and_its_libraries_print_goes_to_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with stdout_to_stderr():
        sys.stdout.write("from Python\n")
        os.write(1, b"from a library\n")
    sys.stdout.write("a result\n")
    out, err = capfd.readouterr()
    assert out == "a result\n"
    assert sorted(err.splitlines()) == ["from Python", "from a library"]


def test_what_other_threads_print_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    with stdout_of_this_thread():
        other = threading.Thread(target=lambda: sys.stdout.write("from afar\n"))
        other.start()
        other.join()
        sys.stdout.write("a result\n")
        sys.stdout.flush()
        assert sys.stdout.encoding == before.encoding
    assert sys.stdout is before
    assert capsys.readouterr() == ("a result\n", "from afar\n")
