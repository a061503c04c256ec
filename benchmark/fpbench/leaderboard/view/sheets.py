"""Tables over all datasets as plain cells: cost, structure, and protocols other than closed-set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import (
    HEADLINE,
    Row,
    Section,
    combined_scores,
    configuration,
    current,
    grouped,
)
from fpbench.leaderboard.ranking.structure import Structure, aligned, design_of, read_structure
from fpbench.leaderboard.view import columns as c
from fpbench.leaderboard.view.tables import Cell, cost_cells
from fpbench.metrics.alignment import Alignment
from fpbench.metrics.score import Score
from fpbench.runs.plugins import protocol_named
from fpbench.runs.structure import FAMILY
from fpbench.scores.catalogue import FAMILIES, tables_of
from fpbench.scores.definition import ScoreDefinition, Table

DASH = "–"
_MOST = 8  # methods a section on the structure board: permutation tests take their time

COST_ABOUT = f"{c.MEASURED} Rows stand in the order of their accuracy."
STRUCTURE_ABOUT = (
    "Sources are clustered by 1 − correlation of their fingerprints (average linkage), as many "
    "clusters as the attribute has values. Adjusted mutual information: 0 is what chance gives, 1 "
    "is full agreement. In brackets the permutation p-value, corrected by Holm over the "
    "attributes; bold below 0.05. The second p-value permutes within families only: below 0.05 the "
    "attribute explains more than the family does. Cophenetic: how well a tree shows the "
    f"correlations at all. Best row of each of the {_MOST} best methods."
)


@dataclass(frozen=True)
class Sheet:
    """One table with its heading and what to know of it, as plain text.

    Attributes:
        title: Heading.
        headings: Of its columns; the first one's cells name the rows.
        rows: Cells; empty where there is nothing but the notes to tell.
        before: Sentences above the table.
        after: Sentences below it.
        textual: Positions of columns that hold words, besides the first.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    textual: tuple[int, ...] = ()


def cost_sheets(boards: Sequence[Board]) -> list[Sheet]:
    """What every row cost."""
    return [
        Sheet(
            f"{board.name}, {section.title.lower()}",
            ("method", *c.COST_TITLES, "accuracy"),
            tuple(
                (Cell(row.label), *cost_cells(row), Cell(*c.score_texts(row.scores.get(HEADLINE))))
                for row in section.rows
            ),
            textual=(len(c.COST_TITLES),),
        )
        for board in boards
        for section in board.sections
    ]


def best_of_methods(section: Section) -> list[Row]:
    """The first row of each method: its best."""
    seen: dict[str, Row] = {}
    for row in section.rows:
        seen.setdefault(row.job.method, row)
    return list(seen.values())


def structure_sheets(boards: Sequence[Board]) -> list[Sheet]:
    """Which attributes of the generators the clusters of fingerprints follow."""
    found = []
    for board in boards:
        design = design_of(board.dataset)
        told = [section for section in board.sections if section.budget != "smoke"]
        for section in told or board.sections:
            rows = []
            for row in best_of_methods(section)[:_MOST]:
                structure = read_structure(row, board.dataset)
                if structure is not None:
                    rows.append(_aligned_row(row, structure, aligned(structure, design)))
            count = sum(source.family != "Real" for source in board.dataset.sources)
            after: tuple[str, ...] = ()
            if not rows or all(cell.text == DASH for row in rows for cell in row[1:]):
                rows = []
                after = (f"{count} generators are too few for a tree to follow anything.",)
            elif set(design) == {FAMILY}:
                after = ("Design choices of these sources are not known here.",)
            title = f"{board.name}, {section.title.lower()}"
            headings = ("method", "cophenetic", *design)
            found.append(Sheet(title, headings, tuple(rows), after=after))
    return found + _structure_scores(boards)


def _aligned_row(row: Row, structure: Structure, found: Sequence[Alignment]) -> tuple[Cell, ...]:
    cophenetic = structure.hierarchy.cophenetic
    shown = DASH if cophenetic is None else c.number(cophenetic)
    return (Cell(row.label), Cell(shown), *(alignment_cell(item) for item in found))


def alignment_cell(alignment: Alignment) -> Cell:
    """AMI, p-value, and p-value within families; a dash where nothing can align."""
    if alignment.ami is None or alignment.p_holm is None:
        return Cell(DASH)
    told = f"p {c.number(alignment.p_holm)}"
    if alignment.p_within_family_holm is not None:
        told += f", within {c.number(alignment.p_within_family_holm)}"
    return Cell(c.number(alignment.ami), f"({told})", strong=alignment.p_holm < 0.05)


