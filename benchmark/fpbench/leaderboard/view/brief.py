"""A board in one screen: rank range, method, accuracy, bags of 10, AUC, runs, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fpbench.leaderboard.archive.methodcard import PublishedCard
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import HEADLINE, Row, Section
from fpbench.leaderboard.view import columns as c
from fpbench.metrics.score import Score

HEADINGS = ("rank", "method", "accuracy, %", "bags of 10, %", "AUC", "runs")
TEXTUAL = (1,)
"""Positions of the columns that hold words."""

SHOWN = 15
"""Rows before the fold."""

BAGS = "accuracy_bag10"
AUC = "auc"


@dataclass(frozen=True)
class BriefLine:
    """One row of a board in one screen, or a level that rows are held against.

    Attributes:
        row: The row, or None for a level: chance, or the metadata-only baseline.
        method: What stands in the column of methods.
        paper: First author and year of the method's paper, or empty.
        url: Address of that paper, or empty.
        cells: Rank, accuracy, bags of 10, AUC and runs, as text.
    """

    row: Row | None
    method: str
    paper: str
    url: str
    cells: tuple[str, str, str, str, str]


def percent(score: Score | None) -> str:
    """A share as a percentage with one decimal, and its interval.

    >>> percent(Score(0.8125, 0.75, 0.875, 100)), percent(None)
    ('81.2 [75.0, 87.5]', '–')
    """
    if score is None or score.value is None:
        return "–"
    text = c.number(100 * score.value, 1)
    if score.ci_low is None or score.ci_high is None:
        return text
    return f"{text} [{c.number(100 * score.ci_low, 1)}, {c.number(100 * score.ci_high, 1)}]"


def short_paper(card: PublishedCard | None) -> str:
    """First author and year, e.g. ``Marra 2019``; empty where there is no paper."""
    if card is None or card.baseline or not card.url:
        return ""
    return f"{card.authors.partition(',')[0]} {card.year}"


def brief_lines(
    board: Board, section: Section, cards: Mapping[str, PublishedCard]
) -> list[BriefLine]:
    """A section's rows with chance and the metadata-only baseline in their places among them."""
    lines: list[tuple[float, BriefLine]] = []
    for row in section.rows:
        card = cards.get(row.job.method)
        auc = row.scores.get(AUC)
        line = BriefLine(
            row,
            row.label,
            short_paper(card),
            card.url if card is not None else "",
            (
                c.rank_text(row),
                percent(row.scores.get(HEADLINE)),
                percent(row.scores.get(BAGS)).partition(" ")[0],
                c.score_text(auc).partition(" ")[0],
                str(len(row.entries)),
            ),
        )
        lines.append((-1.0 if row.value is None else row.value, line))
    levels = [("chance", board.chance)]
    if board.shortcut is not None:
        levels.append(("metadata-only baseline", board.shortcut))
    for name, value in levels:
        told = ("", c.number(100 * value, 1), "", "0.500" if name == "chance" else "", "")
        lines.append((value, BriefLine(None, name, "", "", told)))
    # Rows come in their own order; a level stands below those that reach it.
    return [line for _, line in sorted(lines, key=lambda pair: -pair[0])]
