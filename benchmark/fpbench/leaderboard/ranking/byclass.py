"""A transfer's answers class by class, from stored predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.archive.layout import evidence_folder
from fpbench.metrics.classes import ClassShares, class_shares
from fpbench.metrics.transfer import shared_confusion
from fpbench.runs.rescoring import predictions_of
from fpbench.scores.transfer import task_of


def read_class_shares(entries: Sequence[Entry]) -> ClassShares | None:
    """How often each model that both datasets hold is attributed correctly, mean over the records.

    Args:
        entries: Finished records of one configuration, its seeds.

    Returns:
        None if fewer than two models are shared, or predictions cannot be read: `fpbench
        leaderboard check` names those.
    """
    tables = []
    for entry in entries:
        try:
            evidence, labels = predictions_of(entry.record, evidence_folder(entry.path))
        except BadInput:
            return None
        names, table = shared_confusion(task_of(evidence, labels))
        if len(names) < 2:
            return None
        tables.append(table)
    return class_shares(names, np.mean(tables, axis=0))
