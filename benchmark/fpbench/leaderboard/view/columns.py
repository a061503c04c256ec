"""The columns of boards: which scores, in which tables, how they are read and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fpbench.leaderboard.ranking.rows import ONE_RUN, Cost, Row
from fpbench.metrics.score import Score
from fpbench.runs.job import CLOSED_SET
from fpbench.runs.plugins import protocol_named
from fpbench.scores.catalogue import tables_of
from fpbench.scores.definition import ScoreDefinition, Table


@dataclass(frozen=True)
class Column:
    """One score as a column.

    Attributes:
        key: Key in the record.
        title: Heading.
        hint: One sentence on what it asks.
        digits: Decimals.
        better: ``higher``, ``lower`` or ``neither``.
        textual: Whether it holds words, to be sorted as such.
    """

    key: str
    title: str
    hint: str
    digits: int = 3
    better: str = "higher"
    textual: bool = False


@dataclass(frozen=True)
class Group:
    """Columns of one table.

    Attributes:
        key: Short name, e.g. for links.
        title: Heading.
        note: How to read it.
        columns: Its columns.
    """

    key: str
    title: str
    note: str
    columns: tuple[Column, ...]


def _group(table: Table, scores: Sequence[ScoreDefinition]) -> Group:
    """A table of scores as columns."""
    return Group(
        table.key,
        table.title,
        table.note,
        tuple(Column(s.key, s.heading, s.question, s.digits, s.better) for s in scores),
    )


GROUPS = tuple(
    _group(table, scores)
    for table, scores in tables_of(protocol_named(CLOSED_SET).families).items()
)
"""Tables of a dataset's board, in order; cost follows them."""

ATTRIBUTION = GROUPS[0]
"""The table of the headline, which ranks stand in."""

STRUCTURE_PREFIX = "structure_"
"""Scores that stand on the structure board."""

_FIGURES = 4
"""Figures of a number above ten that say something beside intervals of a few per cent."""

_KNOWN = frozenset(column.key for group in GROUPS for column in group.columns)


def other_scores(rows: tuple[Row, ...]) -> Group | None:
    """Scores of these rows that no other table shows, so that none is dropped; None if none."""
    keys = sorted(
        {
            key
            for row in rows
            for key in row.scores
            if key not in _KNOWN and not key.startswith(STRUCTURE_PREFIX)
        }
    )
    if not keys:
        return None
    columns = tuple(Column(key, key.replace("_", " "), "", 3, "neither") for key in keys)
    return Group("other", "Other scores", "Scores without a table of their own.", columns)


def number(value: float, digits: int = 3) -> str:
    """A number with a fixed number of decimals; never a negative zero.

    >>> number(0.12345), number(-0.0001), number(12345678.0, 2)
    ('0.123', '0.000', '1.23e+07')
    """
    if abs(value) >= 1e6:
        return f"{value:.3g}"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def score_texts(score: Score | None, digits: int = 3) -> tuple[str, str]:
    """A score and its interval in brackets, e.g. ``0.812`` and ``[0.789, 0.834]``.

    Numbers of four figures before the point or more have none behind it; the ends of an interval
    have as many decimals as the score. A dash stands for no score, nothing for no interval.

    >>> score_texts(Score(0.8, 0.75, 0.85, 100)), score_texts(None)
    (('0.800', '[0.750, 0.850]'), ('–', ''))
    >>> score_texts(Score(2837.887, 481.576, 5193.432, 100))
    ('2838', '[482, 5193]')
    """
    if score is None or score.value is None:
        return "–", ""
    before = len(f"{abs(score.value):.0f}")
    decimals = digits if before == 1 else min(digits, max(0, _FIGURES - before))
    text = number(score.value, decimals)
    if score.ci_low is None or score.ci_high is None:
        return text, ""
    return text, f"[{number(score.ci_low, decimals)}, {number(score.ci_high, decimals)}]"


def score_text(score: Score | None, digits: int = 3) -> str:
    """`score_texts` as one text.

    >>> score_text(Score(0.8, 0.75, 0.85, 100)), score_text(None)
    ('0.800 [0.750, 0.850]', '–')
    """
    return " ".join(text for text in score_texts(score, digits) if text)


def rank_text(row: Row) -> str:
    """The ranks that a row may have, e.g. ``3–5``, or why it has none."""
    if row.rank is not None:
        low, high = row.rank
        return str(low) if low == high else f"{low}–{high}"
    return ONE_RUN if row.unranked == ONE_RUN else f"– ({row.unranked or 'no score'})"


def leaders_text(rows: Sequence[Row], most: int = 4) -> str:
    """Names of rows, the first few of many."""
    names = ", ".join(row.label for row in rows[:most])
    return names + (f" and {len(rows) - most} more" if len(rows) > most else "")


def family_text(family: str) -> str:
    """A family of generators as boards name it; records and cards hold the papers' word.

    >>> family_text("Score"), family_text("GAN")
    ('Diffusion', 'GAN')
    """
    return "Diffusion" if family == "Score" else family


def seconds(value: float) -> str:
    """A duration for people.

    >>> seconds(0.034), seconds(12.3), seconds(90.0), seconds(7300.0)
    ('0.034 s', '12 s', '1.5 min', '2.0 h')
    """
    if value < 10:
        return f"{value:.2g} s"
    if value < 60:
        return f"{value:.0f} s"
    if value < 3600:
        return f"{value / 60:.1f} min"
    return f"{value / 3600:.1f} h"


def count(value: int | None) -> str:
    """A count with thin groups of three, or a dash.

    >>> count(23512000), count(None)
    ('23,512,000', '–')
    """
    return "–" if value is None else f"{value:,}"


def memory(value: int) -> str:
    """Bytes as GiB.

    >>> memory(3 << 29)
    '1.50 GiB'
    """
    return f"{value / 2**30:.2f} GiB"


COST_TITLES = ("fit", "images/s", "job", "peak memory", "parameters", "device")

MEASURED = (
    "Means over a row's jobs on the device named, measured under load (other work ran on the same "
    "cores): seconds of different rows do not compare, and nothing is ranked by them. Scoring is "
    "part of a job. A fit counts values that a job before it had computed; the first jobs did not "
    "count them in the whole, so a few fits outlast their jobs."
)
"""How to read what rows cost."""

COST = Group(
    "cost",
    "Cost",
    MEASURED,
    tuple(
        Column(title, title, "", 0, "neither", textual=title == "device") for title in COST_TITLES
    ),
)
"""What rows cost; it follows the scores."""


def cost_texts(cost: Cost | None) -> tuple[str, ...]:
    """The cells of a row's cost, in the order of `COST_TITLES`."""
    if cost is None:
        return ("–",) * len(COST_TITLES)
    return (
        seconds(cost.fit_seconds),
        f"{cost.images_per_second:,.0f}",
        seconds(cost.total_seconds),
        memory(cost.peak_memory_bytes),
        count(cost.parameters),
        cost.device,
    )
