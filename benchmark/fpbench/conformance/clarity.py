"""Whether an error was raised on purpose, with a sentence for whoever reads it."""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.method import MethodDeclined


def is_clear(error: BaseException) -> bool:
    """Whether `error` is one that its author raised to tell the user something.

    `BadInput` and `MethodDeclined` are; so are a ValueError that a ``raise`` statement outside
    NumPy, SciPy and torch raised with a message, and an exception of a type of fpbench's own.
    An error out of the middle of a computation, e.g. of shapes that do not fit, is not.
    """
    if len(str(error).split()) < 3:
        return False
    if isinstance(error, BadInput | MethodDeclined):
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return False
    frame, line = frames[-1]
    path = Path(frame.f_code.co_filename)
    source = linecache.getline(str(path), line).strip()
    foreign = {"numpy", "scipy", "torch"} & set(path.parts)
    raised = source.startswith("raise") and not foreign
    ours = isinstance(error, ValueError) or type(error).__module__.startswith("fpbench.")
    return raised and ours
