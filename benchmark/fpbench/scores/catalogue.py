"""All families of scores, and every score's definition by its key.

A new family is one module of this room and one word in `SAME_SOURCES`, or in `FAMILIES` if it is
of a protocol that names its families itself.
"""

from __future__ import annotations

from fpbench.scores.attribution import ACCURACY, Attribution, Probe
from fpbench.scores.bags import Bags
from fpbench.scores.decorrelation import Decorrelation
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.family import ScoreFamily
from fpbench.scores.neighbourhood import Neighbourhood
from fpbench.scores.open_set import OpenSet
from fpbench.scores.robustness import Robustness
from fpbench.scores.separability import Separability
from fpbench.scores.transfer import Transfer

HEADLINE = ACCURACY
"""The score that closed-set rows are ranked by."""

SAME_SOURCES: tuple[ScoreFamily, ...] = (
    Attribution(),
    Bags(),
    Probe(),
    Separability(),
    Decorrelation(),
    Neighbourhood(),
)
"""Of a method that is tested on the sources which it was trained on, in the order of tables."""

FAMILIES: dict[str, ScoreFamily] = {
    family.name: family for family in (*SAME_SOURCES, Transfer(), OpenSet(), Robustness())
}
"""All of them by name."""

SCORES: dict[str, ScoreDefinition] = {
    score.key: score for family in FAMILIES.values() for score in family.scores
}
"""By key, in the order of the terminal's table."""


def tables_of(families: tuple[ScoreFamily, ...]) -> dict[Table, list[ScoreDefinition]]:
    """The board's tables of some families, with the scores that stand in each."""
    tables: dict[Table, list[ScoreDefinition]] = {}
    for family in families:
        for score in family.scores:
            tables.setdefault(score.table, []).append(score)
    return tables


def bounds(key: str) -> tuple[float, float]:
    """Range of a score; that of a score which this fpbench does not know is unbounded."""
    score = SCORES.get(key)
    return (float("-inf"), float("inf")) if score is None else (score.lower, score.upper)
