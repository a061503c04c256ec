"""Names are text in every figure, whatever they are made of."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from scipy.cluster.hierarchy import linkage

from fpbench.images import Source
from fpbench.plots import figure as module
from fpbench.plots.alignment import plot_alignment
from fpbench.plots.confusion import plot_confusion
from fpbench.plots.correlation import plot_correlations
from fpbench.plots.curve import Curve, plot_curves
from fpbench.plots.dendrogram import plot_dendrogram
from fpbench.plots.figure import add_legend, drawn_names, written_figure
from fpbench.plots.strip import plot_strip
from fpbench.plots.tsne import plot_tsne, tsne_map

ODD = [
    "a$x^$",
    r"_\frac{1}{0}",
    "名前",
    "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}gan",
    "g" * 300,
]
UGLY = ["W" * 300, "tab\tand\nline", "\udcff$", r"$\frac{1}{0}$", "\N{RIGHT-TO-LEFT OVERRIDE}dcba"]
TITLE = f"Attribution $x^$\nmanifpt on {'名' * 300}"


def _confusion(path: Path, names: Sequence[str]) -> None:
    plot_confusion(path, np.eye(len(names)), names, TITLE)


def _correlations(path: Path, names: Sequence[str]) -> None:
    plot_correlations(path, np.eye(len(names)), names, TITLE)


def _dendrogram(path: Path, names: Sequence[str]) -> None:
    tree = linkage(np.random.default_rng(0).random((len(names), 3)))
    plot_dendrogram(path, tree, np.eye(len(names)), names, ["GAN"] * len(names), TITLE, 0.9)


def _strip(path: Path, names: Sequence[str]) -> None:
    images = np.zeros((len(names), 8, 8, 3), np.uint8)
    plot_strip(path, images, images.astype(np.float32), names, TITLE)


def _tsne(path: Path, names: Sequence[str]) -> None:
    labels = np.repeat(np.arange(len(names)), 4)
    features = np.random.default_rng(0).normal(size=(len(labels), 3)).astype(np.float32)
    plot_tsne(path, features, labels, [Source(name, "GAN", "x") for name in names], TITLE)


def _alignment(path: Path, names: Sequence[str]) -> None:
    some = [0.3] * len(names)
    plot_alignment(path, names, some, some, some, TITLE)


def _curves(path: Path, names: Sequence[str]) -> None:
    curve = Curve([1, 10], [0.5, 0.6], [0.4, 0.5], [0.6, 0.7], [0.1, 0.1])
    plot_curves(path, dict.fromkeys(names, curve), TITLE, "bag size", "score")


def _steps(path: Path, names: Sequence[str]) -> None:
    some = [0.5] * len(names)
    plot_curves(path, {"accuracy": Curve(names, some, some, some)}, TITLE, "budget", "score")


@pytest.mark.parametrize("names", [ODD, UGLY, ODD[-1:] + UGLY[:1]], ids=["odd", "ugly", "long"])
@pytest.mark.parametrize(
    "draw",
    [_confusion, _correlations, _dendrogram, _strip, _tsne, _alignment, _curves, _steps],
)
def test_every_figure_takes_every_name(
    tmp_path: Path, draw: Callable[[Path, Sequence[str]], None], names: list[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(tmp_path / "figure.png", names)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def _texts(figure: mpl.figure.Figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_text()]


def test_names_stand_in_the_figure_as_they_are(tmp_path: Path) -> None:
    names = [r"_\frac{1}{0}", "a$x^$", "$y$"]
    with written_figure(tmp_path / "f.png", 4, 3) as figure:
        axes = figure.subplots()
        lines = [axes.plot([0, 1], [0, k])[0] for k in range(3)]
        add_legend(axes, lines, drawn_names(names))
        axes.set_xticks([0, 0.5, 1], drawn_names(names))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names
    assert [text.get_text() for text in axes.get_xticklabels()] == names
    assert not any(text.get_parse_math() for text in _texts(figure) if text.get_text() in names)


def test_axes_of_numbers_keep_the_powers_that_matplotlib_writes(tmp_path: Path) -> None:
    with written_figure(tmp_path / "f.png", 4, 3) as figure:
        figure.subplots().loglog([1, 1e6], [1, 1e6])
    powers = [text for text in _texts(figure) if "10^" in text.get_text()]
    assert powers and all(text.get_parse_math() for text in powers)


def test_long_names_keep_beginning_and_end() -> None:
    (shown,) = drawn_names([f"first-{'x' * 290}-last"])
    assert shown.startswith("first-") and shown.endswith("-last") and "…" in shown
    assert len(shown) < 40
    assert drawn_names(["ddpm-classifier-guidance"]) == ["ddpm-classifier-guidance"]


@pytest.fixture
def font_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The only other font that is installed, which has 名 and 前 only."""
    pen = TTGlyphPen(None)
    for place, corner in enumerate([(0, 0), (0, 800), (800, 800), (800, 0)]):
        (pen.lineTo if place else pen.moveTo)(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "box"])
    builder.setupCharacterMap({ord("名"): "box", ord("前"): "box"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "box": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "box": (1000, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Two Letters", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWeightClass=400)
    builder.setupPost()
    path = tmp_path / "two.ttf"
    builder.save(path)
    before = list(fontManager.ttflist)
    fontManager.addfont(path)
    monkeypatch.setattr(module, "_fonts", lambda: {"Two Letters": str(path)})
    module._families.cache_clear()
    yield "Two Letters"
    fontManager.ttflist[:] = before
    module._families.cache_clear()


def test_a_font_that_has_the_characters_is_found(tmp_path: Path, font_of_two: str) -> None:
    (shown,) = drawn_names(["名前-字"])
    assert shown == "名前-\ufffd"
    with warnings.catch_warnings(), written_figure(tmp_path / "f.png", 3, 2) as figure:
        warnings.simplefilter("error")
        figure.suptitle(f"of {shown}")
    (title,) = _texts(figure)
    assert title.get_text() == f"of {shown}"
    assert font_of_two in title.get_fontfamily()


def test_a_character_that_no_font_has_is_replaced() -> None:
    module._families.cache_clear()
    assert drawn_names(["a\ufdd0b\tc"]) == ["a\ufffdb\ufffdc"]


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_a_map_of_embeddings_of_any_size(size: float) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 60)).astype(np.float32)
    mapped = tsne_map(rows * np.float32(size), seed=0)
    assert np.isfinite(mapped).all() and (mapped.std(axis=0) > 0).all()
