"""What a job prints goes to stderr, so that stdout holds the results alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
