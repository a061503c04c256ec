"""Writes the site: pages, scripts, pictures and downloads into one folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from fpbench.errors import BadInput, visible
from fpbench.files import told, writing_folder
from fpbench.leaderboard.archive.collect import Entry, Problem
from fpbench.leaderboard.archive.published import STATUSES, PublishedRow, tables_about, value_text
from fpbench.leaderboard.output.build import Leaderboards, citations, read_leaderboards
from fpbench.leaderboard.output.markdown import plain, safe_url
from fpbench.leaderboard.output.overviews import average_rank_sentence
from fpbench.leaderboard.output.render import (
    CONTROLS,
    HOW_TO_READ,
    shortcut_sentence,
    verdict_text,
)
from fpbench.leaderboard.output.site import pages
from fpbench.leaderboard.output.site.downloads import board_csv, board_json
from fpbench.leaderboard.ranking.across import across_datasets
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import HEADLINE
from fpbench.leaderboard.view import columns as c
from fpbench.leaderboard.view.tables import Cell, shortcut_text, tables_of_board
from fpbench.leaderboard.view.transfers import COLUMNS, level_text, transfer_tables

if TYPE_CHECKING:
    from jinja2 import Environment

MARKER = ".fpbench-site"
"""A file that says that a folder is a site, which the next one may replace."""


def _visible(value: Any) -> Any:
    """What a template shows of a value: nothing in it turns a page round."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def environment() -> Environment:
    """Templates in which everything is escaped unless it is markup of the templates' own."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import escape

    def web_link(text: str, url: str) -> Markup:
        """A link to a web page, or the text alone where the address is none."""
        address = safe_url(url)
        shown = escape(plain(text))
        if address is None:
            return shown
        return Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(address, shown)

    def breakable(label: str) -> Markup:
        """A configuration's name that may break after its colon rather than within a word."""
        return escape(label).replace(":", Markup(":<wbr>"))

    def has_value(row: PublishedRow, chosen: Sequence[Any]) -> bool:
        """Whether a published row has a number in any of the chosen columns."""
        return any(row.values.get(column.key) is not None for column in chosen)

    made = Environment(
        loader=PackageLoader("fpbench.leaderboard.output.site"),
        autoescape=True,
        finalize=_visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        web_link=web_link,
        breakable=breakable,
        value_text=value_text,
        statuses=STATUSES,
        method_page=pages.method_page,
        plain=plain,
        has_value=has_value,
    )
    made.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    return made


def make_pages(
    leaderboards: Leaderboards, records_url: str = ""
) -> tuple[dict[str, str], dict[str, Path]]:
    """All pages and downloads as text, and the pictures to copy, by path within the site.

    Args:
        leaderboards: Records, boards and published numbers.
        records_url: Web address of the leaderboards' folder, to link records to; or empty.

    Raises:
        BadInput: If `records_url` is no web address.
    """
    if records_url and safe_url(records_url) is None:
        raise BadInput(f"{records_url!r} is no web address; give one that begins with https://.")
    engine = environment()
    boards, published = leaderboards.boards, leaderboards.published
    transfers = transfer_tables(leaderboards.collection.transfers)
    common = {
        "has_published": bool(published.tables),
        "has_transfers": bool(transfers),
        "here": "",
    }
    pictures: dict[str, Path] = {}
    declined = pages.declinations(boards)
    # A method that could nowhere be run has a page, too: its card, and why.
    stands = pages.appearances(boards)
    found = {name: stands.get(name, []) for name in sorted(stands.keys() | declined.keys())}
    cards = leaderboards.collection.cards
    texts: dict[str, str] = {
        "index.html": engine.get_template("index.html").render(
            common | _index(leaderboards, found), top="", here="index"
        )
    }
    template = engine.get_template("dataset.html")
    for board in boards:
        context = common | _dataset(leaderboards, board, pictures)
        texts[pages.dataset_page(board)] = template.render(context, top="../")
        texts[f"downloads/{board.folder}.csv"] = board_csv(board)
        texts[f"downloads/{board.folder}.json"] = board_json(board)
    template = engine.get_template("method.html")
    for name, rows in found.items():
        texts[pages.method_page(name)] = template.render(
            common, top="../", name=plain(name), card=cards.get(name), rows=rows,
            declined=declined.get(name, []),
            records_url=records_url.rstrip("/"),
        )  # fmt: skip
    if published.tables:
        texts["published.html"] = engine.get_template("published.html").render(
            common, top="", here="published", tables=published.tables
        )
    if transfers:
        texts["transfer.html"] = engine.get_template("transfer.html").render(
            common, top="", here="transfer", tables=transfers, columns=COLUMNS,
            level_text=level_text, score_text=c.score_text,
        )  # fmt: skip
    texts["downloads/citations.bib"] = citations(leaderboards.collection)
    for name in ("site.css", "site.js", "dataset.js", "theme.js"):
        source = files("fpbench.leaderboard.output.site") / "static" / name
        texts[f"static/{name}"] = source.read_text("utf-8")
    return texts, pictures


