"""What the pages of the site show, before it is put into HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpbench.datasets.card import read_sources
from fpbench.datasets.layout import AUDIT, SOURCES
from fpbench.errors import BadInput
from fpbench.leaderboard import columns as c
from fpbench.leaderboard.boards import Board
from fpbench.leaderboard.layout import FIGURES, SENT_FIGURES, evidence_folder, folder_name
from fpbench.leaderboard.markdown import plain
from fpbench.leaderboard.rows import HEADLINE, ONE_RUN, Row, Section
from fpbench.leaderboard.site.drawings import confusion_numbers, packed_pairs, structure_numbers
from fpbench.leaderboard.structure import read_structure
from fpbench.registry import card_folders
from fpbench.runs.record import DatasetEntry

COST_GROUP = c.Group(
    "cost",
    "Cost",
    "Means over a row's jobs on the device named.",
    tuple(
        c.Column(title, title, "", 0, "neither", textual=title == "device")
        for title in c.COST_TITLES
    ),
)
SHOWN_AT_FIRST = ("attribution", "bags")


@dataclass(frozen=True)
class Cell:
    """One cell of a board: what is shown, and what it is sorted by where the text does not do."""

    text: str
    interval: str = ""
    key: str = ""
    title: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a board."""

    label: str
    page: str
    notes: tuple[str, ...]
    rank: str
    seeds: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One section of a board as a table."""

    anchor: str
    title: str
    budget: str
    protocol: str
    groups: tuple[c.Group, ...]
    lines: tuple[Line, ...]
    chance: tuple[str, ...]
    shortcut: tuple[str, ...]


def method_page(name: str) -> str:
    """Path of a method's page."""
    return f"methods/{folder_name(name)}.html"


def dataset_page(board: Board) -> str:
    """Path of a dataset's page."""
    return f"datasets/{board.folder}.html"


def tables(board: Board) -> list[Table]:
    """The sections of a board."""
    made = []
    for number, section in enumerate(board.sections):
        other = c.other_scores(section.rows)
        groups = (*c.GROUPS, *((other,) if other is not None else ()), COST_GROUP)
        protocol = section.rows[0].newest.protocol
        made.append(
            Table(
                anchor=f"section-{number + 1}",
                title=section.title,
                budget=section.budget,
                protocol=(
                    f"FDR-v1 with n = {protocol.fdr_samples}, d = {protocol.fdr_dimensions}; "
                    f"scoring version {section.scoring}"
                ),
                groups=groups,
                lines=tuple(_line(row, groups) for row in section.rows),
                chance=_chance(section, groups),
                shortcut=_shortcut(board, groups),
            )
        )
    return made


def _line(row: Row, groups: Sequence[c.Group]) -> Line:
    notes = []
    if row.newest.protocol.unit == "bag":
        notes.append("judges bags")
    if row.newest.protocol.classifier == "probe":
        notes.append("common probe")
    cells: list[Cell] = []
    for group in groups:
        if group is COST_GROUP:
            cells += _cost(row)
        else:
            cells += [_cell(row, column) for column in group.columns]
    spread = row.spread.get(HEADLINE)
    return Line(
        label=plain(row.label),
        page=method_page(row.method.name),
        notes=tuple(notes),
        rank=c.rank_text(row),
        seeds=f"{len(row.seeds)}"
        + (f" ({c.number(spread[0])} to {c.number(spread[1])})" if spread else ""),
        cells=tuple(cells),
    )


def _cell(row: Row, column: c.Column) -> Cell:
    score = row.scores.get(column.key)
    if score is None or score.value is None:
        return Cell("–", title="" if score is None else plain(score.reason or ""))
    return Cell(*c.score_texts(score, column.digits))


def _cost(row: Row) -> list[Cell]:
    cost = row.cost
    texts = c.cost_texts(cost)
    if cost is None:
        return [Cell(text) for text in texts]
    keys = (
        f"{cost.fit_seconds:.6g}",
        f"{cost.images_per_second:.6g}",
        f"{cost.total_seconds:.6g}",
        "",
        "" if cost.parameters is None else str(cost.parameters),
        "",
    )
    return [Cell(plain(text), key=key) for text, key in zip(texts, keys, strict=True)]


def _chance(section: Section, groups: Sequence[c.Group]) -> tuple[str, ...]:
    shown = []
    for column in (column for group in groups for column in group.columns):
        known = {
            c.number(score.chance, column.digits)
            for row in section.rows
            if (score := row.scores.get(column.key)) is not None and score.chance is not None
        }
        shown.append(known.pop() if len(known) == 1 else "differs" if known else "")
    return tuple(shown)


def _shortcut(board: Board, groups: Sequence[c.Group]) -> tuple[str, ...]:
    value = "not audited" if board.shortcut is None else c.number(board.shortcut)
    columns = [column for group in groups for column in group.columns]
    return tuple(value if column.key == HEADLINE else "" for column in columns)


def board_data(board: Board, pictures: dict[str, Path]) -> dict[str, Any]:
    """What the page's script needs: labels, values, comparisons, matrices and pictures.

    Args:
        board: The board.
        pictures: Filled with the files to copy, by path within the site.
    """
    return {
        "sources": [plain(source.name) for source in board.dataset.sources],
        "generators": [plain(s.name) for s in board.dataset.sources if s.family != "Real"],
        "sections": [_section_data(board, section, pictures) for section in board.sections],
    }


