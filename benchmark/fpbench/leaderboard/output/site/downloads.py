"""A board as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Container
from dataclasses import fields
from typing import Any

from fpbench.leaderboard.output.markdown import plain
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import Row, Section
from fpbench.leaderboard.view.columns import GROUPS
from fpbench.metrics.score import Score

_COST = (
    "fit_seconds",
    "images_per_second",
    "total_seconds",
    "peak_memory_bytes",
    "parameters",
    "device",
)


def _keys(board: Board) -> list[str]:
    """Keys of all scores on a board, those of the tables first."""
    known = [column.key for group in GROUPS for column in group.columns]
    present = {key for section in board.sections for row in section.rows for key in row.scores}
    return [key for key in known if key in present] + sorted(present - set(known))


def cell(value: object) -> str:
    """A CSV cell that no spreadsheet takes for a formula; numbers to six digits.

    >>> cell("=1+1"), cell("prnu:wavelet"), cell(-0.5), cell(None)
    ("'=1+1", 'prnu:wavelet', '-0.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, int | float):
        return f"{value:.6g}"
    text = plain(value)
    return f"'{text}" if text[:1] in "=+-@\t\r" and text else text


def board_csv(board: Board) -> str:
    """One line a row: method, protocol, every score with its interval and chance, cost."""
    keys = _keys(board)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        [
            *("dataset", "revision", "method", "variant", "parameters", "version", "package"),
            *("budget", "folds", "scoring", "seeds", "rank_low", "rank_high", "unranked"),
            *(f"{key}{part}" for key in keys for part in ("", "_ci_low", "_ci_high", "_chance")),
            *_COST,
            "records",
        ]
    )
    for section in board.sections:
        for row in section.rows:
            values: list[object] = [
                board.name,
                board.dataset.revision,
                row.job.method,
                row.job.variant,
                json.dumps(row.job.params, sort_keys=True) if row.job.params else "",
                row.job.method_version,
                row.method.package,
                section.budget,
                section.folds,
                section.scoring,
                " ".join(map(str, row.seeds)),
                None if row.rank is None else row.rank.low,
                None if row.rank is None else row.rank.high,
                row.unranked,
            ]
            for key in keys:
                values += _numbers(row.scores.get(key))
            values += [getattr(row.cost, name, None) for name in _COST]
            values.append(" ".join(entry.link for entry in row.entries))
            writer.writerow([cell(value) for value in values])
    return stream.getvalue()


def _numbers(score: Score | None) -> list[object]:
    if score is None:
        return [None] * 4
    return [score.value, score.ci_low, score.ci_high, score.chance]


def board_json(board: Board) -> str:
    """The board with all scores, in the order of accuracy.

    A score is its value and the ends of its interval. Chance levels stand once a section, but for
    those in which its rows differ: they stand with the rows.
    """
    document = {
        "dataset": _dataset(board),
        "sections": [_section(section) for section in board.sections],
        "declined": [
            {
                "method": entry.record.job.method,
                "variant": entry.record.job.variant,
                "budget": entry.record.job.budget,
                "reason": entry.record.reason,
                "record": entry.link,
            }
            for entry in board.declined
        ],
    }
    return json.dumps(document, separators=(",", ":"), sort_keys=True) + "\n"


def _dataset(board: Board) -> dict[str, Any]:
    dataset = board.dataset
    return {
        **{f.name: getattr(dataset, f.name) for f in fields(dataset)},
        "sources": [source.model_dump(mode="json") for source in dataset.sources],
    }


def _rounded(value: float | None) -> float | None:
    """Six digits; records hold all."""
    return None if value is None else float(f"{value:.6g}")


def _section(section: Section) -> dict[str, Any]:
    levels: dict[str, set[float | None]] = {}
    for row in section.rows:
        for key, score in row.scores.items():
            if score.value is not None:
                levels.setdefault(key, set()).add(_rounded(score.chance))
    shared = {key: found.pop() for key, found in levels.items() if len(found) == 1}
    return {
        "budget": section.budget,
        "folds": section.folds,
        "scoring": section.scoring,
        "chance": shared,
        "rows": [_row(row, shared) for row in section.rows],
    }


def _row(row: Row, shared: Container[str]) -> dict[str, Any]:
    own = {
        key: _rounded(score.chance)
        for key, score in row.scores.items()
        if score.value is not None and key not in shared
    }
    return {
        "method": row.job.method,
        "variant": row.job.variant,
        "params": row.job.params,
        "version": row.job.method_version,
        "package": row.method.package,
        "rank": None if row.rank is None else list(row.rank),
        "unranked": row.unranked,
        "seeds": list(row.seeds),
        "scores": {
            key: [_rounded(x) for x in (score.value, score.ci_low, score.ci_high)]
            for key, score in row.scores.items()
            if score.value is not None
        },
        "records": [entry.link for entry in row.entries],
    } | ({"chance": own} if own else {})