def _index(leaderboards: Leaderboards, found: dict[str, list[pages.Appearance]]) -> dict[str, Any]:
    shown = []
    for board in leaderboards.boards:
        section = board.sections[0] if board.sections else None
        first = section.leaders if section else ()
        accuracy = first[0].scores.get(HEADLINE) if first else None
        text, _, interval = c.score_text(accuracy).partition(" ")
        shown.append(
            {
                "name": plain(board.name),
                "page": pages.dataset_page(board),
                "generators": sum(s.family != "Real" for s in board.dataset.sources),
                "rows": sum(len(s.rows) for s in board.sections),
                "section": section.title.lower() if section else "–",
                "best": plain(first[0].label) if first else "–",
                "close": plain(c.leaders_text(first[1:])) or "–",
                "accuracy": Cell(text, interval),
                "chance": c.number(board.chance),
                "shortcut": shortcut_text(board),
            }
        )
    ranks = [
        {
            "sentence": average_rank_sentence(comparison),
            "boards": [
                {"name": plain(board.name), "page": pages.dataset_page(board)}
                for board in comparison.boards
            ],
            "rows": [
                {
                    "label": plain(label),
                    "rank": f"{rank:.2f}",
                    "values": [c.number(value) for value in values],
                }
                for label, rank, values in comparison.lines()
            ],
        }
        for comparison in across_datasets(leaderboards.boards)
    ]
    cards = leaderboards.collection.cards
    methods = [
        {
            "name": plain(name),
            "page": pages.method_page(name),
            "title": plain(cards[name].title) if name in cards else "",
            "year": cards[name].year if name in cards and not cards[name].baseline else "",
            "datasets": len({row.dataset for row in rows}),
            "rows": len(rows),
        }
        for name, rows in found.items()
    ]
    return {"boards": shown, "ranks": ranks, "methods": methods, "how_to_read": HOW_TO_READ}


def _dataset(leaderboards: Leaderboards, board: Board, pictures: dict[str, Path]) -> dict[str, Any]:
    sources = board.dataset.sources
    published = [
        (table, [column for column in table.columns if column.compares_with == board.name])
        for table in tables_about(leaderboards.published, board.name)
    ]
    return {
        "board": board,
        "size": board.dataset.image_size,
        "generators": sum(source.family != "Real" for source in sources),
        "has_real": any(source.family == "Real" for source in sources),
        "chance": c.number(board.chance),
        "chance_with_real": c.number(board.chance_with_real),
        "shortcut": shortcut_sentence(board),
        "tables": tables_of_board(board),
        "shown_at_first": pages.SHOWN_AT_FIRST,
        "sources": pages.source_views(board, pictures),
        "findings": pages.audit_findings(board),
        "declined": [_entry(entry) for entry in board.declined],
        "controls": [
            _entry(control.entry)
            | {
                "interval": f"[{c.number(control.low)}, {c.number(control.high)}]",
                "p": verdict_text(control),
            }
            for control in board.controls
        ],
        "about_controls": f"{CONTROLS}.",
        "published": published,
        "data": pages.board_data(board, pictures),
    }


def _entry(entry: Entry) -> dict[str, str]:
    score = entry.record.score_values.get(HEADLINE)
    return {
        "label": plain(entry.record.job.label),
        "page": pages.method_page(entry.record.job.method),
        "budget": entry.record.job.budget,
        "reason": plain(entry.record.reason or ""),
        "accuracy": c.score_text(score),
        "chance": "–" if score is None or score.chance is None else c.number(score.chance),
    }


def write_site(root: Path, out: Path, *, records_url: str = "") -> tuple[int, tuple[Problem, ...]]:
    """Write the site of a leaderboards' folder; see `make_site`.

    Raises:
        BadInput: If `root` is no folder, or `out` holds something else than a site.
    """
    return make_site(read_leaderboards(root), out, records_url=records_url)


def make_site(
    leaderboards: Leaderboards,
    out: Path,
    *,
    records_url: str = "",
    extra: Mapping[str, str] | None = None,
) -> tuple[int, tuple[Problem, ...]]:
    """Write the site into the folder `out`, replacing an earlier one as a whole.

    Args:
        leaderboards: What it is made from.
        out: The site's folder: absent, empty, or an earlier site.
        records_url: Web address of the leaderboards' folder, to link records to; or empty.
        extra: Further texts by path within the site.

    Returns:
        Number of pages, and what could not be used.

    Raises:
        BadInput: If `out` holds something else than a site.
    """
    texts, pictures = make_pages(leaderboards, records_url)
    texts |= extra or {}
    with _replacing(out) as folder:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        for name, source in sorted(pictures.items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
        (folder / MARKER).write_text("", "utf-8")
    return sum(name.endswith(".html") for name in texts), leaderboards.problems


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `out` if the block ends well."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file; name a folder for the site.")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise BadInput(
            f"{out} holds files that are no site of fpbench, and would be replaced; name an "
            "empty or new folder."
        )
    with writing_folder(out) as scratch, told(out):
        yield scratch
