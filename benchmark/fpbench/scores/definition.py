"""What a score is: everything that tables, boards, intervals and pages need to know of it, once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Table:
    """One table of a board: scores that are read together.

    Attributes:
        key: Short name, e.g. for links.
        title: Heading.
        note: How to read it, one or two sentences.
    """

    key: str
    title: str
    note: str


@dataclass(frozen=True)
class ScoreDefinition:
    """One score, defined.

    Attributes:
        key: Key in records.
        title: What the terminal and documentation call it.
        heading: What a board's column calls it, where space is short.
        question: One sentence on what it asks.
        table: The board's table that it stands in.
        lower: Smallest value it can have.
        upper: Largest value it can have; infinite for distances and their ratios.
        better: ``higher``, ``lower``, or ``neither`` where no direction is good in itself.
        digits: Decimals on a board.
        in_terminal: Whether the terminal's table shows it; records hold all.
        since: Version of the scoring rules that first computes it; a record of older rules does
            not hold it, and gets it when it is scored again by newer ones.
    """

    key: str
    title: str
    heading: str
    question: str
    table: Table
    lower: float = 0.0
    upper: float = 1.0
    better: Better = "higher"
    digits: int = 3
    in_terminal: bool = False
    since: int = 1

    @property
    def bounded(self) -> bool:
        """Whether both ends of its range are finite."""
        return math.isfinite(self.lower) and math.isfinite(self.upper)
