"""Transfer records on their way to the transfer board: gathered, followed, submitted, shown.

A record lies at ``transfers/<trained on>-to-<tested on>/<method>/<job>.json``, its predictions in
the folder ``<job>/`` beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.leaderboard import columns as c
from fpbench.leaderboard.claims import Difference, compare_scores
from fpbench.leaderboard.collect import Problem, relative
from fpbench.leaderboard.combine import combined
from fpbench.leaderboard.layout import folder_name
from fpbench.leaderboard.markdown import escape, table
from fpbench.metrics.score import Score
from fpbench.runs.artifacts import PREDICTIONS, describe_file
from fpbench.runs.scoring import score_entries
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


def rescored(record: TransferRecord, path: Path) -> list[Difference]:
    """Score the stored predictions again and list what differs from the record.

    Raises:
        BadInput: If the predictions cannot be read or scored.
    """
    task = read_task(predictions_path(path), record)
    try:
        scores = score_transfer(task, record.protocol.seed)
    except (ValueError, IndexError) as error:
        raise BadInput(f"{path}: the stored predictions cannot be scored: {error}.") from error
    return compare_scores(record.scores, score_entries(scores))


def collect_transfers(root: Path) -> tuple[tuple[TransferEntry, ...], tuple[Problem, ...]]:
    """Read all transfer records below ``root/transfers``; what cannot be used is named."""
    entries: list[TransferEntry] = []
    problems: list[Problem] = []
    for path in sorted((root / TRANSFERS).rglob("*.json")):
        link = path.relative_to(root).as_posix()
        try:
            if path.is_symlink() or not path.resolve().is_relative_to(root.resolve()):
                raise BadInput(f"{path} is a link or leads out of the folder; commit the file.")
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


def _label(record: TransferRecord) -> str:
    params = " ".join(f"{key}={value}" for key, value in sorted(record.method.params.items()))
    return f"{record.method.name}:{record.method.variant} {params}".strip()


def _mean(records: Sequence[TransferRecord], key: str) -> Score | None:
    """A score over seeds, or None if a run has none."""
    scores = []
    for record in records:
        entry = record.scores.get(key)
        if entry is None or entry.value is None:
            return None
        scores.append(
            Score(entry.value, entry.ci_low, entry.ci_high, entry.n, entry.chance, entry.reason)
        )
    return combined([scores]) if scores else None


def transfer_tables(entries: Iterable[TransferEntry]) -> list[str]:
    """Markdown tables of transfer records: one for each pair of datasets, budget and rule."""
    groups: dict[tuple[str, ...], dict[str, list[TransferEntry]]] = {}
    for entry in sorted(entries, key=lambda e: (e.record.protocol.seed, e.link)):
        rows = groups.setdefault(_group(entry.record), {})
        rows.setdefault(_label(entry.record), []).append(entry)
    lines: list[str] = []
    for group in sorted(groups):
        lines += _table(groups[group])
    return lines


def _table(rows: dict[str, list[TransferEntry]]) -> list[str]:
    first = next(iter(rows.values()))[0].record
    spec, labels, protocol = transfer_spec(first), first.labels, first.protocol
    lines = [
        f"## {escape(spec.train.title)} to {escape(spec.test.title)}, budget {protocol.budget}",
        "",
        f"Revisions {escape(first.train.revision)} and {escape(first.test.revision)}. Models in "
        f"both: {escape(', '.join(labels.shared_architectures) or 'none')}. Tested only: "
        f"{escape(', '.join(labels.new_architectures) or 'none')}. Reference images of the "
        f"{'dataset trained on' if protocol.reference == 'source' else 'dataset tested on'}. "
        f"Naming the model cannot exceed {labels.cap:.3f} on all tested models." + _sizes(first),
        "",
    ]
    done: list[tuple[float, str, list[str]]] = []
    declined: list[list[str]] = []
    chance: list[str] | None = None
    for label, entries in rows.items():
        records = [entry.record for entry in entries if entry.record.status == "done"]
        links = " ".join(f"[{e.record.protocol.seed}]({e.link})" for e in entries)
        if not records:
            reason = escape(entries[0].record.reason or "declined")
            declined.append([f"**{escape(label)}**", reason, *["–"] * (len(COLUMNS) - 1), links])
            continue
        scores = [_mean(records, key) for key, _ in COLUMNS]
        order = -(scores[0].value or 0.0) if scores[0] is not None else 1.0
        cells = [f"**{escape(label)}**", *(c.score_text(score) for score in scores), links]
        done.append((order, label, cells))
        if chance is None:
            levels = [records[0].scores.get(key) for key, _ in COLUMNS]
            chance = ["*chance*", *(_level(e.chance if e else None) for e in levels), "–"]
    body = [cells for _, _, cells in sorted(done)] + declined
    headings = ["method", *(title for _, title in COLUMNS), "records by seed"]
    return lines + table(headings, ([chance] if chance else []) + body)


def _level(chance: float | None) -> str:
    return "–" if chance is None else f"{chance:.3f}"


def _sizes(record: TransferRecord) -> str:
    if record.protocol.size_rule == "same":
        return ""
    height, width = record.train.image_size
    other = "x".join(map(str, record.test.image_size))
    text = f" Trained at {height}x{width}, tested at {other}"
    if record.protocol.size_rule == "nearest":
        text += ", the smaller enlarged by nearest neighbour, so scores are confounded"
    return text + "."
