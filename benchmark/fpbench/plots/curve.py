"""A score against something varied, with bands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpbench.plots.figure import add_legend, drawn_names, source_colours, written_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    numbers = all(not isinstance(x, str) for curve in curves.values() for x in curve.x)
    with written_figure(path, 6.4, 4.2) as figure:
        axes = figure.subplots()
        ticks: list[float | str] = []
        handles: list[Line2D] = []
        for curve in curves.values():
            ticks += [x for x in curve.x if x not in ticks]
        for curve, colour in zip(curves.values(), source_colours(len(curves)), strict=True):
            places = [float(x) if numbers else float(ticks.index(x)) for x in curve.x]
            handles.append(_draw(axes, places, curve, colour))
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


def plot_panels(path: Path, panels: Mapping[str, Curve], title: str, ylabel: str) -> None:
    """Draw small figures side by side, one line with its band in each, all of one height.

    Args:
        path: PNG file to write.
        panels: Name to curve, whose places are set side by side.
        title: Title of all.
        ylabel: What is measured.
    """
    columns = math.ceil(math.sqrt(len(panels)))
    rows = -(-len(panels) // columns)
    with written_figure(path, 2.6 * columns, 2.1 * rows + 0.4) as figure:
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        (colour,) = source_colours(1)
        for axes, (name, curve) in zip(grid.flat, panels.items(), strict=False):
            _draw(axes, [float(place) for place in range(len(curve.x))], curve, colour)
            axes.set_xticks(range(len(curve.x)), drawn_names(map(str, curve.x)), fontsize=7)
            axes.set_title(drawn_names([name])[0], fontsize=9)
            axes.grid(alpha=0.25)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes in grid[:, 0]:
            axes.set_ylabel(ylabel, fontsize=8)
        figure.suptitle(title, fontsize=10)


def _draw(axes: Axes, places: Sequence[float], curve: Curve, colour: Any) -> Line2D:
    """One line with its band and its dotted chance level."""
    import numpy as np

    value, low, high = (
        np.array([np.nan if v is None else v for v in part], float)
        for part in (curve.value, curve.low, curve.high)
    )
    axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
    (line,) = axes.plot(places, value, color=colour, marker="o", markersize=4)
    if any(level is not None for level in curve.chance):
        chance = [np.nan if level is None else level for level in curve.chance]
        axes.plot(places, chance, color=colour, linestyle=":", linewidth=1)
    return line
