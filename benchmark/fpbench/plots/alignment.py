"""How well clusters of sources follow each of their design choices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fpbench.plots.figure import drawn_names, written_figure


def plot_alignment(
    path: Path,
    attributes: Sequence[str],
    ami: Sequence[float | None],
    p_values: Sequence[float | None],
    p_within: Sequence[float | None],
    title: str,
) -> None:
    """Draw one bar an attribute: adjusted mutual information, and its corrected p-values.

    Args:
        path: PNG file to write.
        attributes: A names.
        ami: A values at most 1, 0 by chance; None is written as "not defined".
        p_values: A p-values corrected for their number, or None.
        p_within: The same of permutations within families, or None.
        title: Title.
    """
    count = len(attributes)
    with written_figure(path, 8.2, 1.6 + 0.42 * count) as figure:
        axes = figure.subplots()
        shown = [0.0 if value is None else value for value in ami]
        colours = ["tab:blue" if p is not None and p <= 0.05 else "lightgrey" for p in p_values]
        axes.barh(range(count), shown, color=colours, height=0.62)
        axes.axvline(0, color="black", linewidth=1)
        for row, (value, p, within) in enumerate(zip(ami, p_values, p_within, strict=True)):
            if value is None:
                text = "not defined"
            else:
                text = f"{value:.2f}, p {_rounded(p)}, within families {_rounded(within)}"
            axes.text(max(0.0, shown[row]) + 0.02, row, text, va="center", fontsize=8)
        axes.set_yticks(range(count), drawn_names(attributes), fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(min(-0.25, *shown) - 0.05, 1.9)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
        axes.set_xlabel("adjusted mutual information (0 by chance); blue: p ≤ 0.05 after Holm")
        axes.set_title(title, fontsize=10)


def _rounded(p: float | None) -> str:
    return "n/a" if p is None else f"{p:.3f}"
