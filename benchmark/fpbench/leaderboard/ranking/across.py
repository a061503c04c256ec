"""Configurations over several datasets: average ranks, and by how much they must differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpbench.leaderboard.ranking.boards import BUDGETS, Board
from fpbench.leaderboard.ranking.rows import Row, Section, configuration
from fpbench.metrics.ranking import Friedman, friedman
from fpbench.metrics.score import NotComputable

FEWEST_DATASETS = 3
"""Over two datasets no difference of average ranks is ever significant."""


@dataclass(frozen=True)
class Across:
    """Configurations that stand on each of several datasets with one budget, best first.

    Attributes:
        budget: Training length.
        boards: The N boards.
        labels: The k configurations.
        values: Shape (N, k), accuracy.
        test: Friedman's test over datasets, with average ranks and their critical difference.
        partial: Configurations that stand on some of the datasets alone.
        again: Names of datasets left out, because they are another one's images made once more,
            each with that other one's name.
    """

    budget: str
    boards: tuple[Board, ...]
    labels: tuple[str, ...]
    values: NDArray[np.float64]
    test: Friedman
    partial: tuple[str, ...]
    again: tuple[tuple[str, str], ...] = ()

    def lines(self) -> list[tuple[str, float, NDArray[np.float64]]]:
        """Of each configuration its label, its mean rank, and its accuracy on each dataset."""
        return list(zip(self.labels, self.test.average_ranks, self.values.T, strict=True))


def across_datasets(boards: Sequence[Board]) -> list[Across]:
    """One comparison a budget, of those for which enough datasets have two rows in common."""
    found = (_of_budget(boards, budget) for budget in BUDGETS)
    return [comparison for comparison in found if comparison is not None]


def _of_budget(boards: Sequence[Board], budget: str) -> Across | None:
    found: list[tuple[Board, dict[Any, Row]]] = []
    for board in boards:
        section = _own_splits(board, budget)
        if section is not None:
            rows = {configuration(row.entries[0]): row for row in _scored(section)}
            found.append((board, rows))
    found, again = _independent(found)
    chosen, tables = [board for board, _ in found], [table for _, table in found]
    if len(chosen) < FEWEST_DATASETS:
        return None
    every = sorted(set().union(*tables))
    common = [key for key in every if all(key in table for table in tables)]
    values = np.asarray([[table[key].value for key in common] for table in tables], np.float64)
    try:
        test = friedman(values)
    except NotComputable:
        return None
    order = np.argsort(test.average_ranks, kind="stable")
    labels = {key: row.label for table in tables for key, row in table.items()}
    return Across(
        budget,
        tuple(chosen),
        tuple(labels[common[k]] for k in order),
        values[:, order],
        replace(test, average_ranks=test.average_ranks[order]),
        tuple(labels[key] for key in every if key not in common),
        tuple(again),
    )


def _independent(
    found: Sequence[tuple[Board, dict[Any, Row]]],
) -> tuple[list[tuple[Board, dict[Any, Row]]], list[tuple[str, str]]]:
    """The boards without those that hold another one's images, and these with that one's name.

    Friedman's test takes datasets for independent. ``X-anything`` with the generators of ``X`` is
    X made once more by another pipeline; of such the one with most rows is kept, X where equal.
    """
    kept: list[tuple[Board, dict[Any, Row]]] = []
    again: list[tuple[str, str]] = []
    for board, rows in sorted(found, key=lambda pair: (-len(pair[1]), pair[0].name)):
        other = next((there.name for there, _ in kept if _same_images(board, there)), None)
        if other is None:
            kept.append((board, rows))
        else:
            again.append((board.name, other))
    order = [board.name for board, _ in found]
    return sorted(kept, key=lambda pair: order.index(pair[0].name)), sorted(again)


def _same_images(one: Board, other: Board) -> bool:
    short, long = sorted((one.name, other.name), key=len)
    return long.startswith(f"{short}-") and _generators(one) == _generators(other)


def _generators(board: Board) -> set[str]:
    return {source.name for source in board.dataset.sources if source.family != "Real"}


def _own_splits(board: Board, budget: str) -> Section | None:
    """The section by the newest rules on the dataset's own splits."""
    return next((s for s in board.sections if s.budget == budget and s.folds is None), None)


def _scored(section: Section) -> list[Row]:
    return [row for row in section.rows if row.value is not None]
