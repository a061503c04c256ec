"""Confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.plots.figure import drawn_names, written_figure

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def plot_confusion(path: Path, matrix: ArrayLike, names: Sequence[str], title: str) -> None:
    """Draw a confusion matrix in percent of each row.

    Args:
        path: PNG file to write.
        matrix: Counts of shape (K, K): rows are true sources, columns are predictions.
        names: K names of sources.
        title: Title.
    """
    import numpy as np

    counts = np.asarray(matrix, float)
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.6 + 0.48 * len(names)
    with written_figure(path, side + 1, side) as figure:
        axes = figure.subplots()
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for row, column in np.ndindex(*share.shape):
            colour = "white" if share[row, column] > 55 else "black"
            axes.text(
                column, row, f"{share[row, column]:.0f}", ha="center", va="center", color=colour,
                fontsize=8,
            )  # fmt: skip
        shown = drawn_names(names)
        axes.set_xticks(range(len(names)), shown, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), shown)
        axes.set_xlabel("attributed to")
        axes.set_ylabel("true source")
        axes.set_title(title, fontsize=10)
        figure.colorbar(image, ax=axes, label="% of the true source's images", shrink=0.8)
