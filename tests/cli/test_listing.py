"""Tables of names and texts fit 80 columns."""

import re

import pytest

from fpbench.cli.listing import WIDTH, text_table
from fpbench.cli.main import entry


def test_long_texts_are_wrapped_below_their_column() -> None:
    lines = text_table(["a", "b"], [["x", "word " * 40], ["yy", "one\ntwo"]]).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[0] == "a   b" and lines[2].startswith("x   word")
    assert all(line.startswith("    word") for line in lines[3:-2])
    assert lines[-2:] == ["yy  one", "    two"]


def test_no_row_leaves_the_headings() -> None:
    assert text_table(["a", "b"], []).splitlines() == ["a  b", "-  -"]


@pytest.mark.parametrize("words", [["methods", "list"], ["data", "list"]])
def test_lists_fit_a_terminal(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        entry(words)
    shown = capsys.readouterr().out
    assert not ended.value.code
    assert max(len(line) for line in shown.splitlines()) <= WIDTH
    assert re.search(r"^(prnu|gm-mini)\b", shown, re.MULTILINE)
