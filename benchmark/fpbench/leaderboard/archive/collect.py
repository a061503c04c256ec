"""Gathers records from a leaderboards' folder; what cannot be used is named, the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.claims import (
    check_files,
    check_job,
    check_purpose,
    check_unlimited,
)
from fpbench.leaderboard.archive.layout import (
    FIGURES,
    PNG,
    SENT_FIGURES,
    card_path,
    evidence_folder,
    folders_of_records,
    record_path,
)
from fpbench.leaderboard.archive.methodcard import PublishedCard, read_card
from fpbench.leaderboard.archive.paths import local_paths
from fpbench.runs.job import CLOSED_SET, TRANSFER
from fpbench.runs.record import Record, read_record


@dataclass(frozen=True)
class Problem:
    """Something that keeps a record, card or board from being right.

    Attributes:
        where: Path relative to the leaderboards' folder.
        message: What is wrong and what to do.
    """

    where: str
    message: str

    def __str__(self) -> str:
        named = self.message.startswith(self.where)
        return self.message if named else f"{self.where}: {self.message}"


@dataclass(frozen=True)
class Entry:
    """One record on its way to a board.

    Attributes:
        record: The record.
        path: Its file.
        link: Its path relative to the leaderboards' folder.
    """

    record: Record
    path: Path
    link: str

    @property
    def package(self) -> str:
        """Name of the distribution that registers the method, without its version."""
        return self.record.method.distribution


@dataclass(frozen=True)
class Collection:
    """All records of a leaderboards' folder.

    Attributes:
        root: The leaderboards' folder.
        records: Records that can stand on a board, by path, of all protocols.
        cards: Method cards by name of the method, of each the one beside its newest record.
        problems: What was left out, and why.
    """

    root: Path
    records: tuple[Entry, ...]
    cards: dict[str, PublishedCard] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Records of closed-set jobs."""
        return self.of_protocol(CLOSED_SET)

    @property
    def transfers(self) -> tuple[Entry, ...]:
        """Records of transfers."""
        return self.of_protocol(TRANSFER)

    def of_protocol(self, name: str) -> tuple[Entry, ...]:
        """Records of one protocol."""
        return tuple(entry for entry in self.records if entry.record.job.protocol == name)


def collect(root: Path) -> Collection:
    """Read all records of a leaderboards' folder.

    Records are left out, each with a `Problem`, if they are malformed, lie in a place that is not
    theirs, are of an ablation, name places on somebody's machine or files that are missing or
    changed, claim a job that another record claims, or are of a method whose name two packages
    claim.

    Raises:
        BadInput: If `root` is no folder.
    """
    if not root.is_dir():
        raise BadInput(f"There is no folder {root}; name the leaderboards' folder with --root.")
    problems: list[Problem] = []
    entries: list[Entry] = []
    for path in sorted(p for folder in folders_of_records(root) for p in folder.rglob("*.json")):
        link = path.relative_to(root).as_posix()
        try:
            entries.append(Entry(_placed(root, path), path, link))
        except BadInput as error:
            problems.append(Problem(link, relative(str(error), root)))
    entries = _distinct(entries, problems)
    entries = _unclaimed(entries, problems)
    cards = _cards(root, entries, problems)
    return Collection(root, tuple(entries), cards, tuple(problems))


def _cards(root: Path, entries: list[Entry], problems: list[Problem]) -> dict[str, PublishedCard]:
    """The card beside the newest record of each method."""
    cards: dict[str, PublishedCard] = {}
    seen: dict[Path, PublishedCard | None] = {}
    for entry in sorted(entries, key=lambda e: (e.record.created, e.link)):
        path = card_path(entry.path, entry.record.job.method)
        if entry.record.job.protocol != CLOSED_SET and not path.exists():
            continue  # a method's card lies beside its closed-set records
        if path not in seen:
            seen[path] = None
            try:
                seen[path] = read_card(path)
            except BadInput as error:
                link = path.relative_to(root).as_posix()
                problems.append(Problem(link, relative(str(error), root)))
            else:
                problem = _other_card(seen[path], entry)
                if problem is not None:
                    seen[path] = None
                    problems.append(Problem(path.relative_to(root).as_posix(), problem))
        card = seen[path]
        if card is not None:
            cards[entry.record.job.method] = card
    return cards


