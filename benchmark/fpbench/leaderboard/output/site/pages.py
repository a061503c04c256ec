"""What the pages of the site show, before it is put into HTML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpbench.datasets.card import read_sources
from fpbench.datasets.layout import SOURCES
from fpbench.errors import BadInput
from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.archive.layout import FIGURES, SENT_FIGURES, evidence_folder, folder_name
from fpbench.leaderboard.archive.methodcard import PublishedCard
from fpbench.leaderboard.output.charts import badge
from fpbench.leaderboard.output.markdown import plain
from fpbench.leaderboard.output.site.drawings import (
    confusion_numbers,
    packed_pairs,
    structure_numbers,
)
from fpbench.leaderboard.ranking.boards import Board, DatasetEntry
from fpbench.leaderboard.ranking.rows import HEADLINE, ONE_RUN, Row, Section, grouped
from fpbench.leaderboard.ranking.structure import read_structure
from fpbench.leaderboard.view import columns as c
from fpbench.leaderboard.view.sheets import best_of_methods
from fpbench.leaderboard.view.tables import Cell, cell_of
from fpbench.registry import card_folders

SHOWN_AT_FIRST = ("accuracy", "accuracy_bag10", "auc")
"""Columns beside method, rank and runs; the others are a choice away."""


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
            "key": row.newest.key,
            "records": [
                [e.record.key, e.link, f"{e.record.created:%Y-%m-%d}"] for e in row.entries
            ],
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
    folder = own_card(board.dataset)
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
                c.family_text(source.family),
                plain(source.architecture),
                f"{source.train:,} / {source.validation:,} / {source.test:,}",
                plain(summaries.get(source.name, "")),
                picture,
            )
        )
    return views


def own_card(dataset: DatasetEntry) -> Path | None:
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


def found_by(row: Row, cards: Mapping[str, PublishedCard]) -> str:
    """Words that a row is found by besides its name: authors, title, year, remarks."""
    card = cards.get(row.job.method)
    words = [*row.remarks]
    if card is not None:
        words += [card.authors, card.title, str(card.year), card.unit]
    return plain(" ".join(words)).lower()


@dataclass(frozen=True)
class Version:
    """What one version of a configuration reached on one revision of a dataset."""

    label: str
    dataset: str
    version: str
    runs: int
    accuracy: str
    date: str


def histories(entries: Iterable[Entry]) -> dict[str, list[Version]]:
    """Versions of every configuration of which there are several, by the method's name."""
    done = [e for e in entries if e.record.status == "done" and e.record.job.control == "none"]
    found: dict[str, list[Version]] = {}
    rows = grouped(
        done, lambda e: (e.record.job.test.name, e.record.job.label, e.record.job.budget)
    )
    for dataset, label, budget in sorted(rows):
        versions = grouped(
            rows[dataset, label, budget],
            lambda e: (
                e.record.job.method_version,
                e.record.job.test.revision,
                e.record.job.scoring,
            ),
        )
        if len(versions) < 2:
            continue
        for (version, revision, scoring), members in sorted(
            versions.items(), key=lambda item: max(e.record.created for e in item[1])
        ):
            scores = [e.record.scores.get(HEADLINE) for e in members]
            values = [s.value for s in scores if s is not None and s.value is not None]
            found.setdefault(members[0].record.job.method, []).append(
                Version(
                    plain(label),
                    f"{plain(dataset)} {plain(revision)}, {budget}",
                    f"{plain(version)}, scoring {scoring}",
                    len(members),
                    c.number(sum(values) / len(values)) if values else "–",
                    f"{max(e.record.created for e in members):%Y-%m-%d}",
                )
            )
    return found


@dataclass(frozen=True)
class Badge:
    """A badge of a method's best row on one dataset."""

    name: str
    text: str
    svg: str


def badges(boards: Sequence[Board]) -> dict[str, list[Badge]]:
    """Badges by the method's name."""
    found: dict[str, list[Badge]] = {}
    for board in boards:
        for row in best_of_methods(board.sections[0]) if board.sections else ():
            if row.value is None:
                continue
            rank = f", rank {c.rank_text(row)}" if row.rank is not None else ""
            label, text = f"fpbench {board.name}", f"{c.number(100 * row.value, 1)} %{rank}"
            name = f"badges/{folder_name(row.job.method)}-{board.folder}.svg"
            made = Badge(name, plain(f"{label}: {text}"), badge(label, text))
            found.setdefault(row.job.method, []).append(made)
    return found


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
