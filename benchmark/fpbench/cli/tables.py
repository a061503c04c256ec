"""How scores are printed: one console, one way to write numbers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

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
