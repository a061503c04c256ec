"""Boards over all datasets, as Markdown: index, cost, transfer, structure, published numbers."""

from __future__ import annotations

from collections.abc import Sequence

from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.archive.published import Published, PublishedTable
from fpbench.leaderboard.output.markdown import escape, link, table
from fpbench.leaderboard.output.render import HOW_TO_READ, MARK, p_text, published_tables
from fpbench.leaderboard.ranking.across import Across, across_datasets
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import HEADLINE, Row, Section
from fpbench.leaderboard.ranking.structure import Structure, aligned, design_of, read_structure
from fpbench.leaderboard.view import columns as c
from fpbench.leaderboard.view.tables import cost_cells, shortcut_text
from fpbench.leaderboard.view.transfers import transfer_markdown
from fpbench.metrics.alignment import Alignment
from fpbench.runs.structure import FAMILY

TRANSFER_TABLES = ("manifpt-4",)
STRUCTURE_TABLES = ("manifpt-5",)

_DASH = "–"
_MOST = 8  # methods a section on the structure board: permutation tests take their time


def index(boards: Sequence[Board], published: Published) -> str:
    """The index of all boards."""
    lines = [MARK, "", "# Leaderboards", ""]
    lines += [
        "Made from the records in [results](results); `fpbench verify RECORD` follows any row from "
        "its stored predictions, and runs it again where method and data are here.",
        "",
    ]
    rows = []
    for board in boards:
        section = board.sections[0] if board.sections else None
        first = section.leaders if section else ()
        rows.append(
            [
                link(board.name, f"{board.folder}.md"),
                str(sum(source.family != "Real" for source in board.dataset.sources)),
                str(sum(len(s.rows) for s in board.sections)),
                section.title.lower() if section else "–",
                escape(first[0].label) if first else "–",
                c.score_text(first[0].scores.get(HEADLINE)) if first else "–",
                escape(c.leaders_text(first[1:]) or "–"),
                c.number(board.chance),
                shortcut_text(board),
            ]
        )
    if rows:
        headings = ["dataset", "generators", "rows", "first section", "highest accuracy",
                    "accuracy", "not significantly different", "chance",
                    "shortcut probe"]  # fmt: skip
        lines += table(headings, rows, (0, 3, 4, 6))
    else:
        lines += ["There are no records yet: `fpbench run`, then `fpbench submit RUN`.", ""]
    lines += _average_ranks(across_datasets(boards))
    lines += ["Over all datasets:", ""]
    lines += ["- [transfer](transfer.md): trained on one dataset, tested on another"]
    lines += ["- [structure](structure.md): which design choices the fingerprints follow"]
    lines += ["- [cost](cost.md): seconds, memory, parameters"]
    if published.tables:
        lines += ["- [published numbers](published.md): as papers print them, with their status"]
    lines += ["- [citations.bib](citations.bib): BibTeX of every method on a board", ""]
    lines += ["## How to read a board", "", HOW_TO_READ, ""]
    lines += ["How a row gets here: [docs/leaderboards.md](../docs/leaderboards.md).", ""]
    return "\n".join(lines).rstrip() + "\n"


def average_rank_sentence(comparison: Across) -> str:
    """What the table of average ranks holds, and what it shows."""
    test = comparison.test
    apart = int(test.separated().sum()) // 2
    found = "no pair is" if apart == 0 else "1 pair is" if apart == 1 else f"{apart} pairs are"
    left = len(comparison.partial)
    others = f" {left} more stand on some of the datasets alone." if left else ""
    again = "".join(
        f" {name} holds the same images as {other} and is left out."
        for name, other in comparison.again
    )
    p = p_text(test.p_value)
    return (
        f"Budget {comparison.budget}: the {len(comparison.labels)} configurations that stand on "
        f"all {test.datasets} datasets, by their mean rank in accuracy. Friedman's test over "
        f"datasets (Iman and Davenport's F) has p {p if p.startswith('<') else f'= {p}'}. By "
        "Nemenyi's critical difference two are told apart at 5 % by "
        f"{test.critical_difference:.2f} ranks: {found}.{others}{again} Few datasets tell few "
        "configurations apart; the comparisons on each board tell more."
    )


def _average_ranks(comparisons: Sequence[Across]) -> list[str]:
    lines: list[str] = []
    for comparison in comparisons:
        lines += ["## Ranks over datasets", "", average_rank_sentence(comparison), ""]
        lines += table(
            ["method", "mean rank", *(escape(board.name) for board in comparison.boards)],
            [
                [f"**{escape(label)}**", f"{rank:.2f}", *(c.number(value) for value in values)]
                for label, rank, values in comparison.lines()
            ],
        )
    return lines


