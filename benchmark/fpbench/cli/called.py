"""How this command line was called, so that commands in messages work as printed."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path

from fpbench.errors import visible

PROGRAM = "fpbench"

_COMMAND = re.compile(rf"(?<=`){PROGRAM}(?= [a-z])")


@cache
def called() -> str:
    """What to type for ``fpbench`` here.

    The bare name where a shell finds this very program by it; else the path by which it was
    called, e.g. ``.venv/bin/fpbench``; or ``python -m fpbench``.
    """
    path = Path(sys.argv[0])
    if path.name == "__main__.py" and path.parent.name == PROGRAM:
        return f"{shlex.quote(sys.executable)} -m {PROGRAM}"
    if path.stem != PROGRAM:
        return PROGRAM  # from Python, e.g. in a test
    found = shutil.which(PROGRAM)
    if found is not None and path.exists() and Path(found).resolve() == path.resolve():
        return PROGRAM
    return shlex.quote(sys.argv[0])


def as_called(message: str) -> str:
    """A message as it is printed: its commands in backquotes as they have to be typed here."""
    return _COMMAND.sub(lambda _: called(), visible(message))
