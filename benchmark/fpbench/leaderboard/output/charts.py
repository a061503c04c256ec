"""Charts as static SVG: accuracy with intervals, against cost and bag size, and by source.

Colours are Okabe and Ito's, which people with any colour vision tell apart; what a colour says, a
shape says too. A chart has a title and a description, in which its numbers stand as text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from fpbench.leaderboard.output.markdown import MARK, plain
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import HEADLINE, Row, Section
from fpbench.leaderboard.view import columns as c
from fpbench.metrics.score import Score

CHARTS = "charts"
"""Folder of the charts."""

METHOD, BASELINE, CONFOUND, INK, QUIET, GRID = (
    "#0072b2", "#b34700", "#7a3b6e", "#1b1f27", "#55606f", "#d5d9e0",
)  # fmt: skip

_MOST = 60  # rows of one chart; of more, the best and every baseline
_WIDTH = 720
_LEFT = 210
_RIGHT = 20
_STEP = 18
_NEAR = 170  # units within which two labels may touch
_LETTER = 6.3  # units a letter of 11 units takes at most
_SERIES = ("#0072b2", "#b34700", "#00795a", "#7a3b6e", "#8a6d00", "#1b1f27")
_DASHES = ("", "6 3", "2 2", "8 3 2 3", "1 3", "10 4")


@dataclass(frozen=True)
class Chart:
    """One chart.

    Attributes:
        name: Path within the leaderboards' folder or the site.
        title: What it shows, for its heading and as a text alternative.
        svg: The file.
    """

    name: str
    title: str
    svg: str


def accuracy_name(board: Board) -> str:
    """Path of a board's chart of accuracies."""
    return f"{CHARTS}/{board.folder}.svg"


def accuracy_chart(board: Board) -> Chart | None:
    """Accuracy of every row with its interval, with chance and the strongest confound."""
    section = board.sections[0] if board.sections else None
    rows = [] if section is None else _chosen(section)
    if not rows:
        return None
    height = 34 + _STEP * len(rows) + 44
    marks = _share_axis(30, height - 44)
    levels = [("chance", board.chance, QUIET, "4 3")]
    if board.confound is not None:
        levels.append(
            (f"sees only {board.confound.sees}", board.confound.accuracy, CONFOUND, "2 2")
        )
    for k, (name, level, colour, dashes) in enumerate(levels):
        x = _x(level)
        marks.append(_line(x, 26, x, height - 44, colour, dashes))
        at_end = x > _WIDTH / 2
        marks.append(_text(x, 12 + 11 * k, name, "end" if at_end else "start", colour))
    for position, row in enumerate(rows):
        marks += _interval(row, 34 + _STEP * position + _STEP / 2)
    title = f"Accuracy among generators on {plain(board.name)}, with 95 % intervals"
    told = "; ".join(f"{plain(r.label)} {c.score_text(r.scores.get(HEADLINE))}" for r in rows)
    return Chart(accuracy_name(board), title, _svg(height, title, told, marks))


def cost_chart(board: Board) -> Chart | None:
    """Accuracy against seconds of a job; rows that nothing quicker beats are named."""
    section = board.sections[0] if board.sections else None
    points = [
        (row, math.log10(max(row.cost.total_seconds, 0.1)), row.value)
        for row in ([] if section is None else section.rows)
        if row.cost is not None and row.value is not None
    ]
    if len(points) < 2:
        return None
    height, top, bottom = 380, 20, 330
    low = math.floor(min(point[1] for point in points))
    high = max(low + 1, math.ceil(max(point[1] for point in points)))

    def across(seconds: float) -> float:
        return 60 + (seconds - low) / (high - low) * (_WIDTH - 60 - 40)

    def up(share: float) -> float:
        return bottom - share * (bottom - top)

    marks = []
    for tick in range(low, high + 1):
        marks.append(_line(across(tick), top, across(tick), bottom, GRID))
        marks.append(_text(across(tick), bottom + 16, c.seconds(10.0**tick), "middle", QUIET))
    for tick in range(0, 101, 20):
        marks.append(_line(60, up(tick / 100), _WIDTH - 40, up(tick / 100), GRID))
        marks.append(_text(54, up(tick / 100) + 4, f"{tick} %", "end", QUIET))
    marks.append(_line(60, up(board.chance), _WIDTH - 40, up(board.chance), QUIET, "4 3"))
    marks.append(_text(_WIDTH - 42, up(board.chance) - 4, "chance", "end", QUIET))
    marks.append(_text(_WIDTH / 2, height - 12, "time of a job (log scale)", "middle", INK))
    best, placed = -1.0, list[tuple[float, float]]()
    for row, seconds, value in sorted(points, key=lambda point: (point[1], -point[2])):
        x, y = across(seconds), up(value)
        marks.append(_mark(row, x, y))
        if value > best:
            best = value
            at = _free(x, y, placed, bottom)
            placed.append((x, at))
            end = x > _WIDTH * 0.6
            marks.append(_text(x, at, plain(row.label), "end" if end else "start", INK))
    title = f"Accuracy against the time of a job on {plain(board.name)}"
    told = "; ".join(
        f"{plain(row.label)} {c.number(value)} in {c.seconds(10**seconds)}"
        for row, seconds, value in points
    )
    return Chart(f"{CHARTS}/{board.folder}-cost.svg", title, _svg(height, title, told, marks))


