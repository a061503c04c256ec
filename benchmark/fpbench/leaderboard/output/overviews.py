"""Boards over all datasets, as Markdown: index, cost, transfer, structure, published numbers."""

from __future__ import annotations

from collections.abc import Sequence

from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.archive.published import Published, PublishedTable
from fpbench.leaderboard.output.charts import overview_chart
from fpbench.leaderboard.output.markdown import MARK, escape, link, table
from fpbench.leaderboard.output.render import HOW_TO_READ, p_text, published_tables
from fpbench.leaderboard.ranking.across import Across, across_datasets
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import HEADLINE
from fpbench.leaderboard.ranking.verdict import MEANINGS, verdict
from fpbench.leaderboard.view import columns as c
from fpbench.leaderboard.view.sheets import (
    COST_ABOUT,
    STRUCTURE_ABOUT,
    Sheet,
    cost_sheets,
    protocol_groups,
    protocol_sheets,
    structure_sheets,
)
from fpbench.leaderboard.view.tables import Cell, confound_text
from fpbench.leaderboard.view.transfers import COLUMNS, level_text, transfer_tables
from fpbench.runs.plugins import protocol_named

TRANSFER_TABLES = ("manifpt-4",)
STRUCTURE_TABLES = ("manifpt-5",)


def index(boards: Sequence[Board], published: Published) -> str:
    """The index of all boards."""
    lines = [MARK, "", "# Leaderboards", ""]
    lines += [
        "Made from the records in [results](results); `fpbench verify RECORD` recomputes the "
        "scores of any row from its stored predictions, and runs it again where method and data "
        "are available.",
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
                confound_text(board),
                f"**{verdict(board).word}**",
            ]
        )
    if rows:
        headings = ["dataset", "generators", "rows", "first section", "highest accuracy",
                    "accuracy", "not significantly different", "chance",
                    "strongest confound", "verdict"]  # fmt: skip
        lines += table(headings, rows, (0, 3, 4, 6, 9))
        lines += ["; ".join(f"*{word}*: {what}" for word, what in MEANINGS.items()) + ".", ""]
        chart = overview_chart(boards)
        if chart is not None:
            lines += [f"![{escape(chart.title)}]({chart.name})", ""]
    else:
        lines += ["There are no records yet: `fpbench run`, then `fpbench submit RUN`.", ""]
    lines += _average_ranks(across_datasets(boards))
    lines += ["Over all datasets:", ""]
    lines += ["- [transfer](transfer.md): trained on one dataset, tested on another"]
    lines += ["- [structure](structure.md): which design choices the fingerprints follow"]
    lines += ["- [open-set](open-set.md): generators that were not trained on"]
    lines += ["- [robustness](robustness.md): images compressed, resized, blurred, posted again"]
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
    return _board("Cost", COST_ABOUT, cost_sheets(boards), "No finished record yet.")


def protocol_board(name: str, entries: Sequence[Entry]) -> str:
    """Scores of a protocol that has a page of its own: open-set, robustness, or a plugin's."""
    sheets = protocol_sheets(protocol_groups(entries, name), name)
    return _board(name.capitalize(), protocol_about(name), sheets, no_records(name))


def protocol_about(name: str) -> str:
    """What a protocol asks, in the first sentence of its description."""
    told = " ".join((protocol_named(name).__doc__ or "").split("\n\n")[0].split())
    return (
        f"{told} Means over settings and seeds with 95 % intervals, in the order of the first "
        "column; rows are not ranked."
    )


def no_records(name: str) -> str:
    """What stands where a protocol has no record."""
    return (
        f"There is no record of this protocol yet: fpbench run --protocol {name}, then fpbench "
        "submit."
    )


def _board(title: str, about: str, sheets: Sequence[Sheet], empty: str) -> str:
    lines = [MARK, "", f"# {title}", "", escape(about), "", *_printed(sheets)]
    if not sheets:
        lines += [escape(empty), ""]
    return "\n".join(lines).rstrip() + "\n"


def _printed(sheets: Sequence[Sheet]) -> list[str]:
    lines: list[str] = []
    for sheet in sheets:
        lines += [f"## {escape(sheet.title)}", ""]
        lines += [part for text in sheet.before for part in (escape(text), "")]
        if sheet.rows:
            body = [
                [f"**{escape(row[0].text)}**", *(_cell(cell) for cell in row[1:])]
                for row in sheet.rows
            ]
            lines += table([escape(h) for h in sheet.headings], body, (0, *sheet.textual))
        lines += [part for text in sheet.after for part in (escape(text), "")]
    return lines


def _cell(cell: Cell) -> str:
    # Brackets of an interval make no link, as nothing in round ones follows them.
    text = f"{escape(cell.text)} {cell.interval}".rstrip()
    return f"**{text}**" if cell.strong else text


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
    measured = _transfer_lines(entries)
    lines += measured or ["No record holds transfer scores yet.", ""]
    lines += published_tables(_tables(published, TRANSFER_TABLES))
    return "\n".join(lines).rstrip() + "\n"


def structure_board(boards: Sequence[Board], published: Published) -> str:
    """Which attributes of the generators the clusters of fingerprints follow."""
    empty = "No record defines correlations of source fingerprints yet."
    text = _board("Structure", STRUCTURE_ABOUT, structure_sheets(boards), empty)
    shown = published_tables(_tables(published, STRUCTURE_TABLES))
    return "\n".join([text, *shown]).rstrip() + "\n"


def published_board(published: Published) -> str:
    """All published numbers."""
    lines = [MARK, "", *published_tables(published.tables)]
    text = "\n".join(lines).rstrip() + "\n"
    return text.replace("## Published numbers", "# Published numbers", 1)


def _transfer_lines(entries: Sequence[Entry]) -> list[str]:
    """The tables as lines of Markdown."""
    lines: list[str] = []
    for found in transfer_tables(entries):
        lines += [f"## {escape(found.title)}", "", escape(found.about), ""]
        body = [["*chance*", *map(level_text, found.chance), "–"]]
        for row in found.rows:
            links = " ".join(f"[{seed}]({link})" for seed, link in row.records)
            empty = ["–"] * (len(COLUMNS) - 1)
            cells = [c.score_text(score) for score in row.scores]
            body.append(
                [f"**{escape(row.label)}**", *(cells or [escape(row.reason), *empty]), links]
            )
        headings = ["method", *(column.heading for column in COLUMNS), "records by seed"]
        lines += table(headings, body)
        if found.by_class is not None:
            own, rows = found.by_class
            lines += [f"*By model.* {escape(found.said_by_class)}", ""]
            lines += table(
                [escape(heading) for heading in own],
                [[f"**{escape(row[0])}**", *map(escape, row[1:])] for row in rows],
            )
    return lines
