"""Writes the site: pages, scripts, pictures and downloads into one folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from fpbench.distribution import NAME
from fpbench.errors import BadInput, visible
from fpbench.files import told, writing_folder
from fpbench.leaderboard.archive.collect import Entry, Problem
from fpbench.leaderboard.archive.layout import folder_name
from fpbench.leaderboard.archive.published import STATUSES, PublishedRow, tables_about, value_text
from fpbench.leaderboard.output.build import PAGES, Leaderboards, citations, read_leaderboards
from fpbench.leaderboard.output.charts import Chart, board_charts, curves_chart, overview_chart
from fpbench.leaderboard.output.markdown import plain, safe_url
from fpbench.leaderboard.output.overviews import (
    average_rank_sentence,
    no_records,
    protocol_about,
)
from fpbench.leaderboard.output.render import (
    CONTROLS,
    HOW_TO_READ,
    confound_sentence,
    verdict_text,
)
from fpbench.leaderboard.output.site import pages
from fpbench.leaderboard.output.site.documents import DOCUMENTS, documents_beside
from fpbench.leaderboard.output.site.downloads import board_csv, board_json
from fpbench.leaderboard.output.site.explorer import explorer_data, thumbnails
from fpbench.leaderboard.ranking.across import across_datasets
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import HEADLINE
from fpbench.leaderboard.ranking.verdict import MEANINGS, verdict
from fpbench.leaderboard.view import columns as c
from fpbench.leaderboard.view.sheets import (
    COST_ABOUT,
    SCORES_ABOUT,
    STRUCTURE_ABOUT,
    ProtocolGroup,
    Sheet,
    cost_sheets,
    protocol_groups,
    protocol_sheets,
    score_sheets,
    structure_sheets,
)
from fpbench.leaderboard.view.tables import Cell, confound_text, tables_of_board
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


@dataclass
class Files:
    """What a site is made of, by path within it.

    Attributes:
        texts: Pages, scripts, charts and downloads.
        pictures: Files to copy.
        contents: Small pictures.
    """

    texts: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    def draw(self, charts: Iterable[Chart | None]) -> list[Chart]:
        """Take charts up, and return those that there are."""
        made = [chart for chart in charts if chart is not None]
        self.texts.update({chart.name: chart.svg for chart in made})
        return made


def make_pages(leaderboards: Leaderboards, records_url: str = "") -> Files:
    """All pages, downloads and pictures.

    Args:
        leaderboards: Records, boards and published numbers.
        records_url: Web address of the leaderboards' folder, to link records to; by default the
            site holds a copy of each.

    Raises:
        BadInput: If `records_url` is no web address.
    """
    if records_url and safe_url(records_url) is None:
        raise BadInput(f"{records_url!r} is no web address; give one that begins with https://.")
    records_url = records_url.rstrip("/")
    engine, found = environment(), Files()
    boards, published = leaderboards.boards, leaderboards.published
    collection = leaderboards.collection
    cards = collection.cards
    transfers = transfer_tables(collection.transfers)
    documents = documents_beside(collection.root)
    site_pages = [
        *([("transfer", "Transfer")] if transfers else []),
        ("open-set", "Open set"), ("robustness", "Robustness"), ("structure", "Structure"),
        ("cost", "Cost"), *([("published", "Published numbers")] if published.tables else []),
    ]  # fmt: skip

    def record_address(link: str, top: str) -> str:
        return f"{records_url}/{link}" if records_url else f"{top}records/{link}"

    engine.globals.update(
        record_address=record_address,
        found_by=lambda row: pages.found_by(row, cards),
        site_pages=site_pages,
        documents=[(name, DOCUMENTS[name]) for name in documents],
        records_url=records_url,
        version=version(NAME),
        updated=max((f"{e.record.created:%Y-%m-%d}" for e in collection.records), default=""),
        here="",
    )

    def page(place: str, template: str, /, **context: Any) -> None:
        top = "../" * place.count("/")
        found.texts[place] = engine.get_template(template).render(context, top=top)

    if not records_url:
        found.pictures |= {f"records/{e.link}": e.path for e in collection.records}
    declined, stands = pages.declinations(boards), pages.appearances(boards)
    # A method that could nowhere be run has a page, too: its card, and why.
    methods = {name: stands.get(name, []) for name in sorted(stands.keys() | declined.keys())}
    overview = found.draw([overview_chart(boards)])
    page("index.html", "index.html", here="index", overview=next(iter(overview), None),
         meanings=MEANINGS, **_index(leaderboards, methods))  # fmt: skip
    for board in boards:
        page(pages.dataset_page(board), "dataset.html",
             **_dataset(leaderboards, board, found, record_address("", "../")))  # fmt: skip
        found.texts[f"downloads/{board.folder}.csv"] = board_csv(board)
        found.texts[f"downloads/{board.folder}.json"] = board_json(board)
    badges, histories = pages.badges(boards), pages.histories(collection.entries)
    for name, rows in methods.items():
        own = badges.get(name, [])
        found.texts |= {badge.name: badge.svg for badge in own}
        page(
            pages.method_page(name), "method.html", name=plain(name), card=cards.get(name),
            rows=rows, declined=declined.get(name, []), badges=own,
            history=histories.get(name, []),
        )  # fmt: skip
    if published.tables:
        page("published.html", "published.html", here="published", tables=published.tables)
    if transfers:
        page("transfer.html", "transfer.html", here="transfer", tables=transfers, columns=COLUMNS,
             level_text=level_text, score_text=c.score_text)  # fmt: skip

    def sheets(name: str, title: str, about: str, made: Sequence[Sheet], empty: str,
               charts: Sequence[Chart] = ()) -> None:  # fmt: skip
        page(f"{name}.html", "sheets.html", here=name, title=title, about=about, sheets=made,
             empty=empty, charts=charts)  # fmt: skip

    sheets("cost", "Cost", COST_ABOUT, cost_sheets(boards), "No finished record yet.")
    sheets("structure", "Structure", STRUCTURE_ABOUT, structure_sheets(boards),
           "No record defines correlations of source fingerprints yet.")  # fmt: skip
    for name in PAGES:
        groups = protocol_groups(collection.of_protocol(name), name)
        charts = found.draw(_curves(groups)) if name == "robustness" else []
        title = dict(site_pages)[name]
        made = protocol_sheets(groups, name)
        sheets(name, title, protocol_about(name), made, no_records(name), charts)
    sheets("scores", "What each score is", SCORES_ABOUT, score_sheets(), "")
    for name, text in documents.items():
        page(f"docs/{name}.html", "document.html", title=DOCUMENTS[name], text=text)
    found.texts["downloads/citations.bib"] = citations(collection)
    for name in ("site.css", "site.js", "dataset.js", "theme.js"):
        source = files("fpbench.leaderboard.output.site") / "static" / name
        found.texts[f"static/{name}"] = source.read_text("utf-8")
    return found


def _curves(groups: Sequence[ProtocolGroup]) -> Iterator[Chart | None]:
    """Accuracy by the strength of each perturbation, one chart a group and perturbation."""
    from fpbench.scores.robustness import AT_STRENGTH

    kinds: dict[str, list[tuple[str, str]]] = {}
    for score in AT_STRENGTH:
        kind, _, strength = score.heading.partition(" ")
        kinds.setdefault(kind, []).append((strength, score.key))
    for number, group in enumerate(groups, 1):
        for kind, places in kinds.items():
            if len(places) < 2:
                continue
            curves = {
                plain(row.label): {s: row.scores[key] for s, key in places if key in row.scores}
                for row in group.rows
            }
            title = f"Accuracy after {kind} on {plain(group.title)}"
            name = f"charts/robustness-{number}-{kind}.svg"
            kept = {label: points for label, points in curves.items() if points}
            yield curves_chart(name, title, [s for s, _ in places], kept, f"strength of {kind}")


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
                "confound": confound_text(board),
                "verdict": verdict(board),
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
            "find": plain(f"{cards[name].authors} {cards[name].title}").lower()
            if name in cards
            else "",
        }
        for name, rows in found.items()
    ]
    return {"boards": shown, "ranks": ranks, "methods": methods, "how_to_read": HOW_TO_READ}


def _dataset(
    leaderboards: Leaderboards, board: Board, found: Files, records: str
) -> dict[str, Any]:
    sources, pictures = board.dataset.sources, found.pictures
    explorer, hardest = explorer_data(board)
    for name, content in thumbnails(pages.own_card(board.dataset), hardest).items():
        path = f"pictures/{board.folder}/{folder_name(name)}.png"
        found.contents[path] = content
        assert explorer is not None  # noqa: S101  (without one there are no hardest images)
        explorer.setdefault("pictures", {})[plain(name)] = path
    data = pages.board_data(board, pictures) | {
        "explorer": explorer,
        "board": plain(board.name),
        "records": records,
    }
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
        "verdict": verdict(board),
        "confound": confound_sentence(board),
        "charts": found.draw(board_charts(board)),
        "tables": tables_of_board(board),
        "shown_at_first": pages.SHOWN_AT_FIRST,
        "sources": pages.source_views(board, pictures),
        "findings": None if board.audit is None else [plain(t) for t in board.audit.findings],
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
        "data": data,
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
    made = make_pages(leaderboards, records_url)
    texts = made.texts | dict(extra or {})
    with _replacing(out) as folder:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        for name, content in made.contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, source in sorted(made.pictures.items()):
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
