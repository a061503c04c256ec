"""A score against something varied, with bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.plots.figure import add_legend, drawn_names, source_colours, written_figure

if TYPE_CHECKING:
    from matplotlib.lines import Line2D


@dataclass(frozen=True)
class Curve:
    """One line of a figure; None where there is no value.

    Attributes:
        x: Where it was measured: numbers, or names that are set side by side.
        value: The score there.
        low: Lower end of the band.
        high: Upper end of the band.
        chance: Its chance level there.
    """

    x: Sequence[float | str]
    value: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    chance: Sequence[float | None] = ()


def plot_curves(
    path: Path,
    curves: Mapping[str, Curve],
    title: str,
    xlabel: str,
    ylabel: str,
    *,
    logarithmic: bool = True,
) -> None:
    """Draw lines with bands; the dotted line in a curve's colour is its chance level.

    Args:
        path: PNG file to write.
        curves: Name to curve.
        title: Title.
        xlabel: What is varied.
        ylabel: What is measured.
        logarithmic: Whether numbers are drawn on a logarithmic axis; those below 1 never are.
    """
    import numpy as np

    numbers = all(not isinstance(x, str) for curve in curves.values() for x in curve.x)
    with written_figure(path, 6.4, 4.2) as figure:
        axes = figure.subplots()
        ticks: list[float | str] = []
        handles: list[Line2D] = []
        for curve in curves.values():
            ticks += [x for x in curve.x if x not in ticks]
        for curve, colour in zip(curves.values(), source_colours(len(curves)), strict=True):
            places = [float(x) if numbers else float(ticks.index(x)) for x in curve.x]
            value, low, high = (
                np.array([np.nan if v is None else v for v in part], float)
                for part in (curve.value, curve.low, curve.high)
            )
            axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
            handles += axes.plot(places, value, color=colour, marker="o", markersize=4)
            if any(level is not None for level in curve.chance):
                chance = [np.nan if level is None else level for level in curve.chance]
                axes.plot(places, chance, color=colour, linestyle=":", linewidth=1)
        if not numbers:
            axes.set_xticks(range(len(ticks)), drawn_names(map(str, ticks)))
        elif logarithmic and all(float(tick) >= 1 for tick in ticks):
            axes.set_xscale("log")
            axes.set_xticks([float(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.set_title(title, fontsize=10)
        axes.grid(alpha=0.25)
        add_legend(axes, handles, drawn_names(curves), fontsize=8, frameon=False)
