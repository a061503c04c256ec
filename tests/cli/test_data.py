"""``fpbench data`` as a person meets it."""

import json
from pathlib import Path

import pytest

from fpbench.cli.main import entry


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def test_list_names_every_card(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = call(capsys, "data", "list")
    assert code == 0 and "gm-mini" in shown and "gm-synthetic" in shown
    rows = json.loads(call(capsys, "data", "list", "--json")[1])
    assert {row["name"]: row["state"] for row in rows}["gm-mini"] == "ready"


def test_show_every_card(capsys: pytest.CaptureFixture[str]) -> None:
    for row in json.loads(call(capsys, "data", "list", "--json")[1]):
        code, shown, told = call(capsys, "data", "show", row["name"])
        assert code == 0, told
        assert shown.startswith(row["name"]) and "None" not in shown
        document = json.loads(call(capsys, "data", "show", row["name"], "--json")[1])
        assert document["recipe"]["name"] == row["name"]


def test_audit_states_the_shortcut(capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = call(capsys, "data", "audit", "gm-mini", "--json")
    assert code == 0
    assert 1 / 12 < json.loads(shown)["shortcut"]["accuracy"] <= 1


@pytest.mark.parametrize("command", ["show", "build", "push"])
def test_an_unknown_dataset_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str
) -> None:
    more = ["--repo-id", "me/mine"] if command == "push" else []
    code, shown, told = call(capsys, "data", command, "gm-mimi", *more)
    assert code == 2 and shown == ""
    assert "no dataset 'gm-mimi'" in told and "gm-mini" in told
