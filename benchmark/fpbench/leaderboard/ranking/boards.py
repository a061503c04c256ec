"""From records to boards: one board a dataset, in sections of rows that compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.audits import METADATA, Audit, Confound, read_audit
from fpbench.leaderboard.archive.claims import ROUNDING
from fpbench.leaderboard.archive.collect import Collection, Entry, Problem
from fpbench.leaderboard.archive.layout import folder_name
from fpbench.leaderboard.archive.methodcard import PublishedCard, remarks_on
from fpbench.leaderboard.ranking.judged import Control, read_control
from fpbench.leaderboard.ranking.rows import (
    HEADLINE,
    ONE_RUN,
    Row,
    Section,
    configuration,
    current,
    grouped,
    make_row,
    of_same_weights,
)
from fpbench.metrics.comparison import Comparisons, compare_rows
from fpbench.metrics.ranking import rank_ranges
from fpbench.metrics.statistics import holm
from fpbench.runs.job import BLOCKS, FOLDING
from fpbench.runs.record import Record, SourceEntry

BUDGETS = ("full", "small", "smoke")
"""In the order of a board: the most telling first."""


@dataclass(frozen=True)
class DatasetEntry:
    """A dataset as a record states it.

    Attributes:
        name: Its name.
        revision: Its revision.
        content_hash: Hash of its content.
        image_size: Height and width in pixels.
        reference: Reference images.
        sources: Its sources, in the order of labels.
        shortcut: Accuracy of the audit's metadata probe, or None.
    """

    name: str
    revision: str
    content_hash: str
    image_size: tuple[int, int]
    reference: int
    sources: tuple[SourceEntry, ...]
    shortcut: float | None

    @classmethod
    def of(cls, record: Record) -> DatasetEntry:
        """The dataset tested on."""
        side, images = record.job.test, record.test
        return cls(
            side.name,
            side.revision,
            side.content_hash,
            images.image_size,
            images.reference or 0,
            tuple(images.sources),
            images.shortcut,
        )


@dataclass(frozen=True)
class Board:
    """All that is known of one revision of one dataset.

    Attributes:
        name: Name of the dataset.
        folder: What its files are called.
        dataset: The dataset as its newest record states it.
        sections: Rows that compare with each other.
        declined: Newest record of each configuration that was declined and never finished.
        controls: Records of null controls, which must land at chance.
        older: Revisions whose records are no longer shown, with their number.
        audit: The audit of these images in the dataset's card, or None.
    """

    name: str
    folder: str
    dataset: DatasetEntry
    sections: tuple[Section, ...]
    declined: tuple[Entry, ...] = ()
    controls: tuple[Control, ...] = ()
    older: tuple[tuple[str, int], ...] = ()
    audit: Audit | None = None

    @property
    def confound(self) -> Confound | None:
        """What tells the generators apart best without a fingerprint, where it was audited."""
        if self.audit is not None and self.audit.confounds:
            return self.audit.confounds[0]
        if self.shortcut is None:
            return None
        return Confound(METADATA, self.shortcut, None, self.chance)

    @property
    def confound_beats_chance(self) -> bool:
        """Whether that is above chance by more than test images vary (95 %, binomial)."""
        if self.confound is None:
            return False
        images = sum(s.test or 0 for s in self.dataset.sources if s.family != "Real")
        deviation = math.sqrt(self.chance * (1 - self.chance) / max(1, images))
        return self.confound.accuracy > self.chance + 1.96 * deviation

    @property
    def shortcut(self) -> float | None:
        """Balanced accuracy of the metadata-only baseline, where the dataset was audited."""
        return self.dataset.shortcut

    @property
    def chance_with_real(self) -> float:
        """What guessing scores among all sources, Real included."""
        return 1 / max(1, len(self.dataset.sources))

    @property
    def chance(self) -> float:
        """What guessing scores among generators."""
        generators = [s for s in self.dataset.sources if s.family != "Real"]
        return 1 / max(1, len(generators))


def make_boards(collection: Collection) -> tuple[list[Board], list[Problem]]:
    """Boards of all datasets, by name, and the problems met on the way."""
    problems: list[Problem] = []
    boards = []
    by_dataset = grouped(collection.entries, lambda e: e.record.job.test.name)
    for name in sorted(by_dataset):
        boards.append(_board(name, by_dataset[name], collection.cards, problems))
    return boards, problems


def _board(
    name: str,
    entries: Sequence[Entry],
    cards: Mapping[str, PublishedCard],
    problems: list[Problem],
) -> Board:
    ordered = sorted(entries, key=lambda e: (e.record.created, e.record.key))
    newest = ordered[-1].record
    same = _same_dataset(entries, newest)
    shown = [e for e, is_same in zip(entries, same, strict=True) if is_same]
    past = [e for e, is_same in zip(entries, same, strict=True) if not is_same]
    older = grouped(past, _revision)
    for entry in past:
        if entry.record.job.test.content_hash == newest.job.test.content_hash:
            problems.append(
                Problem(
                    entry.link,
                    "is of the board's images with other descriptions of sources or another FDR "
                    "than its newest record, so it is not shown; run it again.",
                )
            )
    runs = [e for e in shown if e.record.job.control == "none"]
    done = [e for e in runs if e.record.status == "done"]
    sections = []
    kinds = grouped(done, _kind)
    for kind in sorted(kinds, key=lambda k: (BUDGETS.index(k[0]), k[1] or 0, k[2], -k[3])):
        section = _section(kind, current(kinds[kind]), cards, problems)
        if section.rows:
            sections.append(section)
    return Board(
        name=name,
        folder=folder_name(name),
        dataset=_dataset(shown, newest),
        sections=tuple(sections),
        declined=tuple(_declined(runs)),
        controls=_controls(shown, problems),
        older=tuple((revision, len(older[revision])) for revision in sorted(older)),
        audit=read_audit(name, newest.job.test.content_hash),
    )


def _same_dataset(entries: Sequence[Entry], newest: Record) -> list[bool]:
    """Whether records are of the newest one's images, described as it describes them."""
    sides = (entry.record.job.test for entry in entries)
    now = newest.job.test
    return [(side.content_hash, side.digest) == (now.content_hash, now.digest) for side in sides]


