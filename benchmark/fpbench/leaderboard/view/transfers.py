"""Transfer records as tables of the transfer board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.ranking.byclass import read_class_shares
from fpbench.leaderboard.ranking.rows import configuration, weights_of
from fpbench.leaderboard.view import columns as c
from fpbench.metrics.classes import ClassShares
from fpbench.metrics.ranking import ALPHA
from fpbench.metrics.runs import combine
from fpbench.metrics.score import Score
from fpbench.metrics.statistics import holm
from fpbench.runs.protocols.transfer import TransferFacts
from fpbench.runs.record import Record
from fpbench.scores.attribution import AUC_REAL
from fpbench.scores.catalogue import bounds
from fpbench.scores.transfer import DISJOINT, FAMILY, SHARED_MASKED, SHARED_UNMASKED

COLUMNS = (SHARED_MASKED, SHARED_UNMASKED, FAMILY, DISJOINT, AUC_REAL)
"""Scores on the transfer board, the first one decides the order."""

_ROUNDING = 1e-6  # of the mean of shares in single precision

_SIZE_RULES = {"same": "", "native": ", each at its own size", "nearest": ", the smaller enlarged"}
"""What the heading says of the rule for sizes, which sets tables of one pair apart."""


def _facts(record: Record) -> TransferFacts:
    return TransferFacts.model_validate(record.setup.facts)


def _group(record: Record) -> tuple[str, ...]:
    """Records of one table: the same data, described the same, the same budget and rules."""
    job = record.job
    return (
        job.train.title,
        job.test.title,
        job.train.content_hash,
        job.test.content_hash,
        job.budget,
        str(job.settings["reference"]),
        _facts(record).size_rule,
        str(job.scoring),
        job.train.digest,
        job.test.digest,
    )


def _mean(runs: Sequence[Mapping[str, Score]], key: str) -> Score | None:
    """A score over seeds, or None if a run has none."""
    scores = [run.get(key) for run in runs]
    known = [score for score in scores if score is not None and score.value is not None]
    if not known or len(known) < len(scores):
        return None
    lower, upper = bounds(key)
    return combine([known], lower=lower, upper=upper)


@dataclass(frozen=True)
class TransferRow:
    """One configuration of a method in a table.

    Attributes:
        label: Method, variant and parameters.
        scores: One for each of `COLUMNS`, means over seeds; empty if it declined.
        reason: Why it declined, or "".
        records: Seed and link of each record.
        classes: Its answers by the models that both datasets hold, or None.
        corrected: The p-value of these after Holm's correction over all rows of the board.
    """

    label: str
    scores: tuple[Score | None, ...]
    reason: str
    records: tuple[tuple[int, str], ...]
    classes: ClassShares | None = None
    corrected: float = 1.0


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

    @property
    def by_class(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]] | None:
        """Headings and rows of how often each shared model is attributed correctly, or None."""
        judged = [(row, row.classes) for row in self.rows if row.classes is not None]
        if not judged:
            return None
        names = judged[0][1].names
        return (
            ("method", *names, "mean, interval over models", "p", "p after Holm"),
            tuple(
                (
                    row.label,
                    *(c.number(float(share), 2) for share in found.shares),
                    f"{c.number(found.mean)} [{c.number(found.low)}, {c.number(found.high)}]",
                    c.number(found.p_value),
                    c.number(row.corrected),
                )
                for row, found in judged
            ),
        )

    @property
    def said_by_class(self) -> str:
        """How to read `by_class`, and what follows from it."""
        judged = [(row, row.classes) for row in self.rows if row.classes is not None]
        size = len(judged[0][1].names)
        beyond = [row.label for row, _ in judged if row.corrected <= ALPHA]
        apart = [row.label for row, found in judged if found.low > found.chance + _ROUNDING]
        return (
            f"Share of each model's images attributed correctly, of {size} models that both "
            f"datasets hold (chance {1 / size:.3f}). Here the models are the sample: the interval "
            f"is over these {size} shares, and p is the share of all renamings of the models that "
            "do as well, after Holm's correction over all such rows of this page. The intervals "
            "above are over images of these very models, and say nothing of others. Interval "
            f"above chance: {', '.join(apart) or 'none'}. Significantly above chance: "
            f"{', '.join(beyond) or 'none'}."
        )


def transfer_tables(entries: Iterable[Entry]) -> list[TransferTable]:
    """One table for each pair of datasets, budget and set of rules, by their names."""
    groups: dict[tuple[str, ...], dict[tuple[str, ...], list[Entry]]] = {}
    for entry in sorted(entries, key=lambda e: (e.record.job.seed, e.link)):
        rows = groups.setdefault(_group(entry.record), {})
        # Runs with other files or trained weights are other rows.
        kind = (*configuration(entry), *weights_of(entry.record))
        rows.setdefault((entry.record.job.label, *kind), []).append(entry)
    return _corrected([_table(groups[group]) for group in sorted(groups)])


def _corrected(tables: Sequence[TransferTable]) -> list[TransferTable]:
    """The same with p-values corrected over the rows of all tables: one question is asked."""
    p = [row.classes.p_value for found in tables for row in found.rows if row.classes is not None]
    left = iter(holm(p).tolist())
    return [
        replace(
            found,
            rows=tuple(
                row if row.classes is None else replace(row, corrected=next(left))
                for row in found.rows
            ),
        )
        for found in tables
    ]


def _table(rows: dict[tuple[str, ...], list[Entry]]) -> TransferTable:
    first = next(iter(rows.values()))[0].record
    job, facts = first.job, _facts(first)
    cap = (
        f"Naming the model cannot exceed {facts.cap:.3f} on all tested models."
        if facts.cap
        else "No tested model was trained on, so none can be named."
    )
    whose = "trained on" if job.settings["reference"] == "source" else "tested on"
    about = (
        f"Revisions {job.train.revision} and {job.test.revision}. Models in both: "
        f"{', '.join(facts.shared_architectures) or 'none'}. Tested only: "
        f"{', '.join(facts.new_architectures) or 'none'}. Reference images of the dataset "
        f"{whose}. {cap}{_sizes(first)}"
    )
    chance: tuple[float | None, ...] = (None,) * len(COLUMNS)
    found: list[TransferRow] = []
    for (label, *_), entries in rows.items():
        done = [entry.record for entry in entries if entry.record.status == "done"]
        records = tuple((entry.record.job.seed, entry.link) for entry in entries)
        if not done:
            found.append(TransferRow(label, (), entries[0].record.reason or "", records))
            continue
        runs = [record.score_values for record in done]
        scores = tuple(_mean(runs, column.key) for column in COLUMNS)
        finished = [entry for entry in entries if entry.record.status == "done"]
        found.append(TransferRow(label, scores, "", records, read_class_shares(finished)))
        levels = (done[0].scores.get(column.key) for column in COLUMNS)
        chance = tuple(None if level is None else level.chance for level in levels)
    return TransferTable(
        f"{job.train.title} to {job.test.title}, budget {job.budget}{_SIZE_RULES[facts.size_rule]}",
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


def _sizes(record: Record) -> str:
    if _facts(record).size_rule == "same":
        return ""
    height, width = record.trained.image_size
    other = "x".join(map(str, record.test.image_size))
    text = f" Trained at {height}x{width}, tested at {other}"
    if _facts(record).size_rule == "nearest":
        text += ", the smaller enlarged by nearest neighbour, so scores are confounded"
    return text + "."
