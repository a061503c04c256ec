"""``fpbench data`` as a person meets it."""

import json
import os
import subprocess
import sys
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


@pytest.mark.parametrize("command", ["show", "build", "push"])
@pytest.mark.parametrize("name", ["gm-mini:pattern", "gm-synthetic:kernel"])
def test_settings_that_would_have_no_effect_are_refused(
    capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    more = ["--repo-id", "me/mine"] if command == "push" else []
    code, shown, told = call(capsys, "data", command, name, *more)
    assert code == 2 and shown == ""
    assert f"settings {name.partition(':')[2]!r} would have no effect" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["audit", "gm-mini", "--card", "tests"], "Or name a folder that holds a recipe.yaml"),
        (["audit", "gm-celeba", "--write"], "has a card but no images here"),
        (["audit", "me/mine", "--write"], "There is no dataset 'me/mine'"),
        (["pull", "me/mine@"], "names no revision after the @"),
        (["build", "gm-mini", "--out", "~nobody-of-this-name/x"], "user who is not here"),
        (["build", "gm-mini", "--out", "x" * 300], "File name too long; shorten it"),
        (["build", "gm-mini", "--recipe", "x" * 300], "File name too long; shorten it"),
        (["show", "x" * 300], "File name too long"),
        (["show", "~nobody-of-this-name"], "user who is not here"),
        (["show", ""], "There is no dataset ''"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    code, shown, err = call(capsys, "data", *words)
    assert code == 2 and shown == ""
    assert told in err and err.count("\n") <= 4


@pytest.mark.parametrize("words", [["list"], ["show", "gm-mini"]])
def test_a_terminal_without_greek_letters_is_no_obstacle(words: list[str]) -> None:
    shown = {}
    for encoding in ("utf-8", "ascii", "latin-1", "cp1252"):
        done = subprocess.run(
            [sys.executable, "-m", "fpbench", "data", *words],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        shown[encoding] = done.stdout
    whole = shown["utf-8"].decode()
    assert words == ["list"] or "β-VAE" in whole
    for encoding in ("latin-1", "cp1252"):
        assert shown[encoding] == whole.encode(encoding, "backslashreplace")


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("sources: [a, b]\n", "cannot be listed"),
        ("sources: {a: 3}\n", "cannot be listed"),
        ("synthetic: {sources: many}\n", "cannot be listed"),
        ("a: [\n", "cannot be read as YAML"),
    ],
)
def test_a_broken_card_does_not_hide_the_others(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: str,
    told: str,
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.yaml").write_text(recipe, "utf-8")
    monkeypatch.setenv("FPBENCH_CARDS", str(tmp_path))
    code, shown, err = call(capsys, "data", "list")
    assert code == 0 and "gm-mini" in shown
    assert err.startswith("Warning:") and told in err and "broken" in err