def _free(x: float, y: float, placed: Sequence[tuple[float, float]], bottom: float) -> float:
    """A height near a mark for its label, where no other label stands."""
    for step in (-8, 15, 28, 41, 54, 67, 80, 93):
        at = y + step
        if 12 <= at <= bottom and all(
            abs(at - other) >= 12 or abs(x - there) >= _NEAR for there, other in placed
        ):
            return at
    return y - 8


def bags_chart(board: Board) -> Chart | None:
    """Accuracy by the number of images judged together, of the best row of each method."""
    section = board.sections[0] if board.sections else None
    keys = ((1, HEADLINE), (10, "accuracy_bag10"), (100, "accuracy_bag100"))
    series: dict[str, tuple[str, list[tuple[int, Score]]]] = {}
    for row in [] if section is None else section.rows:
        known = [(n, row.scores[key]) for n, key in keys if key in row.scores]
        if len([score for _, score in known if score.value is not None]) < 2:
            continue
        series.setdefault(row.job.method, (plain(row.label), known))
        if len(series) == len(_SERIES):
            break
    curves = dict(series.values())
    title = f"Accuracy by images judged together on {plain(board.name)}"
    return curves_chart(
        f"{CHARTS}/{board.folder}-bags.svg", title, [str(n) for n, _ in keys],
        {label: {str(n): score for n, score in known} for label, known in curves.items()},
        "images of one source, judged together", board.chance,
    )  # fmt: skip


def curves_chart(
    name: str,
    title: str,
    places: Sequence[str],
    curves: Mapping[str, Mapping[str, Score]],
    below: str,
    chance: float | None = None,
) -> Chart | None:
    """Shares at several places, one line a series; None without a series.

    Args:
        name: Path of the chart.
        title: What it shows.
        places: Names along the axis.
        curves: Scores by series and place; at most six are drawn.
        below: What the axis is.
        chance: Chance level, or None.
    """
    shown = list(curves.items())[: len(_SERIES)]
    if not shown:
        return None
    legend = 16 * len(shown)
    top, bottom = 14, 290
    height = bottom + 50 + legend
    span = (_WIDTH - 100) / max(1, len(places) - 1)

    def up(share: float) -> float:
        return bottom - share * (bottom - top)

    marks = []
    for tick in range(0, 101, 20):
        marks.append(_line(60, up(tick / 100), _WIDTH - 30, up(tick / 100), GRID))
        marks.append(_text(54, up(tick / 100) + 4, f"{tick} %", "end", QUIET))
    every = max(1, math.ceil(len(places) * 60 / (_WIDTH - 100)))
    for k, place in enumerate(places):
        if k % every == 0:
            marks.append(_text(60 + k * span, bottom + 16, place, "middle", QUIET))
    if chance is not None:
        marks.append(_line(60, up(chance), _WIDTH - 30, up(chance), QUIET, "4 3"))
        marks.append(_text(_WIDTH - 32, up(chance) - 4, "chance", "end", QUIET))
    marks.append(_text(_WIDTH / 2, bottom + 34, below, "middle", INK))
    told = []
    for number, (label, scores) in enumerate(shown):
        colour, dashes = _SERIES[number], _DASHES[number]
        known = [
            (60 + k * span, up(score.value), place, score.value)
            for k, place in enumerate(places)
            if (score := scores.get(place)) is not None and score.value is not None
        ]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in known)
        style = f' stroke-dasharray="{dashes}"' if dashes else ""
        marks.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{style}/>'
        )
        marks += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y, *_ in known
        ]
        y = bottom + 52 + 16 * number
        marks.append(
            f'<path d="M60 {y - 4}H96" stroke="{colour}" stroke-width="2" fill="none"{style}/>'
        )
        marks.append(_text(104, y, label, "start", INK))
        told.append(f"{label}: " + ", ".join(f"{p} {c.number(v)}" for *_, p, v in known))
    return Chart(name, title, _svg(height, title, "; ".join(told), marks))


