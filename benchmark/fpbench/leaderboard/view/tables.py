"""A board's sections as tables of cells: what every printer shows, made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import HEADLINE, Row, Section
from fpbench.leaderboard.view import columns as c


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What is shown.
        interval: The interval beside it, in brackets, or empty.
        key: What it is sorted by where the text does not do, or empty.
        title: Why there is nothing, or empty.
        strong: Whether it is significant, and set in bold.
    """

    text: str
    interval: str = ""
    key: str = ""
    title: str = ""
    strong: bool = False

    @property
    def whole(self) -> str:
        """Text and interval."""
        return f"{self.text} {self.interval}".rstrip()


@dataclass(frozen=True)
class Line:
    """One row.

    Attributes:
        row: What it shows.
        label: The configuration as it is asked for.
        notes: Whether it is a baseline, what else its card remarks, and how its decisions are
            made where that is not the usual way.
        rank: Its rank, or why it has none.
        seeds: How many runs it stands for, and the smallest and largest headline among them.
        cells: By the groups of its table, one a column.
    """

    row: Row
    label: str
    notes: tuple[str, ...]
    rank: str
    seeds: str
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Table:
    """One section of a board.

    Attributes:
        title: Heading.
        budget: Training length of its rows.
        setup: n and d of FDR-v1.
        scoring: Version of the scoring rules.
        groups: Groups of columns; cost comes last.
        lines: Its rows, in their order.
        chance: By group, what guessing gets in each column: empty where there is no such level,
            ``differs`` where rows do not share one.
        shortcut: By group, what the audit's metadata-only baseline gets.
    """

    title: str
    budget: str
    setup: str
    scoring: int
    groups: tuple[c.Group, ...]
    lines: tuple[Line, ...]
    chance: tuple[tuple[str, ...], ...]
    shortcut: tuple[tuple[str, ...], ...]


def tables_of_board(board: Board) -> list[Table]:
    """The sections of a board."""
    return [_table(board, section) for section in board.sections]


def _table(board: Board, section: Section) -> Table:
    other = c.other_scores(section.rows)
    groups = (*c.GROUPS, *(() if other is None else (other,)), c.COST)
    setup = section.rows[0].newest.setup
    return Table(
        title=section.title,
        budget=section.budget,
        setup=f"FDR-v1 with n = {setup.fdr_samples}, d = {setup.fdr_dimensions}",
        scoring=section.scoring,
        groups=groups,
        lines=tuple(_line(row, groups) for row in section.rows),
        chance=tuple(
            tuple(_chance(section.rows, column) for column in group.columns) for group in groups
        ),
        shortcut=tuple(
            tuple(
                shortcut_text(board) if column.key == HEADLINE else "" for column in group.columns
            )
            for group in groups
        ),
    )


def _line(row: Row, groups: Sequence[c.Group]) -> Line:
    setup = row.newest.setup
    notes = list(row.remarks)
    if setup.unit == "bag":
        notes.append("set-level classifier")
    if setup.classifier == "probe":
        notes.append("by the common probe")
    spread = row.spread.get(HEADLINE)
    among = "" if spread is None else f" ({c.number(spread[0])} to {c.number(spread[1])})"
    return Line(
        row=row,
        label=row.label,
        notes=tuple(notes),
        rank=c.rank_text(row),
        seeds=f"{len(row.seeds)}{among}",
        cells=tuple(
            cost_cells(row) if group is c.COST else tuple(cell_of(row, x) for x in group.columns)
            for group in groups
        ),
    )


def cell_of(row: Row, column: c.Column) -> Cell:
    """A row's score in a column."""
    score = row.scores.get(column.key)
    if score is None or score.value is None:
        return Cell("–", title="" if score is None else score.reason or "")
    return Cell(*c.score_texts(score, column.digits))


def cost_cells(row: Row) -> tuple[Cell, ...]:
    """What a row cost, in the columns of `fpbench.leaderboard.view.columns.COST`."""
    cost, texts = row.cost, c.cost_texts(row.cost)
    if cost is None:
        return tuple(Cell(text) for text in texts)
    keys = (
        f"{cost.fit_seconds:.6g}",
        f"{cost.images_per_second:.6g}",
        f"{cost.total_seconds:.6g}",
        "",
        "" if cost.parameters is None else str(cost.parameters),
        "",
    )
    return tuple(Cell(text, key=key) for text, key in zip(texts, keys, strict=True))


def _chance(rows: Sequence[Row], column: c.Column) -> str:
    known = {
        c.number(score.chance, column.digits)
        for row in rows
        if (score := row.scores.get(column.key)) is not None and score.chance is not None
    }
    return known.pop() if len(known) == 1 else "differs" if known else ""


def confound_text(board: Board) -> str:
    """What the strongest confound reaches, or that there was no audit."""
    return "not audited" if board.confound is None else c.number(board.confound.accuracy)


def shortcut_text(board: Board) -> str:
    """What the audit's metadata-only baseline gets, or that there was no audit."""
    return "not audited" if board.shortcut is None else c.number(board.shortcut)
