"""What the boards' records say of a configuration, so that nobody trusts it more than measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fpbench.attribution.document import MeasuredScore
from fpbench.errors import BadInput
from fpbench.method import Budget
from fpbench.metrics.runs import combine
from fpbench.runs.job import CLOSED_SET
from fpbench.runs.plan import Configuration
from fpbench.runs.record import Record, read_record
from fpbench.scores.catalogue import SCORES

SHOWN = {
    CLOSED_SET: ("accuracy", "accuracy_with_real", "accuracy_bag10", "auc_real"),
    "open-set": ("open_auroc_msp", "open_auroc_own", "open_fpr95_msp", "oscr"),
    "robustness": ("robust_mean", "robust_worst", "robust_real"),
}
"""Protocols whose scores are shown beside a verdict, and which of their scores."""


def measured_scores(
    root: Path, chosen: Configuration, budget: Budget, content_hash: str
) -> list[MeasuredScore]:
    """Scores of the records of one configuration on one dataset, over all seeds.

    Args:
        root: A leaderboards' folder; where there is none, nothing is measured.
        chosen: The configuration.
        budget: Its training length.
        content_hash: Of the dataset.
    """
    found = []
    records = [r for r in _records(root, chosen) if _fits(r, chosen, budget, content_hash)]
    for protocol, keys in SHOWN.items():
        own = [record for record in records if record.job.protocol == protocol]
        if own:
            found += _scores(protocol, keys, own)
    return found


def _records(root: Path, chosen: Configuration) -> list[Record]:
    records = []
    for path in sorted(root.glob(f"*/*/{chosen.name}/*.json")) if root.is_dir() else ():
        try:
            records.append(read_record(path))
        except BadInput:
            # `fpbench leaderboard check` is there to name it.
            continue
    return records


def _fits(record: Record, chosen: Configuration, budget: Budget, content_hash: str) -> bool:
    job = record.job
    same = (
        (job.variant, job.method_version, dict(job.params), job.budget)
        == (chosen.variant, chosen.version, dict(chosen.params), budget)
        and job.train == job.test
        and not job.test.sources
    )
    plain = job.control == "none" and job.fold is None and not job.limits.stated
    return same and plain and record.status == "done" and job.test.content_hash == content_hash


def _scores(protocol: str, keys: Sequence[str], records: list[Record]) -> list[MeasuredScore]:
    # Rotations of an open set have sources of their own, as folds have images of their own.
    parts: dict[str, list[Record]] = {}
    for record in records:
        settings = json.dumps(dict(record.job.settings), sort_keys=True, default=str)
        parts.setdefault(settings, []).append(record)
    found = []
    for key in keys:
        tables = [
            [r.score_values[key] for r in part if key in r.score_values] for part in parts.values()
        ]
        scores = [score for table in tables for score in table]
        complete = len(scores) == len(records) and all(s.value is not None for s in scores)
        if key not in SCORES or not complete:
            continue
        about = SCORES[key]
        whole = combine(tables, lower=about.lower, upper=about.upper)
        if whole.value is not None:
            found.append(
                MeasuredScore(
                    protocol=protocol,
                    key=key,
                    title=about.title,
                    value=whole.value,
                    low=whole.ci_low,
                    high=whole.ci_high,
                    chance=whole.chance,
                    better=about.better,
                    runs=len(records),
                )
            )
    return found