def difficulty_chart(board: Board) -> Chart | None:
    """How often images of each generator are attributed correctly, by every row and by the best."""
    section = board.sections[0] if board.sections else None
    rows = [row for row in ([] if section is None else section.rows) if row.judged is not None]
    if not rows:
        return None
    names = [plain(s.name) for s in board.dataset.sources if s.family != "Real"]
    shares = np.array([_by_source(row, len(names)) for row in rows])
    middle = np.median(shares, axis=0)
    order = np.argsort(middle, kind="stable")
    height = 34 + 20 * len(names) + 62
    marks = _share_axis(30, height - 62)
    for position, source in enumerate(order.tolist()):
        y = 34 + 20 * position + 10
        marks.append(_text(_LEFT - 8, y + 4, names[source], "end", INK))
        marks += [
            f'<circle cx="{_x(v):.1f}" cy="{y}" r="2.5" fill="{QUIET}" fill-opacity="0.35"/>'
            for v in shares[:, source]
        ]
        x = _x(float(middle[source]))
        marks.append(_line(x, y - 7, x, y + 7, INK, width=3))
        marks.append(_mark(rows[0], _x(float(shares[0, source])), y))
    key = height - 12
    marks.append(f'<circle cx="{_LEFT}" cy="{key - 4}" r="2.5" fill="{QUIET}"/>')
    marks.append(_text(_LEFT + 8, key, "one row", "start", INK))
    marks.append(_line(_LEFT + 80, key - 10, _LEFT + 80, key + 2, INK, width=3))
    marks.append(_text(_LEFT + 88, key, "median of rows", "start", INK))
    marks.append(_mark(rows[0], _LEFT + 200, key - 4))
    marks.append(_text(_LEFT + 210, key, plain(rows[0].label), "start", INK))
    title = f"Share of each generator's images attributed correctly on {plain(board.name)}"
    told = "; ".join(
        f"{names[k]} median {c.number(float(middle[k]))}, best row {c.number(float(shares[0, k]))}"
        for k in order.tolist()
    )
    return Chart(f"{CHARTS}/{board.folder}-sources.svg", title, _svg(height, title, told, marks))


def overview_chart(boards: Sequence[Board]) -> Chart | None:
    """The best method, the best baseline, the strongest confound and chance on each dataset."""
    shown = [b for b in boards if b.sections and b.sections[0].rows[0].value is not None]
    if not shown:
        return None
    height = 34 + 26 * len(shown) + 62
    marks = _share_axis(30, height - 62)
    told = []
    for position, board in enumerate(shown):
        y = 34 + 26 * position + 13
        marks.append(_text(_LEFT - 8, y + 4, plain(board.name), "end", INK))
        rows = board.sections[0].rows
        baseline = next((row for row in rows if row.is_baseline and row.value is not None), None)
        best = next((row for row in rows if not row.is_baseline and row.value is not None), None)
        marks.append(_line(_x(board.chance), y - 9, _x(board.chance), y + 9, QUIET, width=2))
        words = [f"chance {c.number(board.chance)}"]
        if board.confound is not None:
            marks.append(_cross(_x(board.confound.accuracy), y))
            words.append(f"strongest confound {c.number(board.confound.accuracy)}")
        for row, what in ((baseline, "best baseline"), (best, "best method")):
            if row is not None and row.value is not None:
                marks += _interval(row, y, labelled=False)
                words.append(f"{what} {plain(row.label)} {c.number(row.value)}")
        told.append(f"{plain(board.name)}: {', '.join(words)}")
    key = height - 12
    marks.append(f'<circle cx="{_LEFT}" cy="{key - 4}" r="4" fill="{METHOD}"/>')
    marks.append(_text(_LEFT + 8, key, "best method", "start", INK))
    marks.append(_square(_LEFT + 108, key - 4))
    marks.append(_text(_LEFT + 118, key, "best baseline", "start", INK))
    marks.append(_cross(_LEFT + 228, key - 4))
    marks.append(_text(_LEFT + 238, key, "strongest confound", "start", INK))
    marks.append(_line(_LEFT + 380, key - 11, _LEFT + 380, key + 2, QUIET, width=2))
    marks.append(_text(_LEFT + 388, key, "chance", "start", INK))
    title = "Accuracy among generators on each dataset, with 95 % intervals"
    return Chart(f"{CHARTS}/overview.svg", title, _svg(height, title, "; ".join(told), marks))


