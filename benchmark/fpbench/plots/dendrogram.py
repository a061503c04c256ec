"""Dendrogram of sources over the heat map of their correlations, in the order of the leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.plots.figure import FAMILY_MARKERS, drawn_names, source_colours, written_figure

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def plot_dendrogram(
    path: Path,
    linkage: ArrayLike,
    matrix: ArrayLike,
    names: Sequence[str],
    families: Sequence[str],
    title: str,
    cophenetic: float | None = None,
) -> None:
    """Draw the tree of M sources above their correlations; a label's colour is its family's.

    Args:
        path: PNG file to write.
        linkage: Shape (M − 1, 4), as SciPy's.
        matrix: Shape (M, M), correlations in [−1, 1].
        names: M names of sources.
        families: Their M families, written behind the names.
        title: Title.
        cophenetic: Cophenetic correlation to state, if known.
    """
    import numpy as np
    from scipy.cluster.hierarchy import dendrogram

    values = np.asarray(matrix, float)
    tree = dendrogram(np.asarray(linkage, float), no_plot=True)
    order = tree["leaves"]
    ordered = values[np.ix_(order, order)]
    shown = drawn_names(names)
    labels = [f"{shown[k]} ({families[k]})" for k in order]
    colours = dict(zip(FAMILY_MARKERS, source_colours(len(FAMILY_MARKERS)), strict=True))
    side = 3.2 + 0.42 * len(names)
    with written_figure(path, side + 1.6, side + 1.8) as figure:
        top, below = figure.subplots(2, 1, height_ratios=[1.6, 0.42 * len(names) + 1.2])
        # SciPy puts the i-th leaf at 5 + 10 i; the heat map puts its column at i.
        for xs, ys in zip(tree["icoord"], tree["dcoord"], strict=True):
            top.plot((np.asarray(xs) - 5) / 10, ys, color="black", linewidth=1.2)
        top.set_xlim(-0.5, len(names) - 0.5)
        top.set_ylim(bottom=0)
        top.set_xticks([])
        top.set_ylabel("1 − correlation", fontsize=8)
        for edge in ("top", "right", "bottom"):
            top.spines[edge].set_visible(False)
        note = "" if cophenetic is None else f"\ncophenetic correlation {cophenetic:.2f}"
        top.set_title(f"{title}{note}", fontsize=10)
        image = below.imshow(ordered, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        if len(names) <= 16:
            for row, column in np.ndindex(*ordered.shape):
                colour = "white" if abs(ordered[row, column]) > 0.6 else "black"
                below.text(
                    column, row, f"{ordered[row, column]:.2f}".replace("0.", "."), ha="center",
                    va="center", color=colour, fontsize=7,
                )  # fmt: skip
        below.set_xticks(range(len(names)), labels, rotation=45, ha="right", fontsize=8)
        below.set_yticks(range(len(names)), labels, fontsize=8)
        for ticks in (below.get_xticklabels(), below.get_yticklabels()):
            for tick, leaf in zip(ticks, order, strict=True):
                tick.set_color(colours[families[leaf]])
        figure.colorbar(image, ax=below, label="correlation", shrink=0.8)
