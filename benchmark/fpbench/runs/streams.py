"""What a job prints goes to stderr, so that stdout holds the results alone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send everything that is written to stdout inside the block to stderr instead.

    The file descriptor itself is turned, so that what a compiled library or a child process
    prints goes there, too. Where there is no such descriptor (a notebook), Python's own stream is.
    """
    sys.stdout.flush()
    before = sys.stdout
    sys.stdout = sys.stderr
    kept: int | None = None
    try:
        try:
            kept = os.dup(1)
            os.dup2(2, 1)
        except OSError:
            # No such descriptors here: turning Python's stream has to do.
            kept = None
        yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)
        sys.stdout = before


@contextmanager
def stdout_of_this_thread() -> Iterator[None]:
    """Keep Python's stdout to this thread inside the block; what others print goes to stderr."""
    before = sys.stdout
    sys.stdout = cast(TextIO, _OfOneThread(before))
    try:
        yield
    finally:
        sys.stdout = before


class _OfOneThread:
    """A stream that the thread which makes it writes to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._owner = threading.get_ident()

    def write(self, text: str) -> int:
        mine = threading.get_ident() == self._owner
        return (self._stream if mine else sys.stderr).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