def markdown_charts(boards: Sequence[Board]) -> dict[str, str]:
    """The charts that Markdown boards show, by path."""
    made = [overview_chart(boards), *(accuracy_chart(board) for board in boards)]
    return {chart.name: chart.svg for chart in made if chart is not None}


def board_charts(board: Board) -> list[Chart]:
    """All charts of one board's page."""
    made = (accuracy_chart(board), cost_chart(board), bags_chart(board), difficulty_chart(board))
    return [chart for chart in made if chart is not None]


def badge(label: str, text: str) -> str:
    """A badge of two fields, for a README.

    Args:
        label: Left, e.g. ``fpbench gm-mini``.
        text: Right, e.g. ``95.8 %, rank 1–16``.
    """
    one, two = (14 + math.ceil(_LETTER * len(part)) for part in (label, text))
    title = f"{plain(label)}: {plain(text)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{one + two}" height="20" role="img" '
        f"aria-label={quoteattr(title)}><title>{escape(title)}</title>"
        f'<rect width="{one}" height="20" fill="#3a424e"/>'
        f'<rect x="{one}" width="{two}" height="20" fill="#1351a8"/>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" '
        f'font-size="11"><text x="{one / 2:g}" y="14">{escape(plain(label))}</text>'
        f'<text x="{one + two / 2:g}" y="14">{escape(plain(text))}</text></g></svg>\n'
    )


def _chosen(section: Section) -> list[Row]:
    rows = [row for row in section.rows if row.value is not None]
    kept = rows[:_MOST]
    return [*kept, *(row for row in rows[_MOST:] if row.is_baseline)]


def _by_source(row: Row, sources: int) -> list[float]:
    assert row.judged is not None  # noqa: S101  (only rows with predictions come here)
    labels, correct = row.judged.labels, row.judged.summary.correct
    found = np.bincount(labels, weights=correct, minlength=sources)
    shares: list[float] = (found / np.maximum(np.bincount(labels, minlength=sources), 1)).tolist()
    return shares


def _x(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _share_axis(top: float, bottom: float) -> list[str]:
    marks = []
    for tick in range(0, 101, 20):
        marks.append(_line(_x(tick / 100), top, _x(tick / 100), bottom, GRID))
        marks.append(_text(_x(tick / 100), bottom + 16, f"{tick} %", "middle", QUIET))
    return marks


def _interval(row: Row, y: float, labelled: bool = True) -> list[str]:
    score = row.scores[HEADLINE]
    assert score.value is not None  # noqa: S101  (rows without a value are not drawn)
    colour = BASELINE if row.is_baseline else METHOD
    marks = [_text(_LEFT - 8, y + 4, plain(row.label), "end", INK)] if labelled else []
    if score.ci_low is not None and score.ci_high is not None:
        marks.append(_line(_x(score.ci_low), y, _x(score.ci_high), y, colour, width=2))
    return [*marks, _mark(row, _x(score.value), y)]


def _mark(row: Row, x: float, y: float) -> str:
    """A method's dot, or a baseline's square."""
    return _square(x, y) if row.is_baseline else (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{METHOD}"/>'
    )  # fmt: skip


def _square(x: float, y: float) -> str:
    return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{BASELINE}"/>'


def _cross(x: float, y: float) -> str:
    return (
        f'<path d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8" stroke="{CONFOUND}" stroke-width="2"/>'
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "", width: float = 1
) -> str:
    style = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"{style}/>'
    )


def _text(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


def _svg(height: float, title: str, told: str, marks: Sequence[str]) -> str:
    return "\n".join(
        [
            MARK,
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" '
            f'width="{_WIDTH}" height="{height:g}" role="img" aria-labelledby="t d" '
            'font-family="system-ui,Segoe UI,DejaVu Sans,sans-serif" font-size="11">',
            f'<title id="t">{escape(title)}</title>',
            f'<desc id="d">{escape(told)}</desc>',
            f'<rect width="{_WIDTH}" height="{height:g}" fill="#ffffff"/>',
            *marks,
            "</svg>\n",
        ]
    )