def _revision(entry: Entry) -> str:
    """What a board calls the dataset of a record that it no longer shows."""
    side = entry.record.job.test
    described = f", described as {side.digest[:8]}" if side.digest else ""
    return f"{side.revision}{described}"


def _controls(shown: Iterable[Entry], problems: list[Problem]) -> tuple[Control, ...]:
    """Null controls in the order of their configurations.

    p-values of those that have power are corrected by Holm.
    """
    found = []
    for entry in sorted(shown, key=lambda e: (configuration(e), e.record.job.seed, e.link)):
        if entry.record.job.control == "none" or entry.record.status != "done":
            continue
        try:
            found.append(read_control(entry))
        except BadInput as error:
            problems.append(Problem(entry.link, str(error).removeprefix(f"{entry.link}: ")))
    # A control without power tests nothing: it is not counted among the tests either.
    telling = [control for control in found if not control.without_power]
    corrected = iter(holm([control.p_value for control in telling]))
    return tuple(
        control if control.without_power else replace(control, p_value=float(next(corrected)))
        for control in found
    )


def _kind(entry: Entry) -> tuple[str, int | None, bool, int]:
    job = entry.record.job
    by_image = job.folds is not None and job.settings.get(FOLDING) != BLOCKS
    return job.budget, job.folds, by_image, job.scoring


def _dataset(shown: Iterable[Entry], newest: Record) -> DatasetEntry:
    """The newest description, with the newest audit that any record knows of."""
    audited = [e for e in shown if e.record.test.shortcut is not None]
    found = DatasetEntry.of(newest)
    if found.shortcut is not None or not audited:
        return found
    last = max(audited, key=lambda e: (e.record.created, e.record.key))
    return replace(found, shortcut=last.record.test.shortcut)


def _declined(runs: Sequence[Entry]) -> list[Entry]:
    """Of each configuration and budget that never finished, the newest refusal."""

    def what(entry: Entry) -> tuple[tuple[str, str, str], str]:
        return configuration(entry), entry.record.job.budget

    finished = {what(e) for e in runs if e.record.status == "done"}
    refused = grouped((e for e in runs if e.record.status == "declined"), what)
    return [
        max(refused[key], key=lambda e: (e.record.created, e.record.key))
        for key in sorted(refused)
        if key not in finished
    ]


def _section(
    kind: tuple[str, int | None, bool, int],
    entries: Sequence[Entry],
    cards: Mapping[str, PublishedCard],
    problems: list[Problem],
) -> Section:
    budget, folds, by_image, scoring = kind
    entries = of_same_weights(_same_setup(_newest_runs(entries), problems), problems)
    for members in grouped(entries, configuration).values():
        if _deterministic(members[0], cards):
            problems += _unlike(members)
    made = (
        make_row(members, problems, _deterministic(members[0], cards))
        for members in grouped(entries, configuration).values()
    )
    told = [
        replace(row, remarks=remarks_on(cards.get(row.job.method), row.job.variant))
        for row in made
        if row is not None
    ]
    rows = _same_images(told, problems)
    rows.sort(key=_position)
    rows, pairs, paired = _ranked(rows)
    return Section(budget, folds, scoring, tuple(rows), pairs, paired, by_image)


