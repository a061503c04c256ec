"""Correlation matrix of source fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.plots.figure import drawn_names, written_figure

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def plot_correlations(path: Path, matrix: ArrayLike, names: Sequence[str], title: str) -> None:
    """Draw a correlation matrix of source fingerprints as a heat map.

    Args:
        path: PNG file to write.
        matrix: Shape (M, M), values in [−1, 1].
        names: M names of sources.
        title: Title.
    """
    import numpy as np

    values = np.asarray(matrix, float)
    side = 2.6 + 0.48 * len(names)
    with written_figure(path, side + 1, side) as figure:
        axes = figure.subplots()
        image = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1)
        for row, column in np.ndindex(*values.shape):
            colour = "white" if abs(values[row, column]) > 0.6 else "black"
            axes.text(
                column, row, f"{values[row, column]:.2f}".replace("0.", "."), ha="center",
                va="center", color=colour, fontsize=7,
            )  # fmt: skip
        shown = drawn_names(names)
        axes.set_xticks(range(len(names)), shown, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), shown)
        axes.set_title(title, fontsize=10)
        figure.colorbar(image, ax=axes, label="correlation", shrink=0.8)
