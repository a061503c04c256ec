"""How every figure looks, how names stand in it, and how it is written."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILY_MARKERS = {
    "Real": "o",
    "VAE": "s",
    "GAN": "^",
    "Flow": "D",
    "Score": "v",
    "Synthetic": "P",
    "Unknown": "X",
}
"""One marker a family, so that colour is never the only sign."""

# Widths in letters as wide as those of text are on average, which is this share of their height.
# A longer name leaves no room for what it names; a longer line is a title's.
_NAME, _LINE = 28, 110
_LETTER = 0.6
_FALLBACKS = 3
# A font that has a box for every character, which tells no more than a replacement does.
_BOXES = "Last Resort"


@contextmanager
def written_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of `width` × `height` inches, written to `path` as PNG when the block ends.

    Texts are taken as they are, never as mathematics. Characters that the font lacks are drawn in
    another font that is installed and has them, or else replaced.

    Uses no global state of pyplot, so it works without a display and in threads.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    yield figure
    _make_plain(figure)
    # No software version or date in the file: the same arrays give the same bytes.
    figure.savefig(path, metadata={"Software": None})


def source_colours(count: int) -> list[tuple[float, float, float, float]]:
    """`count` distinguishable colours, the same for the same position in every figure."""
    from matplotlib import colormaps

    palette = colormaps["tab10" if count <= 10 else "tab20"]
    return [palette(index % palette.N) for index in range(count)]


def drawn_names(names: Iterable[str]) -> list[str]:
    """Names as they can stand in a figure, about 28 letters wide, in characters of some font.

    Of a longer name the beginning and the end are kept.

    >>> drawn_names(["dcgan-small", r"a$x^$"])
    ['dcgan-small', 'a$x^$']
    """
    return [_drawable(_shortened(name.replace("\n", " "), _NAME)) for name in names]


def add_legend(
    owner: Axes | Figure, handles: Sequence[Any], names: Sequence[str], **options: Any
) -> None:
    """A legend of handles with names, which may begin with an underscore.

    Args:
        owner: Axes, or a whole figure.
        handles: What is drawn for each name.
        names: As many, of `drawn_names`.
        options: Of matplotlib's ``legend``.
    """
    # Matplotlib leaves out what has a label that begins with an underscore, but not what is
    # renamed since.
    legend = owner.legend(handles, ["name"] * len(handles), **options)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)


def _make_plain(figure: Figure) -> None:
    """Make all texts plain. Those of number axes are made later, by matplotlib, as it needs."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        content = text.get_text()
        if not content:
            continue
        text.set_parse_math(False)
        lines = [_drawable(_shortened(line, _LINE)) for line in content.split("\n")]
        text.set_text("\n".join(lines))
        families = _fallbacks("".join(lines))
        if families:
            text.set_fontfamily([*text.get_fontfamily(), *families])


def _shortened(text: str, width: int) -> str:
    """A text with its middle left out where it is wider than so many letters."""
    letters = [_width(letter) for letter in text]
    if sum(letters) <= width:
        return text
    start, end, room = 0, len(text), width - _width("…")
    while True:
        # The beginning and the end grow in turn.
        at = start if start <= len(text) - end else end - 1
        if letters[at] > room:
            return f"{text[:start]}…{text[end:]}"
        room -= letters[at]
        start, end = (start + 1, end) if at == start else (start, end - 1)


@cache
def _width(letter: str) -> float:
    from matplotlib.font_manager import get_font

    if not _has(_own_font(), letter):
        # Of another font; those of Chinese and Japanese are as wide as they are high.
        return 1 / _LETTER
    height = 10
    font = get_font(_own_font())
    font.set_size(height, 72)
    advance = font.load_char(ord(letter)).linearHoriAdvance / 65536
    return float(advance / height / _LETTER)


def _drawable(text: str) -> str:
    """A text with the characters replaced that no font has."""
    missing = set(text) - _has(_own_font(), text)
    for family in _fallbacks(text):
        missing -= _has(_fonts()[family], "".join(missing))
    for letter in missing:
        text = text.replace(letter, "\N{REPLACEMENT CHARACTER}")
    return text


def _fallbacks(text: str) -> list[str]:
    """Families of installed fonts that have what the figures' own font lacks of a text."""
    missing = frozenset(text) - _has(_own_font(), text)
    return _families(missing - {"\N{REPLACEMENT CHARACTER}"}) if missing else []


@cache
def _families(letters: frozenset[str]) -> list[str]:
    families: list[str] = []
    while letters and len(families) < _FALLBACKS:
        found = {family: _has(path, "".join(letters)) for family, path in _fonts().items()}
        best = max(found, key=lambda family: len(found[family]), default=None)
        if best is None or not found[best]:
            break
        families.append(best)
        letters -= found[best]
    return families


def _has(path: str, text: str) -> set[str]:
    """The characters of a text that a font has."""
    from matplotlib.font_manager import get_font

    font = get_font(path)
    return {
        letter
        for letter in set(text)
        if unicodedata.category(letter) not in ("Cc", "Cs") and font.get_char_index(ord(letter))
    }


@cache
def _own_font() -> str:
    from matplotlib.font_manager import FontProperties, findfont

    return str(findfont(FontProperties()))


def _fonts() -> dict[str, str]:
    """Upright fonts of normal weight by family, but the figures' own."""
    from matplotlib.font_manager import fontManager

    return {
        entry.name: entry.fname
        for entry in sorted(fontManager.ttflist, key=lambda entry: str(entry.fname))
        if entry.style == "normal"
        and entry.weight in (400, "normal", "regular")
        and entry.fname != _own_font()
        and not entry.name.startswith(_BOXES)
    }
