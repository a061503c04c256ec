"""Curves: points, bands and chance levels are where the numbers say."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench.plots import curve
from fpbench.plots.curve import Curve, plot_curves, plot_panels


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    kept: list[Any] = []
    original = curve.written_figure

    @contextmanager
    def keeping(*arguments: Any) -> Any:
        with original(*arguments) as figure:
            kept.append(figure)
            yield figure

    monkeypatch.setattr(curve, "written_figure", keeping)
    return kept


def test_missing_values_leave_a_gap(tmp_path: Path, drawn: list[Any]) -> None:
    line = Curve([1, 10, 100], [0.5, None, 0.9], [0.4, None, 0.8], [0.6, None, 1.0], [0.25] * 3)
    plot_curves(tmp_path / "c.png", {"accuracy": line}, "t", "bag size", "score")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    (axes,) = drawn[0].axes
    values, chance = axes.lines
    np.testing.assert_array_equal(values.get_xdata(), [1, 10, 100])
    np.testing.assert_array_equal(values.get_ydata(), [0.5, np.nan, 0.9])
    np.testing.assert_array_equal(chance.get_ydata(), [0.25] * 3)
    assert axes.get_xscale() == "log"
    band = axes.collections[0].get_paths()[0].vertices
    assert {0.4, 0.6} <= set(band[:, 1].tolist())


def test_names_are_set_side_by_side(tmp_path: Path, drawn: list[Any]) -> None:
    line = Curve(["smoke", "small"], [0.5, 0.7], [0.4, 0.6], [0.6, 0.8])
    plot_curves(tmp_path / "c.png", {"accuracy": line}, "t", "budget", "score")
    (axes,) = drawn[0].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["smoke", "small"]
    assert len(axes.lines) == 1


def test_panels_share_their_height_and_none_is_left_over(tmp_path: Path, drawn: list[Any]) -> None:
    panels = {
        name: Curve(["clean", name], [0.9, value], [0.8, 0.2], [1.0, 0.8], [0.1] * 2)
        for name, value in (("a", 0.5), ("b", 0.3), ("c", 0.7))
    }
    plot_panels(tmp_path / "c.png", panels, "t", "accuracy")
    shown = [axes for axes in drawn[0].axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["a", "b", "c"]
    assert len({axes.get_ylim() for axes in shown}) == 1
    np.testing.assert_array_equal(shown[1].lines[0].get_ydata(), [0.9, 0.3])
    assert [tick.get_text() for tick in shown[2].get_xticklabels()] == ["clean", "c"]
