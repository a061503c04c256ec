"""A family of scores: which there are, what they need to be kept, and how they follow from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fpbench.errors import BadInput, suggest
from fpbench.metrics.score import NotComputable, Score, check_ids
from fpbench.scores.definition import ScoreDefinition
from fpbench.scores.evidence import (
    PROBABILITIES,
    Evidence,
    Labels,
    Outcome,
    ScoringSettings,
)


@dataclass(frozen=True)
class Gathered:
    """What a family keeps of an outcome.

    Attributes:
        arrays: By key, unique among families.
        reasons: Key of a score to why it cannot be computed.
    """

    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


class ScoreFamily(ABC):
    """Scores that are computed together.

    `gather` reduces an outcome to arrays that are stored; `score` follows from them alone, so
    that anybody can compute the scores of a record again.
    """

    name: ClassVar[str]
    scores: ClassVar[tuple[ScoreDefinition, ...]]

    def gather(self, outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Gathered:
        """What must be kept beside the probabilities, which are kept in any case.

        Args:
            outcome: What the method gave.
            labels: Who made which image.
            settings: E.g. the dimension of FDR.
        """
        return Gathered()

    @property
    def keeps(self) -> bool:
        """Whether its scores need more than the probabilities."""
        return type(self).gather is not ScoreFamily.gather

    @abstractmethod
    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """The family's scores by key; one that the evidence does not hold is left out.

        Args:
            evidence: Stored arrays, and reasons for scores that have none.
            labels: Who made which image.
            settings: E.g. the seed of the bootstrap.
        """


def gather_evidence(
    families: Iterable[ScoreFamily], outcome: Outcome, labels: Labels, settings: ScoringSettings
) -> Evidence:
    """Probabilities of an outcome, and what each family keeps."""
    arrays: dict[str, NDArray[np.generic]] = {PROBABILITIES: outcome.proba}
    reasons: dict[str, str] = {}
    for family in families:
        gathered = family.gather(outcome, labels, settings)
        arrays |= gathered.arrays
        reasons |= gathered.reasons
    return Evidence(arrays, reasons)


def compute_scores(
    families: Iterable[ScoreFamily],
    evidence: Evidence,
    labels: Labels,
    settings: ScoringSettings,
    *,
    rules: int | None = None,
) -> dict[str, Score]:
    """All scores of the families, from stored arrays alone.

    Args:
        families: The families.
        evidence: The arrays.
        labels: Who made which image.
        settings: What else scoring must know.
        rules: Version of the scoring rules; scores that came later are left out. None for all.
    """
    scores: dict[str, Score] = {}
    for family in families:
        later = {s.key for s in family.scores if rules is not None and s.since > rules}
        found = family.score(evidence, labels, settings)
        scores |= {key: score for key, score in found.items() if key not in later}
    try:
        check_ids(labels.ids, len(labels.labels))
    except NotComputable as reason:
        # A copied image is counted twice by every score, also by those that are not given ids.
        return {key: Score.missing(str(reason), n=len(labels.labels)) for key in scores}
    return scores


def chosen_families(
    families: Sequence[ScoreFamily], names: Sequence[str] | None
) -> tuple[ScoreFamily, ...]:
    """The families named, or that hold a score named; all where none is.

    Args:
        families: Those of a protocol.
        names: Names of families or keys of scores, or None.

    Raises:
        BadInput: If a name is of neither.
    """
    if names is None:
        return tuple(families)
    known = {family.name for family in families} | {s.key for f in families for s in f.scores}
    for name in names:
        if name not in known:
            raise BadInput(
                f"There is no score or family of scores {name!r}. {suggest(name, known)}"
            )
    wanted = set(names)
    return tuple(f for f in families if f.name in wanted or wanted & {s.key for s in f.scores})