def _newest_runs(entries: Sequence[Entry]) -> list[Entry]:
    """Of each configuration, seed and fold the record made last: one run counts once."""
    runs = grouped(entries, lambda e: (configuration(e), e.record.job.seed, e.record.job.fold))
    return [max(same, key=lambda e: (e.record.created, e.link)) for same in runs.values()]


def _same_setup(entries: Sequence[Entry], problems: list[Problem]) -> list[Entry]:
    """The records whose FDR has the n and d of the newest one; others do not compare with it."""
    setups = [(e.record.setup.fdr_samples, e.record.setup.fdr_dimensions) for e in entries]
    newest = max(range(len(entries)), key=lambda i: (entries[i].record.created, entries[i].link))
    kept = []
    for entry, setup in zip(entries, setups, strict=True):
        if setup == setups[newest]:
            kept.append(entry)
            continue
        problems.append(
            Problem(
                entry.link,
                "was scored with n = {}, d = {} of FDR, the newest record of its section with "
                "n = {}, d = {}; run it again on the dataset as it is now described.".format(
                    *setup, *setups[newest]
                ),
            )
        )
    return kept


def _deterministic(entry: Entry, cards: Mapping[str, PublishedCard]) -> bool:
    """Whether a configuration's card says that all seeds agree; of the plain variant it does."""
    job = entry.record.job
    card = cards.get(job.method)
    return card is not None and job.variant in card.deterministic and not job.params


def _unlike(entries: Sequence[Entry]) -> list[Problem]:
    """Seeds of a configuration that draws nothing at random, but whose accuracies differ."""
    found = []
    for members in grouped(entries, lambda e: e.record.job.fold).values():
        done = [e for e in members if e.record.status == "done" and HEADLINE in e.record.scores]
        values = [e.record.scores[HEADLINE].value for e in done]
        for entry, value in zip(done[1:], values[1:], strict=True):
            if value is None or values[0] is None or abs(value - values[0]) <= ROUNDING:
                continue
            found.append(
                Problem(
                    entry.link,
                    f"has another accuracy than {done[0].link}, though the method's card calls "
                    f"the variant {entry.record.job.variant!r} deterministic; take that off the "
                    "card, or find what draws at random.",
                )
            )
    return found


def _position(row: Row) -> tuple[bool, float, str]:
    return row.value is None, -(row.value or 0.0), row.label


def _same_images(rows: Sequence[Row], problems: list[Problem]) -> list[Row]:
    """Take predictions from rows that judged other images than most rows did."""
    kinds = grouped(
        (row for row in rows if row.judged is not None),
        lambda row: row.judged.images if row.judged is not None else None,
    )
    if len(kinds) < 2:
        return list(rows)
    usual = max(kinds.values(), key=len)
    kept = {id(row) for row in usual}
    checked = []
    for row in rows:
        if row.judged is None or id(row) in kept:
            checked.append(row)
            continue
        problems.append(
            Problem(row.entries[0].link, "judged other test images than the rows it stands with.")
        )
        checked.append(replace(row, judged=None, unranked="judged other images"))
    return checked


def _ranked(rows: Sequence[Row]) -> tuple[list[Row], Comparisons | None, tuple[int, ...]]:
    """Rows with the ranks that they may have, their comparisons, and which rows those are of.

    A row of one run is compared as that run and counts for the others' ranks, but has none itself.
    """
    ranked = [
        replace(row, judged=None, unranked=row.unranked or "no accuracy")
        if row.value is None
        else row
        for row in rows
    ]
    compared = [(i, row.judged) for i, row in enumerate(ranked) if row.judged is not None]
    if not compared:
        return ranked, None, ()
    first = compared[0][1]
    pairs = compare_rows([judged.summary for _, judged in compared], first.labels, first.folds)
    ranges = rank_ranges(pairs.difference, pairs.corrected)
    for (i, judged), rank in zip(compared, ranges, strict=True):
        alone = judged.summary.one_run
        ranked[i] = replace(
            ranked[i], rank=None if alone else rank, unranked=ONE_RUN if alone else None
        )
    return ranked, pairs, tuple(i for i, _ in compared)
