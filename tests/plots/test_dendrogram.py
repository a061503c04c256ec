"""Figures of structure: what is drawn is where the arrays say."""

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from fpbench.plots import alignment, dendrogram
from fpbench.plots.alignment import plot_alignment
from fpbench.plots.dendrogram import plot_dendrogram

MATRIX = np.array([[1, 0.1, 0.8, 0.0], [0.1, 1, 0.2, 0.6], [0.8, 0.2, 1, 0.1], [0, 0.6, 0.1, 1]])
TREE = linkage(squareform(1 - MATRIX), "average", optimal_ordering=True)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn, kept for inspection."""
    kept: list[Any] = []
    for module in (dendrogram, alignment):
        original = module.written_figure

        @contextmanager
        def keeping(*arguments: Any, original: Any = original) -> Any:
            with original(*arguments) as figure:
                kept.append(figure)
                yield figure

        monkeypatch.setattr(module, "written_figure", keeping)
    return kept


def test_heat_map_and_labels_are_in_the_order_of_the_leaves(
    tmp_path: Path, drawn: list[Any]
) -> None:
    path = tmp_path / "tree.png"
    families = ["GAN", "VAE", "GAN", "VAE"]
    plot_dendrogram(path, TREE, MATRIX, list("abcd"), families, "title", 0.9)
    assert path.read_bytes().startswith(b"\x89PNG")
    order = leaves_list(TREE)
    top, below = drawn[0].axes[:2]
    np.testing.assert_allclose(below.images[0].get_array(), MATRIX[np.ix_(order, order)])
    texts = [tick.get_text() for tick in below.get_xticklabels()]
    assert texts == [f"{'abcd'[k]} ({families[k]})" for k in order]
    # The lowest merge of the tree stands above the two leaves that are most alike.
    lowest = min(top.lines, key=lambda line: max(line.get_ydata()))
    assert sorted(order[round(x)] for x in set(lowest.get_xdata())) == [0, 2]
    assert max(lowest.get_ydata()) == pytest.approx(0.2)
    assert "0.90" in top.get_title()


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        plot_dendrogram(tmp_path / name, TREE, MATRIX, list("abcd"), ["GAN"] * 4, "t")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_alignment_bars_have_their_lengths_and_say_what_is_undefined(
    tmp_path: Path, drawn: list[Any]
) -> None:
    plot_alignment(
        tmp_path / "a.png", ["loss", "skip"], [0.4, None], [0.03, None], [None, None], "title"
    )
    axes = drawn[0].axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.4, 0.0]
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["0.40, p 0.030, within families n/a", "not defined"]