def _section_data(board: Board, section: Section, pictures: dict[str, Path]) -> dict[str, Any]:
    rows = []
    for row in section.rows:
        entry: dict[str, Any] = {
            "label": plain(row.label),
            "value": None if row.value is None else round(row.value, 6),
            "confusion": confusion_numbers(row),
            "structure": structure_numbers(read_structure(row, board.dataset)),
        }
        if row.unranked == ONE_RUN:
            entry["one_run"] = True
        found = _pictures(row, pictures)
        if found:
            entry["pictures"] = found
        rows.append(entry)
    data: dict[str, Any] = {"title": section.title, "rows": rows, "paired": list(section.paired)}
    if section.pairs is not None:
        data["pairs"] = packed_pairs(section.pairs)
    return data


def _pictures(row: Row, pictures: dict[str, Path]) -> dict[str, str]:
    """Figures of a row's first record that came with it."""
    entry = row.entries[0]
    folder = evidence_folder(entry.path) / FIGURES
    found = {}
    for name in SENT_FIGURES:
        path = folder / name
        if path.is_file():
            target = f"pictures/{entry.record.job}-{name}"
            pictures[target] = path
            found[name.partition(".")[0]] = target
    return found


@dataclass(frozen=True)
class SourceView:
    """One source as its dataset's page shows it."""

    name: str
    family: str
    architecture: str
    counts: str
    summary: str
    picture: str


def source_views(board: Board, pictures: dict[str, Path]) -> list[SourceView]:
    """Sources with sample images, where the dataset's card is here and has them."""
    folder = _card(board.dataset)
    summaries: dict[str, str] = {}
    if folder is not None and (folder / SOURCES).is_file():
        try:
            summaries = {name: entry.summary for name, entry in read_sources(folder).items()}
        except BadInput:
            # A broken card is reported by `fpbench data`; here its words are merely missing.
            summaries = {}
    views = []
    for source in board.dataset.sources:
        picture = ""
        if folder is not None:
            path = folder / "contact" / f"{folder_name(source.name)}.png"
            if path.is_file():
                picture = f"pictures/{board.folder}-{folder_name(source.name)}.png"
                pictures[picture] = path
        views.append(
            SourceView(
                plain(source.name),
                source.family,
                plain(source.architecture),
                f"{source.train:,} / {source.validation:,} / {source.test:,}",
                plain(summaries.get(source.name, "")),
                picture,
            )
        )
    return views


def _card(dataset: DatasetEntry) -> Path | None:
    """The dataset's card, if it is here and of the board's own images where it says of which."""
    folder = card_folders().get(dataset.name)
    if folder is None:
        return None
    manifest = folder / "manifest.json"
    if manifest.is_file():
        try:
            content = json.loads(manifest.read_text("utf-8")).get("content_hash")
        except (OSError, ValueError, AttributeError):
            return None
        if content != dataset.content_hash:
            return None
    return folder


def audit_findings(board: Board) -> list[str] | None:
    """Sentences of the dataset's audit, or None where it was not audited at this revision."""
    folder = _card(board.dataset)
    if folder is None or not (folder / AUDIT).is_file():
        return None
    try:
        document = json.loads((folder / AUDIT).read_text("utf-8"))
        if document["dataset"]["content_hash"] != board.dataset.content_hash:
            return None
        return [plain(finding["text"]) for finding in document["findings"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Appearance:
    """One row of a method on one board."""

    dataset: str
    page: str
    section: str
    label: str
    rank: str
    rows: int
    accuracy: Cell
    with_real: Cell
    auc: Cell
    cost: str
    records: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Declination:
    """One configuration of a method that could not be run on one dataset."""

    dataset: str
    page: str
    label: str
    budget: str
    reason: str


def declinations(boards: Sequence[Board]) -> dict[str, list[Declination]]:
    """What could not be run, by the method's name."""
    found: dict[str, list[Declination]] = {}
    for board in boards:
        for entry in board.declined:
            found.setdefault(entry.record.method.name, []).append(
                Declination(
                    plain(board.name),
                    dataset_page(board),
                    plain(entry.record.method.label),
                    entry.record.protocol.budget,
                    plain(entry.record.reason or ""),
                )
            )
    return found


def appearances(boards: Sequence[Board]) -> dict[str, list[Appearance]]:
    """Where each method stands, by its name."""
    found: dict[str, list[Appearance]] = {}
    columns = {column.key: column for column in c.ATTRIBUTION.columns}
    for board in boards:
        for section in board.sections:
            for row in section.rows:
                found.setdefault(row.method.name, []).append(
                    Appearance(
                        dataset=plain(board.name),
                        page=dataset_page(board),
                        section=section.title,
                        label=plain(row.label),
                        rank=c.rank_text(row),
                        rows=len(section.rows),
                        accuracy=_cell(row, columns["accuracy"]),
                        with_real=_cell(row, columns["accuracy_with_real"]),
                        auc=_cell(row, columns["auc"]),
                        cost="–" if row.cost is None else c.seconds(row.cost.total_seconds),
                        records=tuple((e.record.job[:6], e.link) for e in row.entries),
                    )
                )
    return dict(sorted(found.items()))
