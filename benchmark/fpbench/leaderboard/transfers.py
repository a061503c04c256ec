"""Transfer records on their way to the transfer board: gathered, followed, submitted, shown.

A record lies at ``transfers/<trained on>-to-<tested on>/<method>/<job>.json``, its predictions in
the folder ``<job>/`` beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.leaderboard import columns as c
from fpbench.leaderboard.claims import Difference, check_rules, compare_scores
from fpbench.leaderboard.collect import Problem, check_inside, relative
from fpbench.leaderboard.layout import folder_name
from fpbench.leaderboard.markdown import escape, table
from fpbench.metrics.runs import combine
from fpbench.metrics.score import Score
from fpbench.runs.artifacts import PREDICTIONS, describe_file
from fpbench.runs.record import ScoreEntry
from fpbench.runs.scoring import score_entries, scores_of
from fpbench.runs.transferjob import Side, TransferSpec
from fpbench.runs.transferrecord import (
    TRANSFER_FILE,
    SideEntry,
    TransferRecord,
    read_transfer,
)
from fpbench.runs.transferscoring import read_task, score_transfer

TRANSFERS = "transfers"

COLUMNS = (
    ("shared_masked", "shared models"),
    ("shared_unmasked", "shared, of all trained on"),
    ("family", "family"),
    ("disjoint", "family of unseen models"),
    ("auc_real", "AUC, Real"),
)
"""Scores on the transfer board with their headings, the first one decides the order."""

_SIZE_RULES = {"same": "", "native": ", each at its own size", "nearest": ", the smaller enlarged"}
"""What the heading says of the rule for sizes, which sets tables of one pair apart."""


@dataclass(frozen=True)
class TransferEntry:
    """One transfer record.

    Attributes:
        record: The record.
        path: Its file.
        link: Its path relative to the leaderboards' folder.
    """

    record: TransferRecord
    path: Path
    link: str


def transfer_spec(record: TransferRecord) -> TransferSpec:
    """The job that a transfer record says it is of."""

    def side(entry: SideEntry) -> Side:
        return Side(entry.name, entry.revision, entry.content_hash, tuple(entry.chosen))

    return TransferSpec(
        method=record.method.name,
        variant=record.method.variant,
        method_version=record.method.version,
        train=side(record.train),
        test=side(record.test),
        params=record.method.params,
        reference=record.protocol.reference,
        resize=record.protocol.resize,
        budget=record.protocol.budget,
        seed=record.protocol.seed,
        scoring=record.protocol.scoring,
    )


def transfer_path(root: Path, record: TransferRecord) -> Path:
    """Where a transfer record lies under the leaderboards' folder `root`."""
    pair = folder_name(transfer_spec(record).dataset)
    return root / TRANSFERS / pair / folder_name(record.method.name) / f"{record.job}.json"


def predictions_path(path: Path) -> Path:
    """The predictions beside the transfer record at `path`."""
    folder = path.parent if path.name == TRANSFER_FILE else path.with_suffix("")
    return folder / PREDICTIONS


def check_transfer(record: TransferRecord, path: Path) -> None:
    """Check that a transfer record is a result and that its files are what it says.

    Raises:
        BadInput: If the job failed, its hash does not follow from its fields, or the predictions
            are missing or others.
    """
    if record.status == "failed":
        raise BadInput(f"{path} is of a failed job, which is no result: {record.reason}")
    expected = transfer_spec(record).key
    if record.job != expected:
        raise BadInput(
            f"{path}: the job {record.job} does not follow from the record's method, datasets and "
            f"protocol, which give {expected}; a field was changed after the run."
        )
    if record.status != "done":
        return
    predictions = predictions_path(path)
    if not predictions.is_file():
        raise BadInput(f"{predictions} is missing, so the scores of {path.name} are unfounded.")
    found = describe_file(predictions)
    named = record.artifacts.get("predictions")
    if named is None or (named.sha256, named.size) != (found.sha256, found.size):
        raise BadInput(
            f"{predictions} is not the file that the record was made with: its checksum differs."
        )


def score_transfer_again(record: TransferRecord, path: Path) -> dict[str, ScoreEntry]:
    """The scores that the stored predictions of a finished record have by the present rules.

    Raises:
        BadInput: If the predictions cannot be read or scored.
    """
    task = read_task(predictions_path(path), record)
    try:
        return score_entries(score_transfer(task, record.protocol.seed))
    except (ValueError, IndexError) as error:
        raise BadInput(f"{path}: the stored predictions cannot be scored: {error}.") from error


def rescored(record: TransferRecord, path: Path) -> list[Difference]:
    """Score the stored predictions again and list what differs from the record.

    Raises:
        BadInput: If the record is of other rules, or the predictions cannot be read or scored.
    """
    check_rules(record.protocol.scoring, path)
    return compare_scores(record.scores, score_transfer_again(record, path))


