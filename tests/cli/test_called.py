"""Commands in messages and pages work as printed, and --json answers whatever happens."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fpbench.cli import called
from fpbench.cli.main import cli, entry

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(autouse=True)
def fresh() -> None:
    called.called.cache_clear()


def test_the_bare_name_only_where_a_shell_finds_this_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my env" / "fpbench"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert called.called() == f"'{program}'"
    assert called.as_called("Build it: `fpbench data build x`; fpbench does it.") == (
        f"Build it: `'{program}' data build x`; fpbench does it."
    )
    called.called.cache_clear()
    monkeypatch.setenv("PATH", str(program.parent))
    assert called.called() == "fpbench"
    called.called.cache_clear()
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "fpbench" / "__main__.py")])
    assert called.called().endswith(" -m fpbench")
    called.called.cache_clear()
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
    assert called.called() == "fpbench"


def test_what_a_message_says_of_others_steers_no_terminal() -> None:
    assert called.as_called("source 'a\u202eb\x1b[31m'") == "source 'a\ufffdb\ufffd[31m'"


def shown_commands() -> list[tuple[str, str]]:
    """Every line of a code block of the pages that calls fpbench, with its page."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", page.read_text("utf-8"), re.S):
            lines = block.replace("\\\n", " ").splitlines()
            parts = [part.strip() for line in lines for part in line.split("&&")]
            found += [
                (page.name, part.split("#")[0].strip())
                for part in parts
                if re.match(r"(\S*/)?fpbench\s", part)
            ]
    return found


def test_commands_of_the_pages_are_commands() -> None:
    commands = shown_commands()
    assert len(commands) > 5
    for page, line in commands:
        words = line.split()[1:]
        command: click.Command = cli
        while isinstance(command, click.Group):
            name = words.pop(0)
            inner = command.get_command(click.Context(command), name)
            assert inner is not None, f"{page}: {line}: there is no command {name}"
            command = inner
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
        asked = {w.partition("=")[0].strip("[]") for w in words if w.strip("[").startswith("--")}
        assert asked <= known, f"{page}: {line}: {asked - known}"


def test_readme_first_command_leaves_a_shell_that_knows_fpbench() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    first = next(line for line in text.splitlines() if "pip install ." in line)
    assert ". .venv/bin/activate" in first.split("pip install")[0]
    assert " && fpbench run " in first


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--method", "nope", "--dataset", "gm-mini", "--json"],
        ["run", "--method", "pixels", "--dataset", "nope", "--json", "--offline"],
        ["run", "--json"],
        ["methods", "check", "nope", "--json"],
        ["methods", "show", "nope", "--json"],
        ["data", "show", "nope", "--json"],
        ["leaderboard", "check", "--root", "nowhere", "--json"],
    ],
)
def test_json_is_one_document_even_where_nothing_can_be_done(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert end.value.code == 2
    assert json.loads(out)["error"] and "Error: " in err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_of_few_letters_shows_every_card(encoding: str) -> None:
    script = (
        "from fpbench.cli.main import entry\n"
        "from fpbench import registry\n"
        "for words in ([['methods', 'show', n] for n in ('prnu', 'manifpt', 'riemann')]"
        " + [['data', 'show', 'gm-cifar10'], ['data', 'list'], ['methods', 'list']]):\n"
        "    try:\n        entry(words)\n    except SystemExit as end:\n"
        "        assert end.code == 0, words\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert b"Traceback" not in done.stderr and len(done.stdout) > 1000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "--method", "pixels", "--dataset", "gm-mini", "--out", "~nouser/x"], "nouser"),
        (["run", "--method", "pixels", "--dataset", "gm-mini", "--out", ""], "is no path"),
        (["leaderboard", "build", "--root", "~nouser/x"], "home folder of a user who is not here"),
        (["leaderboard", "site", "--out", "~nouser/x"], "home folder of a user who is not here"),
        (["leaderboard", "check", "--jobs", "99999999"], "not in the range"),
        (["run", "--method", "pixels", "--dataset", "gm-mini:x", "--offline"], "takes no settings"),
        (["run", "--method", "pixels", "--dataset", "gm-mini", "--seeds", "20000000"], "range"),
        (["run", "--method", "pixels", "--dataset", "gm-mini", "--folds", "20000000"], "range"),
        (["run", "--method", "pixels", "--dataset", "gm-mini", "--workers", "20000000"], "range"),
        (["run", "--method", "pixels", "--dataset", "gm-mini", "--threads", "20000000"], "range"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        entry(words)
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert sentence in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_publishing_to_another_kind_of_repository_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fpbench.errors import BadInput
    from fpbench.leaderboard.hub.publish import publish

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"no Space; write spaces/OWNER/NAME, or \./datasets/a/b"):
        publish(tmp_path, "datasets/a/b")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_name_among_methods_to_check_does_not_stop_the_others() -> None:
    from fpbench.cli.methods import _wanted
    from fpbench.errors import BadInput

    wanted, broken = _wanted(("majority", "nope", "pixels"))
    assert [name for name, _, _ in wanted] == ["majority", "pixels"]
    assert [fault.name for fault in broken] == ["nope"] and "no method" in broken[0].reason
    with pytest.raises(BadInput, match="no method 'nope'"):
        _wanted(("nope",))
