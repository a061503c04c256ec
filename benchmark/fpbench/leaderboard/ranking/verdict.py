"""What a dataset's board can say of methods: one word, with the sentence why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import Row, Section

Word = Literal["informative", "saturated", "confounded", "undecided"]

MEANINGS: dict[Word, str] = {
    "confounded": "something that is no fingerprint tells the generators apart as well as the "
    "best method does",
    "saturated": "a baseline is not significantly different from the best row",
    "informative": "the best row is significantly better than every baseline and confound",
    "undecided": "there are too few rows to tell",
}
"""What each word means."""


@dataclass(frozen=True)
class Verdict:
    """The word and why.

    Attributes:
        word: One of `MEANINGS`.
        why: A sentence with the numbers that it follows from.
    """

    word: Word
    why: str


def verdict(board: Board) -> Verdict:
    """Whether a board tells methods apart for the reason that it should.

    It is computed from the first section of a board, the one of the longest training. The
    strongest confound of the audit comes first: what it reaches, no row can claim as a
    fingerprint. Then the best baseline is held against the best row by the same paired test that
    ranks stand on.
    """
    section = board.sections[0] if board.sections else None
    best = section.rows[0] if section is not None and section.rows else None
    if section is None or best is None or best.value is None:
        return Verdict("undecided", "No row has an accuracy yet.")
    confound = board.confound
    if confound is not None and confound.accuracy >= best.value:
        return Verdict(
            "confounded",
            f"A classifier that sees only {confound.sees} reaches {confound.accuracy:.3f}, the "
            f"best row, {best.label}, {best.value:.3f}.",
        )
    baselines = [row for row in section.rows if row.is_baseline and row.value is not None]
    if not baselines or len(section.rows) == len(baselines):
        missing = "baseline" if not baselines else "method beside baselines"
        return Verdict("undecided", f"No {missing} stands on the board.")
    return _against_baselines(section, best, baselines[0])


def _against_baselines(section: Section, best: Row, baseline: Row) -> Verdict:
    if baseline is best:
        return Verdict(
            "saturated", f"The best row, {best.label} with {best.value:.3f}, is a baseline."
        )
    told = f"the best baseline, {baseline.label}, reaches {baseline.value:.3f}"
    whole = f"The best row, {best.label}, reaches {best.value:.3f}, {told}"
    if any(row is baseline for row in section.leaders):
        return Verdict("saturated", f"{whole}; the two are not significantly different.")
    if not any(row is best for row in section.leaders):
        return Verdict("undecided", f"{whole}; the two cannot be compared on the same images.")
    return Verdict("informative", f"{whole}; the two are significantly different.")
