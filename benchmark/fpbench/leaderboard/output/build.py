"""Builds the Markdown boards of a leaderboards' folder, and finds those that are stale."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.files import told, write_text
from fpbench.leaderboard.archive.collect import Collection, Problem, collect, relative
from fpbench.leaderboard.archive.layout import PUBLISHED
from fpbench.leaderboard.archive.published import Published, read_published
from fpbench.leaderboard.output.charts import CHARTS, markdown_charts
from fpbench.leaderboard.output.markdown import MARK
from fpbench.leaderboard.output.overviews import (
    cost_board,
    index,
    protocol_board,
    published_board,
    structure_board,
    transfer_board,
)
from fpbench.leaderboard.output.render import DETAILS, dataset_board, dataset_details
from fpbench.leaderboard.ranking.boards import Board, make_boards

PAGES = ("open-set", "robustness")
"""Protocols with a page of their own, whether there are records or not."""

BIB_MARK = "% Made by `fpbench leaderboard build` from the methods' cards."


@dataclass(frozen=True)
class Leaderboards:
    """Everything that boards are made from.

    Attributes:
        collection: Records and cards.
        boards: One board a dataset.
        published: Published numbers.
        problems: What could not be used, from all of them.
    """

    collection: Collection
    boards: tuple[Board, ...]
    published: Published
    problems: tuple[Problem, ...]


def read_leaderboards(root: Path) -> Leaderboards:
    """Read records, cards and published numbers, and make rows of them.

    Raises:
        BadInput: If `root` is no folder.
    """
    return leaderboards_of(collect(root))


def leaderboards_of(collection: Collection) -> Leaderboards:
    """As `read_leaderboards`, of records that are read already."""
    boards, problems = make_boards(collection)
    found = [*collection.problems, *problems]
    try:
        published = read_published(collection.root / PUBLISHED)
    except BadInput as error:
        published = Published()
        found.append(Problem(PUBLISHED, relative(str(error), collection.root)))
    return Leaderboards(collection, tuple(boards), published, tuple(found))


def citations(collection: Collection) -> str:
    """BibTeX of every method on a board, each once."""
    entries = {card.citation.strip(): name for name, card in sorted(collection.cards.items())}
    return "\n\n".join([BIB_MARK, *(text for text, _ in sorted(entries.items()))]) + "\n"


def make_files(leaderboards: Leaderboards) -> dict[str, str]:
    """The text of every file that is made, by path relative to the leaderboards' folder."""
    boards, published = leaderboards.boards, leaderboards.published
    cards = leaderboards.collection.cards
    files = {f"{board.folder}.md": dataset_board(board, cards, published) for board in boards}
    for board in boards:
        files[f"{DETAILS}/{board.folder}.md"] = dataset_details(board, cards, published)
    files |= markdown_charts(boards)
    files["README.md"] = index(boards, published)
    files["transfer.md"] = transfer_board(leaderboards.collection.transfers, published)
    files["structure.md"] = structure_board(boards, published)
    files["cost.md"] = cost_board(boards)
    for name in PAGES:
        entries = leaderboards.collection.of_protocol(name)
        files[f"{name}.md"] = protocol_board(name, entries)
    files["citations.bib"] = citations(leaderboards.collection)
    if published.tables:
        files["published.md"] = published_board(published)
    return files


def _made_before(root: Path) -> list[Path]:
    """Files that an earlier build made, at the top of `root` and in its folders for them."""
    marks = (MARK, BIB_MARK)
    found = []
    places = ("*.md", "*.bib", f"{DETAILS}/*.md", f"{CHARTS}/*.svg")
    for path in sorted(path for place in places for path in root.glob(place)):
        with path.open(encoding="utf-8", errors="replace") as stream:
            if stream.readline().rstrip("\n") in marks:
                found.append(path)
    return found


def build(root: Path) -> tuple[list[Path], tuple[Problem, ...]]:
    """Write all boards; those whose records are gone are removed.

    The same records give the same bytes. What cannot be used is left out and returned.

    Returns:
        The files, and the problems.

    Raises:
        BadInput: If `root` is no folder, or a file that is not a board stands in a board's place.
    """
    leaderboards = read_leaderboards(root)
    files = make_files(leaderboards)
    before = _made_before(root)
    for name in files:
        path = root / name
        if path.exists() and path not in before:
            raise BadInput(
                f"{path} was not made by `fpbench leaderboard build`, which would overwrite it; "
                "move it elsewhere."
            )
    for name, text in files.items():
        path = root / name
        if not path.is_file() or path.read_text("utf-8") != text:
            write_text(path, text)
    for path in before:
        if path.relative_to(root).as_posix() not in files:
            with told(path):
                path.unlink()
    return [root / name for name in files], leaderboards.problems


def stale(root: Path, files: dict[str, str]) -> list[Problem]:
    """Boards that are missing, differ from what the records give, or have no records any more."""
    problems = []
    for name, text in sorted(files.items()):
        path = root / name
        if not path.is_file():
            problems.append(Problem(name, "is missing; run `fpbench leaderboard build`."))
        elif path.read_bytes() != text.encode("utf-8"):
            problems.append(
                Problem(name, "is not what the records give; run `fpbench leaderboard build`.")
            )
    for path in _made_before(root):
        name = path.relative_to(root).as_posix()
        if name not in files:
            problems.append(
                Problem(name, "has no records any more; run `fpbench leaderboard build`.")
            )
    return problems