def cost_board(boards: Sequence[Board]) -> str:
    """What every row cost."""
    lines = [MARK, "", "# Cost", ""]
    lines += [c.MEASURED + " Rows stand in the order of their accuracy.", ""]
    for board in boards:
        for section in board.sections:
            lines += [f"## {escape(board.name)}, {section.title.lower()}", ""]
            rows = [
                [f"**{escape(row.label)}**", *(escape(cell.text) for cell in cost_cells(row)),
                 c.score_text(row.scores.get(HEADLINE))]
                for row in section.rows
            ]  # fmt: skip
            headings = ["method", *c.COST_TITLES, "accuracy"]
            lines += table(headings, rows, (0, len(c.COST_TITLES)))
    if not any(board.sections for board in boards):
        lines += ["No finished record yet.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _prefixed(
    boards: Sequence[Board], prefix: str
) -> list[tuple[Board, Section, list[str], list[Row]]]:
    """Sections with scores whose key begins with `prefix`, their keys and rows."""
    found = []
    for board in boards:
        for section in board.sections:
            rows = [row for row in section.rows if any(k.startswith(prefix) for k in row.scores)]
            keys = sorted({k for row in rows for k in row.scores if k.startswith(prefix)})
            if rows:
                found.append((board, section, keys, rows))
    return found


def _score_tables(boards: Sequence[Board], prefix: str) -> list[str]:
    lines: list[str] = []
    for board, section, keys, rows in _prefixed(boards, prefix):
        lines += [f"## {escape(board.name)}, {section.title.lower()}", ""]
        headings = ["method", *(escape(k.removeprefix(prefix).replace("_", " ")) for k in keys)]
        body = [
            [f"**{escape(row.label)}**", *(c.score_text(row.scores.get(key)) for key in keys)]
            for row in rows
        ]
        lines += table(headings, body)
    return lines


def _tables(published: Published, names: Sequence[str]) -> list[PublishedTable]:
    return [item for item in published.tables if item.id in names]


def transfer_board(entries: Sequence[Entry], published: Published) -> str:
    """Scores of methods that were trained on one dataset and tested on another."""
    lines = [MARK, "", "# Transfer", ""]
    lines += [
        "Trained on one dataset, tested on another. Of images by models that both datasets hold: "
        "which model made it, answers limited to those models or not. Of all images: of which "
        "family the model is, and the same of models that were not trained on. Real against "
        "generated stands apart. Means over seeds with 95 % intervals, in the order of the first "
        "column; rows are not ranked.",
        "",
    ]
    measured = transfer_markdown(entries)
    lines += measured or ["No record holds transfer scores yet.", ""]
    lines += published_tables(_tables(published, TRANSFER_TABLES))
    return "\n".join(lines).rstrip() + "\n"


def best_of_methods(section: Section) -> list[Row]:
    """The first row of each method: its best."""
    seen: dict[str, Row] = {}
    for row in section.rows:
        seen.setdefault(row.job.method, row)
    return list(seen.values())


def structure_board(boards: Sequence[Board], published: Published) -> str:
    """Which attributes of the generators the clusters of fingerprints follow."""
    lines = [MARK, "", "# Structure", ""]
    lines += [
        "Sources are clustered by 1 − correlation of their fingerprints (average linkage), as "
        "many clusters as the attribute has values. Adjusted mutual information: 0 is what chance "
        "gives, 1 is full agreement. In brackets the permutation p-value, corrected by Holm over "
        "the attributes; bold below 0.05. The second p-value permutes within families only: below "
        "0.05 the attribute explains more than the family does. Cophenetic: how well a tree shows "
        f"the correlations at all. Best row of each of the {_MOST} best methods.",
        "",
    ]
    measured: list[str] = []
    for board in boards:
        design = design_of(board.dataset)
        told = [section for section in board.sections if section.budget != "smoke"]
        for section in told or board.sections:
            rows = []
            for row in best_of_methods(section)[:_MOST]:
                structure = read_structure(row, board.dataset)
                if structure is not None:
                    rows.append(_aligned_row(row, structure, aligned(structure, design)))
            if rows:
                measured += [f"## {escape(board.name)}, {section.title.lower()}", ""]
            if rows and all(cell == _DASH for row in rows for cell in row[1:]):
                count = sum(source.family != "Real" for source in board.dataset.sources)
                measured += [f"{count} generators are too few for a tree to follow anything.", ""]
            elif rows:
                measured += table(["method", "cophenetic", *map(escape, design)], rows)
                if set(design) == {FAMILY}:
                    measured += ["Design choices of these sources are not known here.", ""]
    lines += measured or ["No record defines correlations of source fingerprints yet.", ""]
    lines += _score_tables(boards, c.STRUCTURE_PREFIX)
    lines += published_tables(_tables(published, STRUCTURE_TABLES))
    return "\n".join(lines).rstrip() + "\n"


def _aligned_row(row: Row, structure: Structure, found: Sequence[Alignment]) -> list[str]:
    cophenetic = structure.hierarchy.cophenetic
    shown = _DASH if cophenetic is None else c.number(cophenetic)
    return [f"**{escape(row.label)}**", shown, *(alignment_text(item) for item in found)]


def alignment_text(alignment: Alignment) -> str:
    """One cell: AMI, p-value, and p-value within families; a dash where nothing can align."""
    if alignment.ami is None or alignment.p_holm is None:
        return _DASH
    text = f"{c.number(alignment.ami)} (p {c.number(alignment.p_holm)}"
    if alignment.p_within_family_holm is not None:
        text += f", within {c.number(alignment.p_within_family_holm)}"
    text += ")"
    return f"**{text}**" if alignment.p_holm < 0.05 else text


def published_board(published: Published) -> str:
    """All published numbers."""
    lines = [MARK, "", *published_tables(published.tables)]
    text = "\n".join(lines).rstrip() + "\n"
    return text.replace("## Published numbers", "# Published numbers", 1)
