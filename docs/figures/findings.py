"""Draws the figures of docs/findings.md from the committed records, and prints their numbers.

Run it from the root of a checkout: ``python docs/figures/findings.py``. Nothing is trained: every
number is one of a record in ``leaderboards/``, or computed from its stored predictions.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from fpbench.leaderboard.boards import Board, make_boards
from fpbench.leaderboard.collect import collect
from fpbench.leaderboard.judged import read_confusion
from fpbench.leaderboard.rows import Row, Section
from fpbench.leaderboard.structure import aligned, design_of, read_structure
from fpbench.metrics.score import Score
from fpbench.plots.figure import written_figure

HERE = Path(__file__).parent
DATASETS = ("gm-mini", "gm-cifar10")
BUDGET = "small"


def section_of(board: Board, folds: int | None = None) -> Section | None:
    """The rows of budget small of a board."""
    found = [s for s in board.sections if s.budget == BUDGET and s.folds == folds]
    return found[0] if found else None


def measured(row: Row, key: str) -> Score | None:
    """A score of a row, if it has a value."""
    score = row.scores.get(key)
    return None if score is None or score.value is None else score


def draw_accuracy(boards: Sequence[Board]) -> None:
    """One dot a row and dataset, with its interval, beside chance and the shortcut probe."""
    tables = {board.name: section_of(board) for board in boards}
    with written_figure(HERE / "findings-accuracy.png", 10.5, 8.4) as figure:
        panels = figure.subplots(1, len(boards))
        for axes, board in zip(np.atleast_1d(panels), boards, strict=True):
            section = tables[board.name]
            rows = [] if section is None else [r for r in section.rows if measured(r, "accuracy")]
            for place, row in enumerate(rows):
                score = row.scores["accuracy"]
                probe = measured(row, "probe_accuracy")
                low, high = score.ci_low or 0.0, score.ci_high or 0.0
                axes.plot([low, high], [place, place], color="tab:blue", linewidth=2.5)
                axes.plot(score.value, place, "o", color="tab:blue", markersize=5)
                if probe is not None:
                    axes.plot(probe.value, place, "|", color="tab:orange", markersize=9)
                click.echo(
                    f"{board.name:12s} {row.label:28s} rank {row.rank} accuracy {score.value:.3f} "
                    f"[{low:.3f}, {high:.3f}] seeds {len(row.seeds)}"
                )
            axes.axvline(board.chance, color="black", linestyle=":", linewidth=1)
            if board.shortcut is not None:
                axes.axvline(board.shortcut, color="tab:red", linestyle="--", linewidth=1)
            axes.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=8)
            axes.invert_yaxis()
            axes.set_xlim(0, 1)
            axes.set_xlabel("balanced accuracy among generators")
            generators = len(board.dataset.sources) - 1
            axes.set_title(f"{board.name}, {generators} generators", fontsize=10)
        figure.suptitle(
            "Blue: accuracy, 95 % interval. Orange: common probe. Dotted: chance. "
            "Dashed: shortcut probe",
            fontsize=9,
        )


def draw_bags(boards: Sequence[Board]) -> None:
    """Accuracy of single images and of bags of 10, one line a row."""
    with written_figure(HERE / "findings-bags.png", 10, 5.2) as figure:
        panels = figure.subplots(1, len(boards), sharey=True)
        for axes, board in zip(np.atleast_1d(panels), boards, strict=True):
            section = section_of(board)
            for row in () if section is None else section.rows:
                one, ten = measured(row, "accuracy"), measured(row, "accuracy_bag10")
                if one is None or ten is None:
                    continue
                sets = row.method.name == "dsf"
                axes.plot(
                    [one.value or 0], [ten.value or 0], "s" if sets else "o",
                    color="tab:red" if sets else "tab:blue", markersize=6 if sets else 4,
                )  # fmt: skip
                crowded = (ten.value or 0) > 0.94 and not sets  # at the top, where all are alike
                axes.annotate(
                    "" if crowded else row.label, (one.value or 0, ten.value or 0), fontsize=6.5,
                    xytext=(4, -3), textcoords="offset points",
                )  # fmt: skip
                click.echo(
                    f"{board.name:12s} {row.label:28s} single {one.value:.3f}, bags of 10 "
                    f"{ten.value:.3f} [{ten.ci_low:.3f}, {ten.ci_high:.3f}]"
                )
            axes.plot([0, 1], [0, 1], color="lightgrey", linewidth=1)
            axes.set_xlabel("accuracy, single images")
            axes.set_title(board.name, fontsize=10)
        np.atleast_1d(panels)[0].set_ylabel("accuracy, bags of 10")


def draw_alignment(boards: Sequence[Board]) -> None:
    """Adjusted mutual information of clusters with each attribute, one dot a row."""
    with written_figure(HERE / "findings-alignment.png", 10, 4.6) as figure:
        panels = figure.subplots(1, len(boards), sharey=True)
        for axes, board in zip(np.atleast_1d(panels), boards, strict=True):
            design = design_of(board.dataset)
            section = section_of(board)
            rng = np.random.default_rng(0)
            for row in () if section is None else section.rows:
                structure = read_structure(row, board.dataset)
                if structure is None:
                    continue
                for place, found in enumerate(aligned(structure, design)):
                    if found.ami is None:
                        continue
                    sure = found.p_holm is not None and found.p_holm <= 0.05
                    axes.plot(
                        place + rng.uniform(-0.25, 0.25), found.ami, "o",
                        color="tab:red" if sure else "grey", markersize=6 if sure else 4,
                    )  # fmt: skip
                    if sure or (found.p_value or 1) <= 0.05:
                        within = found.p_within_family_holm
                        click.echo(
                            f"{board.name:12s} {row.label:28s} {found.attribute:14s} "
                            f"AMI {found.ami:.3f} p {found.p_value:.4f} Holm {found.p_holm:.3f} "
                            f"within families {within if within is None else round(within, 3)}"
                        )
            axes.axhline(0, color="black", linewidth=1)
            axes.set_xticks(range(len(design)), list(design), rotation=35, ha="right", fontsize=8)
            axes.set_title(board.name, fontsize=10)
        np.atleast_1d(panels)[0].set_ylabel("AMI of clusters (0: chance)")


def draw_sources(boards: Sequence[Board]) -> None:
    """How often each method names each source rightly."""
    with written_figure(HERE / "findings-sources.png", 11, 6.2) as figure:
        panels = figure.subplots(1, len(boards))
        for axes, board in zip(np.atleast_1d(panels), boards, strict=True):
            section = section_of(board)
            labels, table = [], []
            for row in () if section is None else section.rows[:14]:
                matrix = read_confusion(row.entries)
                if matrix is None:
                    continue
                labels.append(row.label)
                table.append(np.diag(matrix) / matrix.sum(axis=1))
            names = [source.name for source in board.dataset.sources]
            axes.imshow(np.array(table), vmin=0, vmax=1, cmap="viridis", aspect="auto")
            for y, line in enumerate(table):
                for x, value in enumerate(line):
                    axes.text(x, y, f"{100 * value:.0f}", ha="center", va="center", fontsize=5.5,
                              color="white" if value < 0.6 else "black")  # fmt: skip
            axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=7)
            axes.set_yticks(range(len(labels)), labels, fontsize=7)
            axes.set_title(f"{board.name}: % of a source's test images named rightly", fontsize=9)
            mean = np.mean(table, axis=0)
            told = [f"{name} {share:.2f}" for name, share in zip(names, mean, strict=True)]
            click.echo(f"{board.name}: mean over rows of what is named rightly: {', '.join(told)}")


def tell_pairs(boards: Sequence[Board]) -> None:
    """Differences between variants of one method on the same images, with corrected p-values."""
    for board in boards:
        section = section_of(board)
        if section is None or section.pairs is None:
            continue
        pairs = section.pairs
        for a, first in enumerate(section.paired):
            for b, second in enumerate(section.paired):
                one, other = section.rows[first], section.rows[second]
                if a < b and one.method.name == other.method.name:
                    click.echo(
                        f"{board.name}: {one.label} − {other.label} = "
                        f"{pairs.difference[a, b]:+.3f} ± {pairs.halfwidth[a, b]:.3f}, "
                        f"p {pairs.corrected[a, b]:.3f} (Holm)"
                    )


def main() -> int:
    """Draw the figures and tell their numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("leaderboards"))
    root = parser.parse_args().root
    every, problems = make_boards(collect(root))
    for problem in problems:
        click.echo(str(problem), err=True)
    boards = [board for name in DATASETS for board in every if board.name == name]
    draw_accuracy(boards)
    tell_pairs(boards)
    draw_bags(boards)
    draw_alignment(boards)
    draw_sources(boards)
    return 0


if __name__ == "__main__":
    sys.exit(main())
