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
from fpbench.leaderboard.archive.layout import FIGURES, SENT_FIGURES, evidence_folder, folder_name
from fpbench.leaderboard.output.markdown import plain
from fpbench.leaderboard.output.site.drawings import (
    confusion_numbers,
    packed_pairs,
    structure_numbers,
)
from fpbench.leaderboard.ranking.boards import Board, DatasetEntry
from fpbench.leaderboard.ranking.rows import ONE_RUN, Row, Section
from fpbench.leaderboard.ranking.structure import read_structure
from fpbench.leaderboard.view import columns as c
from fpbench.leaderboard.view.tables import Cell, cell_of
from fpbench.registry import card_folders

SHOWN_AT_FIRST = ("attribution", "bags")


def method_page(name: str) -> str:
    """Path of a method's page."""
    return f"methods/{folder_name(name)}.html"


def dataset_page(board: Board) -> str:
    """Path of a dataset's page."""
    return f"datasets/{board.folder}.html"


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
            target = f"pictures/{entry.record.key}-{name}"
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
            found.setdefault(entry.record.job.method, []).append(
                Declination(
                    plain(board.name),
                    dataset_page(board),
                    plain(entry.record.job.label),
                    entry.record.job.budget,
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
                found.setdefault(row.job.method, []).append(
                    Appearance(
                        dataset=plain(board.name),
                        page=dataset_page(board),
                        section=section.title,
                        label=plain(row.label),
                        rank=c.rank_text(row),
                        rows=len(section.rows),
                        accuracy=cell_of(row, columns["accuracy"]),
                        with_real=cell_of(row, columns["accuracy_with_real"]),
                        auc=cell_of(row, columns["auc"]),
                        cost="–" if row.cost is None else c.seconds(row.cost.total_seconds),
                        records=tuple((e.record.key[:6], e.link) for e in row.entries),
                    )
                )
    return dict(sorted(found.items()))