def _other_card(card: PublishedCard | None, entry: Entry) -> str | None:
    """What is wrong with a card beside a record, if it is another method's."""
    name, package = entry.record.job.method, entry.package
    if card is None or (card.name == name and card.package == package):
        return None
    return (
        f"is the card of {card.name!r} by {card.package}, but the records beside it are of "
        f"{name!r} by {package}; `fpbench submit` writes the right one."
    )


def check_inside(root: Path, path: Path) -> None:
    """Refuse a record that is a link or lies outside the leaderboards' folder.

    Raises:
        BadInput: If it is.
    """
    if path.is_symlink() or not path.resolve().is_relative_to(root.resolve()):
        raise BadInput(f"{path} is a link or leads out of the folder; commit the file itself.")


def _placed(root: Path, path: Path) -> Record:
    """The record at `path`, if it lies where it belongs and its files are what it says."""
    check_inside(root, path)
    record = read_record(path)
    belongs = record_path(root, record)
    if belongs != path:
        raise BadInput(
            f"{path} is a record of {belongs.relative_to(root).as_posix()}; move it there, or run "
            "`fpbench submit`, which does."
        )
    check_job(record, path)
    check_unlimited(record, path)
    check_purpose(record, path)
    if record.status == "failed":
        raise BadInput(f"{path} is of a failed job, which is no result: {record.reason}")
    for place in local_paths(record)[:1]:
        raise BadInput(
            f"{path} names a place on somebody's machine, {place}; `fpbench submit` leaves it out."
        )
    if record.status == "done":
        check_files(record, path)
    _check_beside(record, path)
    return record


def _check_beside(record: Record, path: Path) -> None:
    """Refuse files that the record does not name, and figures that are no pictures."""
    folder = evidence_folder(path)
    named = {folder / entry.file for entry in record.artifacts.values()}
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise BadInput(f"{file} is a link; commit the file itself.")
        if file.is_dir() or file in named:
            continue
        if file.parent != folder / FIGURES or file.name not in SENT_FIGURES:
            raise BadInput(f"{file} is no file of the record; remove it.")
        with file.open("rb") as stream:
            if stream.read(len(PNG)) != PNG:
                raise BadInput(f"{file} is no PNG image; remove it.")


def relative(message: str, root: Path) -> str:
    """A message with paths below `root` told from there."""
    return message.replace(f"{root.as_posix()}/", "")


def _distinct(entries: list[Entry], problems: list[Problem]) -> list[Entry]:
    """The first record of each job; the others become problems."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        first = kept.setdefault(entry.record.key, entry)
        if first is not entry:
            problems.append(
                Problem(
                    entry.link,
                    f"claims the job {entry.record.key}, as {first.link} does; delete one of them.",
                )
            )
    return list(kept.values())


def _unclaimed(entries: list[Entry], problems: list[Problem]) -> list[Entry]:
    """Entries whose method's name is claimed by one package only."""
    packages = _grouped(entries, lambda e: e.record.job.method, lambda e: e.package)
    kept = []
    for entry in entries:
        claimants = packages[entry.record.job.method]
        if len(claimants) == 1:
            kept.append(entry)
        else:
            problems.append(
                Problem(
                    entry.link,
                    f"the method {entry.record.job.method!r} is claimed by the packages "
                    f"{' and '.join(sorted(claimants))}; one of them must rename it.",
                )
            )
    return kept


def _grouped(
    entries: Iterable[Entry], key: Callable[[Entry], str], value: Callable[[Entry], str]
) -> dict[str, set[str]]:
    groups: dict[str, set[str]] = {}
    for entry in entries:
        groups.setdefault(key(entry), set()).add(value(entry))
    return groups