def _structure_scores(boards: Sequence[Board]) -> list[Sheet]:
    """Scores of a plugin's family whose keys say that they are of structure."""
    prefix, found = c.STRUCTURE_PREFIX, []
    for board in boards:
        for section in board.sections:
            rows = [row for row in section.rows if any(k.startswith(prefix) for k in row.scores)]
            keys = sorted({k for row in rows for k in row.scores if k.startswith(prefix)})
            if rows:
                body = [
                    (Cell(row.label), *(Cell(*c.score_texts(row.scores.get(key))) for key in keys))
                    for row in rows
                ]
                headings = ("method", *(k.removeprefix(prefix).replace("_", " ") for k in keys))
                title = f"{board.name}, {section.title.lower()}"
                found.append(Sheet(title, headings, tuple(body)))
    return found


@dataclass(frozen=True)
class ProtocolRow:
    """One configuration under a protocol.

    Attributes:
        label: The configuration as it is asked for.
        scores: By key, means over settings (rotations, say) and seeds.
        entries: Its records.
    """

    label: str
    scores: dict[str, Score]
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class ProtocolGroup:
    """Rows of one dataset, budget and version of scoring, and what was not evaluated.

    Attributes:
        title: Dataset and budget.
        rows: In the order of the first score.
        declined: Records that were not evaluated.
    """

    title: str
    rows: tuple[ProtocolRow, ...]
    declined: tuple[Entry, ...]


def protocol_groups(entries: Iterable[Entry], protocol: str) -> list[ProtocolGroup]:
    """Records of one protocol as rows, by dataset and budget."""
    first = protocol_named(protocol).families[0].scores[0].key
    groups = grouped(
        entries,
        lambda e: (
            e.record.job.test.name,
            e.record.job.test.content_hash,
            e.record.job.budget,
            str(e.record.job.limits) if e.record.job.limits.stated else "",
            e.record.job.scoring,
        ),
    )
    found = []
    for key in sorted(groups):
        done = [e for e in groups[key] if e.record.status == "done"]
        rows = []
        for members in grouped(current(done), configuration).values():
            parts = grouped(members, lambda e: (str(e.record.job.settings), e.record.job.fold))
            rows.append(
                ProtocolRow(members[0].record.job.label, combined_scores(parts), tuple(members))
            )
        rows.sort(key=lambda row: (-_value(row, first), row.label))
        name, _, budget, limits, _ = key
        title = f"{name}, budget {budget}" + (f", {limits}" if limits else "")
        declined = tuple(e for e in groups[key] if e.record.status == "declined")
        found.append(ProtocolGroup(title, tuple(rows), declined))
    return found


def _value(row: ProtocolRow, key: str) -> float:
    score = row.scores.get(key)
    return -1.0 if score is None or score.value is None else score.value


def protocol_sheets(groups: Sequence[ProtocolGroup], protocol: str) -> list[Sheet]:
    """One table for each group of rows and each table of the protocol's scores."""
    found = []
    for group in groups:
        for table, scores in tables_of(protocol_named(protocol).families).items():
            kept = [s for s in scores if any(s.key in row.scores for row in group.rows)]
            if group.rows and kept:
                found.append(_protocol_sheet(group, table, kept))
        if group.declined:
            rows = tuple(
                (Cell(e.record.job.label), Cell(e.record.reason or "")) for e in group.declined
            )
            title = f"{group.title}: not evaluated"
            found.append(Sheet(title, ("method", "reason"), rows, textual=(1,)))
    return found


def _protocol_sheet(group: ProtocolGroup, table: Table, scores: Sequence[ScoreDefinition]) -> Sheet:
    rows = [
        (
            Cell(row.label),
            *(Cell(*c.score_texts(row.scores.get(s.key), s.digits)) for s in scores),
            Cell(str(len(row.entries))),
        )
        for row in group.rows
    ]
    levels = [
        {
            c.number(score.chance, s.digits)
            for row in group.rows
            if (score := row.scores.get(s.key)) is not None and score.chance is not None
        }
        for s in scores
    ]
    if any(levels):
        shown = [Cell(level.pop() if len(level) == 1 else "") for level in levels]
        rows.append((Cell("chance"), *shown, Cell("")))
    headings = ("method", *(s.heading for s in scores), "runs")
    return Sheet(f"{group.title}: {table.title.lower()}", headings, tuple(rows), (table.note,))


SCORES_ABOUT = (
    "Every score that records hold, by the table that it stands in, with its key, its range and "
    "which direction is better."
)


def score_sheets() -> list[Sheet]:
    """All scores, defined."""
    found: dict[Table, list[ScoreDefinition]] = {}
    for family in FAMILIES.values():
        for score in family.scores:
            found.setdefault(score.table, []).append(score)
    return [
        Sheet(
            table.title,
            ("score", "key in records", "what it asks", "range", "better"),
            tuple(
                (
                    Cell(s.title),
                    Cell(s.key),
                    Cell(s.question),
                    Cell(f"{s.lower:g} to {'∞' if s.upper == math.inf else f'{s.upper:g}'}"),
                    Cell(s.better),
                )
                for s in scores
            ),
            (table.note,),
            textual=(1, 2, 3, 4),
        )
        for table, scores in found.items()
    ]
