"""Boards as Markdown: a dataset's board, and the index of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.archive.methodcard import PublishedCard
from fpbench.leaderboard.archive.published import (
    STATUSES,
    Published,
    PublishedTable,
    tables_about,
    value_text,
)
from fpbench.leaderboard.output.charts import accuracy_name
from fpbench.leaderboard.output.markdown import MARK, escape, link
from fpbench.leaderboard.output.markdown import table as markdown_table
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.judged import Control
from fpbench.leaderboard.ranking.rows import HEADLINE, Row, Section
from fpbench.leaderboard.ranking.verdict import verdict
from fpbench.leaderboard.view import columns as c
from fpbench.leaderboard.view.brief import HEADINGS, SHOWN, TEXTUAL, brief_lines
from fpbench.leaderboard.view.tables import Table, tables_of_board

DETAILS = "details"
"""Folder of the boards that say everything."""

Cards = Mapping[str, PublishedCard]

HOW_TO_READ = (
    "A row is one configuration of a method; its seeds are combined. Brackets hold 95 % intervals "
    "(bootstrap over test images, and what seeds differ by where there are several). Rows stand in "
    "the order of their accuracy. Rank is a range: from 1 + the number of rows that are "
    "significantly better to the number of rows less those that are significantly worse. Two rows "
    "are compared on the same images by a t-test that counts two sources of chance, the images and "
    "the seeds (another seed is another network), corrected by Holm over all pairs of the section. "
    "A method that draws nothing at random gives the same result with every seed. “One run”: a "
    "method whose seeds may differ was run once, so it has no rank of its own, and what compares "
    "with it is this run, not the method. Rows of different budgets are not ranked together."
)


READ_FIRST = "**Read this first.**"


def dataset_board(board: Board, cards: Cards, published: Published) -> str:
    """The board of one dataset in one screen; `dataset_details` says the rest."""
    lines = [MARK, "", f"# {escape(board.name)}", ""]
    lines += [f"{READ_FIRST} {verdict_sentence(board)}", ""]
    for position, section in enumerate(board.sections):
        if position:
            lines += [f"<details><summary>{section.title}</summary>", ""]
        lines += _brief(board, section, cards)
        lines += ["</details>", ""] if position else []
    if not board.sections:
        lines += ["No finished record yet.", ""]
    more = (
        ("more", "README.md#how-to-read-a-board"),
        ("every score, record, source and control", f"{DETAILS}/{board.folder}.md"),
        ("chart", accuracy_name(board)),
        ("findings", "../docs/findings.md"),
        ("what scores mean", "../docs/scoring.md"),
        ("submit a row", "../docs/leaderboards.md"),
    )
    lines += [
        "Rank: from 1 + the number of significantly better rows to the number of rows less those "
        "significantly worse. Brackets: 95 % intervals. "
        + " · ".join(link(text, target) for text, target in more),
        "",
    ]
    return "\n".join(lines).rstrip() + "\n"


def _brief(board: Board, section: Section, cards: Cards) -> list[str]:
    rows = []
    for line in brief_lines(board, section, cards):
        rank, accuracy, bags, auc, runs = line.cells
        if line.row is None:
            method = f"*{escape(line.method)}*"
        else:
            paper = link(line.paper, line.url) if line.paper else ""
            notes = [*map(escape, line.row.remarks), *([paper] if paper else [])]
            method = " · ".join([f"**{escape(line.method)}**", *notes])
        rows.append([escape(rank), method, accuracy, bags, auc, runs])
    lines = markdown_table(HEADINGS, rows[:SHOWN], TEXTUAL)
    if len(rows) > SHOWN:
        lines += [f"<details><summary>{len(rows) - SHOWN} more rows</summary>", ""]
        lines += [*markdown_table(HEADINGS, rows[SHOWN:], TEXTUAL), "</details>", ""]
    return lines


def dataset_details(board: Board, cards: Cards, published: Published) -> str:
    """Everything else about a board: sources, every score of every row, records and controls."""
    lines = [MARK, "", f"# {escape(board.name)}, in detail", ""]
    lines += _about(board)
    lines += [f"{link('The board in one screen', f'../{board.folder}.md')}. {HOW_TO_READ}", ""]
    tables = tables_of_board(board)
    several = len({table.scoring for table in tables}) > 1
    for table in tables:
        lines += _section(table, cards, several)
    if not board.sections:
        lines += ["No finished record yet.", ""]
    lines += _declined(board.declined)
    lines += _controls(board.controls)
    lines += published_tables(tables_about(published, board.name), board.name)
    if board.older:
        lines += ["## Earlier revisions", ""]
        lines += ["Their records are kept and not shown: other images, other scores.", ""]
        lines += [f"- {escape(name)}: {count} records" for name, count in board.older]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _about(board: Board) -> list[str]:
    dataset = board.dataset
    h, w = dataset.image_size
    generators = sum(source.family != "Real" for source in dataset.sources)
    lines = [
        f"Revision `{_code(dataset.revision)}`, {h}×{w} pixels, {generators} generators"
        f"{' and Real' if len(dataset.sources) > generators else ''}, "
        f"{dataset.reference:,} reference images. Chance {c.number(board.chance)} among "
        f"generators, {c.number(board.chance_with_real)} with Real.",
        "",
    ]
    lines += [verdict_sentence(board), ""]
    rows = [
        [escape(s.name), escape(c.family_text(s.family)), escape(s.architecture),
         f"{s.train:,}", f"{s.validation:,}", f"{s.test:,}"]
        for s in dataset.sources
    ]  # fmt: skip
    lines += ["<details><summary>Sources</summary>", ""]
    lines += markdown_table(
        ["source", "family", "architecture", "train", "validation", "test"], rows, (0, 1, 2)
    )
    return [*lines, "</details>", ""]


def verdict_sentence(board: Board) -> str:
    """The verdict, why, and what the strongest confound reaches, as plain text."""
    found = verdict(board)
    return f"{found.word.capitalize()}: {found.why} {confound_sentence(board)}"


def confound_sentence(board: Board) -> str:
    """What tells the generators apart without a fingerprint, in a sentence of plain text."""
    confound = board.confound
    if confound is None:
        return (
            "The dataset has not been audited: how far file sizes, codec traces, dimensions and "
            "clipping alone give sources away is not known."
        )
    beyond = (
        ", more than guessing explains: part of every score here may be such confounds."
        if board.confound_beats_chance
        else "."
    )
    if verdict(board).word == "confounded":
        return f"Chance is {c.number(board.chance)}: every score here may be that confound."
    return (
        f"Strongest confound: a classifier that sees only {confound.sees} reaches an accuracy of "
        f"{c.number(confound.accuracy)} against a chance of {c.number(board.chance)}{beyond}"
    )


def _code(text: str) -> str:
    return "".join(ch for ch in text if ch.isalnum() or ch in "-._+@/")


def _section(table: Table, cards: Cards, several: bool) -> list[str]:
    suffix = f", scoring version {table.scoring}" if several else ""
    lines = [f"## {table.title}{suffix}", "", f"{table.setup}.", ""]
    for position, group in enumerate(table.groups):
        lines += [f"### {group.title}", "", escape(group.note), ""]
        lines += _group(table, position, cards)
    return lines


def _group(table: Table, position: int, cards: Cards) -> list[str]:
    """One group of columns; the first has ranks, runs and papers beside it."""
    group, first = table.groups[position], position == 0
    headings = [*(["rank"] if first else []), "method"]
    headings += [escape(column.title) for column in group.columns]
    headings += ["seeds", "records", "paper"] if first else []
    lead, blank = ([""], ["", "", ""]) if first else ([], [])
    body = []
    for line in table.lines:
        cells = [escape(line.rank)] if first else []
        cells += [", ".join([f"**{escape(line.label)}**", *map(escape, line.notes)])]
        cells += [escape(cell.whole) if group is c.COST else cell.whole
                  for cell in line.cells[position]]  # fmt: skip
        if first:
            row = line.row
            cells += [line.seeds, _records(row.entries), _paper(row, cards)]
        body.append(cells)
    if any(table.chance[position]):
        levels = [level or "–" for level in table.chance[position]]
        body.append([*lead, "*chance*", *levels, *blank])
    if first:
        body.append([*lead, "*metadata-only baseline*", *table.shortcut[position], *blank])
    left = {1 if first else 0} | {k + 1 for k, column in enumerate(group.columns) if column.textual}
    return markdown_table(headings, body, sorted(left))


def _records(entries: Sequence[Entry]) -> str:
    if len(entries) > 5:
        folder = entries[0].link.rpartition("/")[0]
        return link(f"{len(entries)} records", f"../{folder}")
    return " ".join(link(entry.record.key[:6], f"../{entry.link}") for entry in entries)


def _paper(row: Row, cards: Cards) -> str:
    card = cards.get(row.job.method)
    if card is None:
        return escape(row.method.title)
    if card.baseline:
        return "none"
    return link(f"{card.title} ({card.year})", card.url) if card.url else escape(card.title)


def _declined(entries: Sequence[Entry]) -> list[str]:
    if not entries:
        return []
    rows = [
        [escape(e.record.job.label), e.record.job.budget, escape(e.record.reason or ""),
         link(e.record.key[:6], f"../{e.link}")]
        for e in entries
    ]  # fmt: skip
    lines = ["## Not evaluated", "", "Configurations that could not be run, and why.", ""]
    return lines + markdown_table(["method", "budget", "reason", "record"], rows, (0, 1, 2, 3))


CONTROLS = (
    "Trained on shuffled labels, a method must land at chance. The chance interval holds 95 % of "
    "the accuracies that its predictions give when the names of the sources are permuted: whatever "
    "it tells apart, it may call by any name. p: two-sided, corrected by Holm over all controls "
    "here that have power. One that gives a single answer to 95 % of the images or more tells "
    "nothing apart: it is without power, and not counted as passed"
)


def _controls(controls: Sequence[Control]) -> list[str]:
    if not controls:
        return []
    rows = []
    for control in controls:
        record = control.entry.record
        shown, _ = c.score_texts(record.score_values.get(HEADLINE))
        verdict = verdict_text(control)
        if not control.without_power and not control.at_chance:
            verdict = f"**{verdict}**"
        rows.append(
            [escape(record.job.label), record.job.budget, shown,
             f"[{c.number(control.low)}, {c.number(control.high)}]", verdict,
             str(record.job.seed), link(record.key[:6], f"../{control.entry.link}")]
        )  # fmt: skip
    lines = ["## Null controls", "", f"{CONTROLS}; bold below 0.05.", ""]
    headings = ["method", "budget", "accuracy", "chance interval", "p", "seed", "record"]
    return lines + markdown_table(headings, rows)


def verdict_text(control: Control) -> str:
    """What a null control says: its p-value, or that it has no power."""
    if control.without_power:
        return f"without power ({100 * control.commonest:.0f} % of images get one answer)"
    return p_text(control.p_value)


def p_text(p: float) -> str:
    """A p-value with three digits, e.g. ``0.049`` or ``< 0.001``."""
    return "< 0.001" if p < 0.0005 else c.number(p)


def published_tables(tables: Sequence[PublishedTable], dataset: str | None = None) -> list[str]:
    """Published tables, never ranked with measured rows.

    Args:
        tables: The tables.
        dataset: Only columns that compare with this dataset of fpbench, or None for all.
    """
    if not tables:
        return []
    lines = ["## Published numbers", ""]
    lines += ["As printed, not measured here, not ranked. "
              "Other images, other splits and often other formulas than above.", ""]  # fmt: skip
    for item in tables:
        chosen = [col for col in item.columns if dataset is None or col.compares_with == dataset]
        lines += [f"### {escape(item.title)}", ""]
        source = link(f"{item.paper}, {item.table}", item.url) if item.url else escape(item.paper)
        lines += [f"{source}. Status: **{item.status}** ({STATUSES[item.status]}). "
                  f"Source: {escape(item.source)}.", ""]  # fmt: skip
        headings = ["method", *(f"{escape(col.title)}, {escape(col.dataset)}" for col in chosen)]
        rows = [
            [escape(row.method),
             *(escape(value_text(row.values.get(col.key), col.unit)) for col in chosen)]
            for row in item.rows
            if any(row.values.get(col.key) is not None for col in chosen)
        ]  # fmt: skip
        lines += markdown_table(headings, rows)
        lines += [f"- {escape(note)}" for note in item.notes]
        lines += [""] if item.notes else []
    return lines
