"""The script that prints the test behind each sentence of docs/findings.md."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fpbench.metrics.comparison import Comparisons

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


@pytest.fixture(scope="module")
def claims() -> ModuleType:
    spec = importlib.util.spec_from_file_location("claims", FIGURES / "claims.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["claims"] = module
    spec.loader.exec_module(module)
    return module


class Board:
    """Two rows, the first 0.1 better, with a p-value after Holm, as one run or as several."""

    def __init__(self, p: float, one_run: bool) -> None:
        def full(value: float) -> Any:
            return np.full((2, 2), value)

        gap = np.array([[0.0, 0.1], [-0.1, 0.0]])
        self.pairs = Comparisons(
            gap, full(0.02), full(np.inf), full(p / 2), full(p), full(0.04), full(one_run) > 0
        )
        row = type("Row", (), {"entries": ()})
        self.rows = [type("A", (row,), {"label": "a:x"})(), type("B", (row,), {"label": "b:y"})()]
        self.paired = (0, 1)
        self.budget, self.folds = "small", None
        self.sections = (self,)


TEXT = """# Title

The first is better than
the second. One run of it tells more, e.g. `a:x`. It says nothing.

| better | than |
|---|---|
"""


def test_sentences_are_those_of_the_text_alone(claims: ModuleType) -> None:
    assert list(claims.sentences(TEXT)) == [
        "The first is better than the second.",
        "One run of it tells more, e.g. `a:x`.",
        "It says nothing.",
    ]
    claim = claims.Claim("first is better than the second")
    assert claims.without_line([claim], TEXT) == ["One run of it tells more, e.g. `a:x`."]


@pytest.mark.parametrize(
    ("words", "verdict", "pair", "p", "one_run", "told"),
    [
        ("is better than", "more", "ab", 0.01, False, None),
        ("is better than", "more", "ab", 0.2, False, "it does not follow"),
        ("is better than", "more", "ba", 0.01, False, "it does not follow"),
        ("is better than", "open", "ab", 0.2, False, None),
        ("is better than", "open", "ab", 0.01, False, "it does not follow"),
        ("is better than", "", "ab", 0.01, True, "one of the two has one run"),
        ("run of it tells", "more", "ab", 0.01, True, None),
        ("is worse than", "more", "ab", 0.01, False, "is not in the text"),
        ("is better than", "more", "ac", 0.01, False, "has no row c:z"),
    ],
)
def test_what_does_not_follow_is_told(
    claims: ModuleType, words: str, verdict: str, pair: str, p: float, one_run: bool,
    told: str | None,
) -> None:  # fmt: skip
    names = {"a": "a:x", "b": "b:y", "c": "c:z"}
    claim = claims.Claim(words, "board", tuple(names[x] for x in pair), verdict)
    problems = claims.tell_claims([claim], {"board": Board(p, one_run)}, TEXT)
    assert (problems == []) if told is None else (len(problems) == 1 and told in problems[0])


@pytest.mark.slow
def test_every_sentence_of_the_findings_follows(
    claims: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = FIGURES.parents[1] / "leaderboards"
    monkeypatch.setattr(sys, "argv", ["claims.py", "--root", str(root)])
    assert claims.main() == 0, capsys.readouterr().err
