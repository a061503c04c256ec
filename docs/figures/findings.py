"""Draws the figures of docs/findings.md from the committed records, and prints their numbers.

Run it from the root of a checkout: ``python docs/figures/findings.py``. Nothing is trained: every
number is one of a record in ``leaderboards/``, or computed from its stored predictions. What tests
stand behind the sentences is printed by ``claims.py`` beside it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from matplotlib.axes import Axes

from fpbench.leaderboard.output.build import read_leaderboards
from fpbench.leaderboard.ranking.across import across_datasets
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.judged import read_confusion
from fpbench.leaderboard.ranking.rows import Row, Section
from fpbench.leaderboard.ranking.structure import aligned, design_of, read_structure
from fpbench.leaderboard.view.columns import rank_text, score_text
from fpbench.metrics.ranking import friedman
from fpbench.metrics.score import Score
from fpbench.plots.figure import written_figure

HERE = Path(__file__).parent
DATASETS = ("gm-mini", "gm-cifar10", "gm-celeba", "gm-ffhq", "gm-ffhq-equal")
BUDGET = "small"
FOLDS = 10
RELATED = {"manifpt", "riemann", "resnet20"}
INPUTS = {
    "manifpt:rgb": "x − nearest real image\n(manifpt:rgb)",
    "resnet20:vae-residual": "x − VAE(x)\n(resnet20:vae-residual)",
    "riemann:geodesic": "x − centre of real neighbours\n(riemann:geodesic)",
    "resnet20:image": "x\n(resnet20:image)",
    "resnet20:highpass": "x − blurred x\n(resnet20:highpass)",
}
"""What the same network is shown by rows that differ in nothing else."""


def section_of(board: Board, folds: int | None = None) -> Section | None:
    """The rows of budget small of a board."""
    found = [s for s in board.sections if s.budget == BUDGET and s.folds == folds]
    return found[0] if found else None


def measured(row: Row, key: str) -> Score | None:
    """A score of a row, if it has a value."""
    score = row.scores.get(key)
    return None if score is None or score.value is None else score


def rows_of(board: Board) -> list[Row]:
    """The rows of budget small of a board that have an accuracy, best first."""
    section = section_of(board)
    return [] if section is None else [row for row in section.rows if measured(row, "accuracy")]


def single_values(row: Row) -> list[float]:
    """Accuracy of each record of a row, by fold and seed."""
    return [entry.record.scores["accuracy"].value or 0.0 for entry in row.entries]


def draw_score(axes: Axes, place: int, score: Score) -> None:
    """A dot with its interval, on the line `place` of a panel."""
    low, high = score.ci_low or 0.0, score.ci_high or 0.0
    axes.plot([low, high], [place, place], color="tab:blue", linewidth=2.5)
    axes.plot(score.value, place, "o", color="tab:blue", markersize=5)


def draw_accuracy(boards: Sequence[Board]) -> None:
    """One dot a row and dataset, with its interval, beside chance and metadata."""
    columns = min(2, len(boards))
    lines = [boards[k : k + columns] for k in range(0, len(boards), columns)]
    heights = [max(len(rows_of(board)) for board in line) + 3 for line in lines]
    with written_figure(HERE / "findings-accuracy.png", 10.5, 0.2 * sum(heights) + 1) as figure:
        panels = figure.subplots(len(lines), columns, squeeze=False, height_ratios=heights)
        for axes in panels.ravel()[len(boards) :]:
            axes.set_axis_off()
        for axes, board in zip(panels.ravel(), boards, strict=False):
            rows = rows_of(board)
            for place, row in enumerate(rows):
                score = row.scores["accuracy"]
                probe = measured(row, "probe_accuracy")
                draw_score(axes, place, score)
                if probe is not None:
                    axes.plot(probe.value, place, "|", color="tab:orange", markersize=9)
                values = [f"{value:.3f}" for value in single_values(row)]
                click.echo(
                    f"{board.name:12s} {row.label:28s} rank {rank_text(row)}, accuracy "
                    f"{score_text(score)}, seeds {' '.join(values)}"
                )
            axes.axvline(board.chance, color="black", linestyle=":", linewidth=1)
            if board.shortcut is not None:
                axes.axvline(board.shortcut, color="tab:red", linestyle="--", linewidth=1)
            axes.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=8)
            axes.invert_yaxis()
            axes.set_xlim(0, 1.01)
            axes.set_xlabel("balanced accuracy among generators")
            generators = len(board.dataset.sources) - 1
            axes.set_title(f"{board.name}, {generators} generators", fontsize=10)
        figure.suptitle(
            "Blue: accuracy, 95 % interval. Orange: common probe. Dotted: chance. "
            "Dashed: metadata-only baseline",
            fontsize=9,
        )


def draw_inputs(boards: Sequence[Board]) -> None:
    """What one network makes of the artifacts of different projections, and of none."""
    with written_figure(HERE / "findings-inputs.png", 8, 3.2) as figure:
        panels = figure.subplots(1, len(boards), sharey=True)
        for axes, board in zip(np.atleast_1d(panels), boards, strict=True):
            found = {row.label: row for row in rows_of(board)}
            for place, label in enumerate(INPUTS):
                if label not in found:
                    continue
                row = found[label]
                draw_score(axes, place, row.scores["accuracy"])
                seeds = single_values(row)
                axes.plot(seeds, [place] * len(seeds), "|", color="black", markersize=12)
            axes.set_yticks(range(len(INPUTS)), INPUTS.values(), fontsize=8)
            axes.set_xlim(0.75, 1.005)
            axes.set_xlabel("balanced accuracy among generators")
            axes.set_title(board.name, fontsize=10)
        np.atleast_1d(panels)[0].invert_yaxis()
        figure.suptitle("Blue: 95 % interval; black: single seeds", fontsize=9)


def draw_folds(board: Board) -> None:
    """Accuracy of every fold of cross-validation, and Friedman's test over the folds."""
    section = section_of(board, FOLDS)
    if section is None:
        return
    with written_figure(HERE / "findings-folds.png", 8, 0.55 * len(section.rows) + 1.4) as figure:
        axes = figure.subplots()
        table = []
        for place, row in enumerate(section.rows):
            score, auc = row.scores["accuracy"], row.scores["auc"]
            values = single_values(row)
            table.append(values)
            axes.plot(values, [place] * len(values), "|", color="grey", markersize=12)
            draw_score(axes, place, score)
            click.echo(
                f"{board.name}, {len(values)} folds: {row.label:20s} rank {rank_text(row)}, "
                f"accuracy {score_text(score)}, deviation of folds {np.std(values, ddof=1):.3f}, "
                f"AUC {score_text(auc)}"
            )
        axes.axvline(board.chance, color="black", linestyle=":", linewidth=1)
        axes.set_yticks(range(len(section.rows)), [row.label for row in section.rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.01)
        axes.set_xlabel("balanced accuracy among generators")
        axes.set_title(f"{board.name}, {FOLDS} folds (grey), mean and 95 % interval", fontsize=10)
    if len(table) > 1 and len({len(values) for values in table}) == 1:
        test = friedman(np.transpose(table))
        ranks = zip(section.rows, test.average_ranks, strict=True)
        told = ", ".join(f"{row.label} {rank:.1f}" for row, rank in ranks)
        click.echo(
            f"{board.name}: mean ranks over folds {told}; Friedman p {test.p_value:.2g}, critical "
            f"difference {test.critical_difference:.2f}"
        )


def tell_ranks(boards: Sequence[Board]) -> None:
    """Mean ranks over the datasets."""
    for comparison in across_datasets(boards):
        click.echo(
            f"{len(comparison.boards)} datasets: "
            + ", ".join(f"{label} {rank:.2f}" for label, rank, _ in comparison.lines())
            + f"; Friedman p {comparison.test.p_value:.2g}, critical difference "
            f"{comparison.test.critical_difference:.2f}"
        )


def apart(
    labels: Sequence[tuple[float, float, str]], width: float = 0.24, height: float = 0.026
) -> list[tuple[float, float, str]]:
    """Labels (x, y, text), moved down where one would lie on another."""
    placed: list[tuple[float, float, str]] = []
    for x, y, text in sorted(labels, key=lambda label: -label[1]):
        while any(abs(x - a) < width and abs(y - b) < height for a, b, _ in placed):
            y -= height / 4
        placed.append((x, y, text))
    return placed


def draw_bags(boards: Sequence[Board]) -> None:
    """Accuracy of single images and of bags of 10, one line a row."""
    with written_figure(HERE / "findings-bags.png", 10, 5.2) as figure:
        panels = figure.subplots(1, len(boards), sharey=True)
        for axes, board in zip(np.atleast_1d(panels), boards, strict=True):
            section = section_of(board)
            labels: list[tuple[float, float, str]] = []
            for row in () if section is None else section.rows:
                one, ten = measured(row, "accuracy"), measured(row, "accuracy_bag10")
                if one is None or ten is None:
                    continue
                sets = row.job.method == "dsf"
                axes.plot(
                    [one.value or 0], [ten.value or 0], "s" if sets else "o",
                    color="tab:red" if sets else "tab:blue", markersize=6 if sets else 4,
                )  # fmt: skip
                crowded = (ten.value or 0) > 0.94 and not sets  # at the top, where all are alike
                if not crowded:
                    labels.append((one.value or 0, ten.value or 0, row.label))
                click.echo(
                    f"{board.name:12s} {row.label:28s} single {one.value:.3f}, bags of 10 "
                    f"{ten.value:.3f} [{ten.ci_low:.3f}, {ten.ci_high:.3f}]"
                )
            for x, y, label in apart(labels):
                axes.annotate(label, (x + 0.012, y - 0.006), fontsize=6.5)
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
        figure.suptitle("% of a source's images attributed correctly, best 14 rows", fontsize=9)
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
            axes.set_title(board.name, fontsize=9)
            mean = np.mean(table, axis=0)
            told = [f"{name} {share:.2f}" for name, share in zip(names, mean, strict=True)]
            click.echo(f"{board.name}: mean over rows, attributed correctly: {', '.join(told)}")


def tell_pairs(boards: Sequence[Board]) -> None:
    """Differences on the same images, with intervals of each alone and p-values.

    Of variants of one method, and of the two that read deviations from real images.
    """
    sections = [(board, section_of(board, folds)) for board in boards for folds in (None, FOLDS)]
    for board, section in sections:
        if section is None or section.pairs is None:
            continue
        pairs = section.pairs
        for a, first in enumerate(section.paired):
            for b, second in enumerate(section.paired):
                one, other = section.rows[first], section.rows[second]
                both = {one.method.name, other.method.name}
                if a < b and (len(both) == 1 or both <= RELATED):
                    click.echo(
                        f"{board.name}, {section.title.lower()}: {one.label} − {other.label} = "
                        f"{pairs.difference[a, b]:+.3f} ± {pairs.halfwidth[a, b]:.3f}, "
                        f"p {pairs.p_value[a, b]:.2g}, after Holm {pairs.corrected[a, b]:.2g}"
                        f"{' (of this run)' if pairs.one_run[a, b] else ''}"
                    )


def main() -> int:
    """Draw the figures and tell their numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("leaderboards"))
    root = parser.parse_args().root
    leaderboards = read_leaderboards(root)
    for problem in leaderboards.problems:
        click.echo(str(problem), err=True)
    boards = [board for name in DATASETS for board in leaderboards.boards if board.name == name]
    many = [board for board in boards if len(board.dataset.sources) > 4]
    draw_accuracy(boards)
    tell_ranks(boards)
    tell_pairs(boards)
    draw_inputs(boards[:2])
    draw_folds(boards[0])
    draw_bags(boards[:2])
    draw_alignment(many)
    draw_sources(many)
    return 0


if __name__ == "__main__":
    sys.exit(main())
