"""What a board says of its dataset in one word, and in one screen."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from fpbench.leaderboard.archive import audits
from fpbench.leaderboard.archive.audits import read_audit
from fpbench.leaderboard.output.build import build, read_leaderboards
from fpbench.leaderboard.output.charts import badge, board_charts, curves_chart, overview_chart
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.verdict import verdict
from fpbench.leaderboard.view.brief import HEADINGS, SHOWN, brief_lines, percent
from fpbench.metrics.score import Score

BASELINE = {"baseline": True}


def board_of(root: Path) -> Board:
    (board,) = read_leaderboards(root).boards
    return board


def seeds(
    add: Any, method: str, skill: float, card: dict[str, Any] | None = None, **more: Any
) -> None:
    for seed in range(2):
        add(method=method, skill=skill, seed=seed, card=card, **more)


def test_a_board_whose_best_row_beats_every_baseline_is_informative(root: Path, add: Any) -> None:
    seeds(add, "prnu", 0.98, shortcut=0.4)
    seeds(add, "pixels", 0.1, BASELINE, shortcut=0.4)
    found = verdict(board_of(root))
    assert found.word == "informative"
    assert "prnu:wavelet" in found.why and "pixels:wavelet" in found.why


def test_a_baseline_among_the_best_rows_saturates_a_board(root: Path, add: Any) -> None:
    seeds(add, "prnu", 0.8, shortcut=0.4)
    seeds(add, "pixels", 0.8, BASELINE, shortcut=0.4)
    assert verdict(board_of(root)).word == "saturated"


def test_a_confound_that_no_row_beats_comes_first(root: Path, add: Any) -> None:
    seeds(add, "prnu", 0.5, shortcut=1.0)
    seeds(add, "pixels", 0.1, BASELINE, shortcut=1.0)
    found = verdict(board_of(root))
    assert found.word == "confounded"
    assert "file sizes" in found.why and "1.000" in found.why


@pytest.mark.parametrize("cards", [[None], [BASELINE]])
def test_without_method_or_baseline_nothing_is_decided(
    root: Path, add: Any, cards: list[dict[str, Any] | None]
) -> None:
    for number, card in enumerate(cards):
        add(method=f"m{number}", card=card)
    assert verdict(board_of(root)).word == "undecided"


def test_audits_are_found_by_the_images_they_are_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "gm-x"
    card.mkdir()
    for name, content, grid in (("audit.json", "a" * 64, 0.5), ("audit-two.json", "b" * 64, 0.9)):
        groups = {"grid": {"accuracy": grid, "ci_low": grid - 0.1, "chance": 0.5}}
        document = {
            "dataset": {"content_hash": content},
            "shortcut": {"accuracy": 0.6, "ci_low": 0.5, "chance": 0.5, "groups": groups},
            "findings": [{"kind": "grid", "text": f"Grid {grid}."}],
        }
        (card / name).write_text(json.dumps(document))
    (card / "audit-broken.json").write_text("{")
    monkeypatch.setattr(audits, "card_folders", lambda: {"gm-x": card})
    two = read_audit("gm-x", "b" * 64)
    assert two is not None and two.findings == ("Grid 0.9.",)
    assert (two.confounds[0].accuracy, two.confounds[0].low) == (0.9, pytest.approx(0.8))
    assert "8×8" in two.confounds[0].sees
    one = read_audit("gm-x", "a" * 64)
    assert one is not None and one.confounds[0].sees == audits.METADATA
    assert read_audit("gm-x", "c" * 64) is None and read_audit("gm-y", "a" * 64) is None


def test_the_audit_of_the_second_recipe_of_gm_ffhq_is_on_its_board() -> None:
    content = json.loads(Path("datasets_cards/gm-ffhq/audit-two.json").read_text("utf-8"))
    found = read_audit("gm-ffhq", content["dataset"]["content_hash"])
    assert found is not None and found.confounds[0].accuracy > 0.98


def test_a_board_in_one_screen(root: Path, add: Any) -> None:
    for number in range(SHOWN + 3):
        add(method=f"m{number:02d}", skill=0.3 + 0.03 * number, shortcut=0.4)
    build(root)
    text = (root / "someone-gm-tiny.md").read_text("utf-8")
    first, _, folded = text.partition("<details>")
    assert "**Read this first.** " in first
    assert len(re.findall(r"\*\*m\d\d:wavelet\*\*", first)) <= SHOWN
    assert len(re.findall(r"\*\*m\d\d:wavelet\*\*", text)) == SHOWN + 3
    assert "*chance*" in text and "*metadata-only baseline*" in text
    assert "[A. Author 2020](https://example.org/paper)" in text
    assert f"| {' | '.join(HEADINGS)} |" in first and "<summary>5 more rows" in "<details>" + folded
    for target in re.findall(r"\]\((?!https?:|\.\./docs)([^)#]+)(?:#[^)]*)?\)", text):
        assert (root / target).exists(), target


def test_chance_and_the_metadata_baseline_stand_in_their_places(root: Path, add: Any) -> None:
    add(method="good", skill=0.9, shortcut=0.5)
    add(method="bad", skill=-0.9, shortcut=0.5)
    board = board_of(root)
    names = [line.method for line in brief_lines(board, board.sections[0], {})]
    assert names.index("good:wavelet") < names.index("metadata-only baseline")
    assert names.index("metadata-only baseline") < names.index("chance")


def test_percentages_have_one_decimal() -> None:
    assert percent(Score(0.8126, 0.7504, 0.9, 10)) == "81.3 [75.0, 90.0]"
    assert percent(Score.missing("None.")) == "–"


def test_charts_are_svg_that_says_its_numbers(root: Path, add: Any) -> None:
    seeds(add, "prnu", 0.9, shortcut=0.4)
    seeds(add, "pixels", 0.3, {**BASELINE, "title": "<script>alert(1)</script>"}, shortcut=0.4)
    board = board_of(root)
    charts = [*board_charts(board), overview_chart([board])]
    assert len(charts) == 5
    for chart in charts:
        assert chart is not None
        drawing = ET.fromstring(chart.svg)  # noqa: S314  (made here)
        named = {child.tag.rpartition("}")[2]: child.text for child in drawing}
        assert named["title"] == chart.title and named["desc"]
        assert "script" not in chart.svg
    accuracy = charts[0]
    assert accuracy is not None
    value = board.sections[0].rows[0].value
    assert value is not None and f"prnu:wavelet {value:.3f}" in accuracy.svg
    # Baselines are squares and methods dots: shape says what colour says.
    assert accuracy.svg.count("<rect") == 2 and accuracy.svg.count("<circle") == 1


def test_nothing_to_draw_draws_nothing() -> None:
    assert overview_chart([]) is None
    assert curves_chart("x.svg", "x", ["1", "2"], {}, "x") is None


def test_a_badge_shows_what_it_is_given() -> None:
    drawing = ET.fromstring(badge('a "quoted" <b>', "95.0 %"))  # noqa: S314  (made here)
    assert drawing.attrib["aria-label"] == 'a "quoted" <b>: 95.0 %'