def collect_transfers(root: Path) -> tuple[tuple[TransferEntry, ...], tuple[Problem, ...]]:
    """Read all transfer records below ``root/transfers``; what cannot be used is named."""
    entries: list[TransferEntry] = []
    problems: list[Problem] = []
    for path in sorted((root / TRANSFERS).rglob("*.json")):
        link = path.relative_to(root).as_posix()
        try:
            check_inside(root, path)
            record = read_transfer(path)
            check_transfer(record, path)
            belongs = transfer_path(root, record)
            if belongs != path:
                raise BadInput(
                    f"{path} is a record of {belongs.relative_to(root).as_posix()}; move it "
                    "there, or run `fpbench submit`, which does."
                )
        except BadInput as error:
            problems.append(Problem(link, relative(str(error), root)))
        else:
            entries.append(TransferEntry(record, path, link))
    return tuple(entries), tuple(problems)


def _group(record: TransferRecord) -> tuple[str, ...]:
    """Records of one table: the same data, budget and rules."""
    spec, protocol = transfer_spec(record), record.protocol
    return (
        spec.train.title,
        spec.test.title,
        record.train.content_hash,
        record.test.content_hash,
        protocol.budget,
        protocol.reference,
        protocol.size_rule,
        str(protocol.scoring),
    )


def _mean(runs: Sequence[Mapping[str, Score]], key: str) -> Score | None:
    """A score over seeds, or None if a run has none."""
    scores = [run.get(key) for run in runs]
    known = [score for score in scores if score is not None and score.value is not None]
    if not known or len(known) < len(scores):
        return None
    return combine([known], lower=0.0, upper=1.0)


@dataclass(frozen=True)
class TransferRow:
    """One configuration of a method in a table.

    Attributes:
        label: Method, variant and parameters.
        scores: One for each of `COLUMNS`, means over seeds; empty if it declined.
        reason: Why it declined, or "".
        records: Seed and link of each record.
    """

    label: str
    scores: tuple[Score | None, ...]
    reason: str
    records: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class TransferTable:
    """Records of one pair of datasets, budget and set of rules.

    Attributes:
        title: Heading, as plain text.
        about: A few sentences, as plain text.
        chance: Chance of each of `COLUMNS`, or None.
        rows: In the order of the first column, those without a score last.
    """

    title: str
    about: str
    chance: tuple[float | None, ...]
    rows: tuple[TransferRow, ...]


def transfer_tables(entries: Iterable[TransferEntry]) -> list[TransferTable]:
    """One table for each pair of datasets, budget and set of rules, by their names."""
    groups: dict[tuple[str, ...], dict[str, list[TransferEntry]]] = {}
    for entry in sorted(entries, key=lambda e: (e.record.protocol.seed, e.link)):
        rows = groups.setdefault(_group(entry.record), {})
        rows.setdefault(entry.record.method.label, []).append(entry)
    return [_table(groups[group]) for group in sorted(groups)]


def _table(rows: dict[str, list[TransferEntry]]) -> TransferTable:
    first = next(iter(rows.values()))[0].record
    spec, labels, protocol = transfer_spec(first), first.labels, first.protocol
    cap = (
        f"Naming the model cannot exceed {labels.cap:.3f} on all tested models."
        if labels.cap
        else "No tested model was trained on, so none can be named."
    )
    about = (
        f"Revisions {first.train.revision} and {first.test.revision}. Models in both: "
        f"{', '.join(labels.shared_architectures) or 'none'}. Tested only: "
        f"{', '.join(labels.new_architectures) or 'none'}. Reference images of the dataset "
        f"{'trained on' if protocol.reference == 'source' else 'tested on'}. {cap}{_sizes(first)}"
    )
    chance: tuple[float | None, ...] = (None,) * len(COLUMNS)
    found: list[TransferRow] = []
    for label, entries in rows.items():
        done = [entry.record for entry in entries if entry.record.status == "done"]
        records = tuple((entry.record.protocol.seed, entry.link) for entry in entries)
        if not done:
            found.append(TransferRow(label, (), entries[0].record.reason or "", records))
            continue
        runs = [scores_of(record.scores) for record in done]
        scores = tuple(_mean(runs, key) for key, _ in COLUMNS)
        found.append(TransferRow(label, scores, "", records))
        levels = (done[0].scores.get(key) for key, _ in COLUMNS)
        chance = tuple(None if level is None else level.chance for level in levels)
    return TransferTable(
        f"{spec.train.title} to {spec.test.title}, budget {protocol.budget}"
        f"{_SIZE_RULES[protocol.size_rule]}",
        about,
        chance,
        tuple(sorted(found, key=_order)),
    )


def _order(row: TransferRow) -> tuple[float, ...]:
    """Best first, by each column in turn; what declined comes last."""
    if not row.scores:
        return (1.0,) * len(COLUMNS)
    values = (score.value if score is not None else None for score in row.scores)
    return tuple(0.5 if value is None else -value for value in values)


def level_text(chance: float | None) -> str:
    """A chance level, or a dash."""
    return "–" if chance is None else f"{chance:.3f}"


def transfer_markdown(entries: Iterable[TransferEntry]) -> list[str]:
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
        headings = ["method", *(title for _, title in COLUMNS), "records by seed"]
        lines += table(headings, body)
    return lines


def _sizes(record: TransferRecord) -> str:
    if record.protocol.size_rule == "same":
        return ""
    height, width = record.train.image_size
    other = "x".join(map(str, record.test.image_size))
    text = f" Trained at {height}x{width}, tested at {other}"
    if record.protocol.size_rule == "nearest":
        text += ", the smaller enlarged by nearest neighbour, so scores are confounded"
    return text + "."
