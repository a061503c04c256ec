"""How scores are printed: one console, one way to write numbers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from fpbench.runs.record import ScoreEntry

_WIDTH = 120


def console() -> Console:
    """A console as wide as the terminal, and wide enough for a row where there is none."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


def number(value: float | None) -> str:
    """Three decimals; never a negative zero.

    >>> number(0.12345), number(-0.0001), number(None)
    ('0.123', '0.000', '')
    """
    return "" if value is None else f"{round(value, 3) + 0.0:.3f}"


def interval(score: ScoreEntry) -> str:
    """Both ends of a 95 % interval, empty where there is none."""
    if score.ci_low is None or score.ci_high is None:
        return ""
    return f"{number(score.ci_low)} - {number(score.ci_high)}"
