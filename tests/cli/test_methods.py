"""``fpbench methods check`` and ``new``, and a stranger's package, installed and run."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fpbench.cli.main import entry
from fpbench.cli.scaffold import write_package
from fpbench.conformance import CHECKS
from fpbench.errors import BadInput
from fpbench.registry import method_names

EXAMPLE = Path(__file__).parents[1] / "plugin_example"


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def install(package: Path, scratch: Path, target: Path) -> None:
    """Build the wheel and unpack it, as ``pip install --no-deps --target`` does."""
    copy = scratch / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(scratch / "dist")],
        cwd=copy, check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = (scratch / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)


def fpbench(target: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that sees what is installed in `target`."""
    return subprocess.run(
        [sys.executable, "-m", "fpbench", *words],
        env={**os.environ, "PYTHONPATH": str(target)}, capture_output=True, text=True, cwd=target,
    )  # fmt: skip


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the example is installed, beside a package of broken entry points.

    One leads nowhere, one to a module that reads the command line when it is imported.
    """
    folder = tmp_path_factory.mktemp("site")
    install(EXAMPLE, tmp_path_factory.mktemp("build"), folder)
    broken = folder / "broken_example-0.1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-example\nVersion: 0.1\n")
    (broken / "entry_points.txt").write_text(
        "[fpbench.methods]\nbroken = no_such_module:Broken\nleaving = leaving_example:Leaves\n"
    )
    (folder / "leaving_example.py").write_text(
        "import argparse\n\nargparse.ArgumentParser().parse_args(['--nonsense'])\n"
    )
    return folder


def test_an_installed_plugin_runs(target: Path) -> None:
    done = fpbench(
        target, "run", "--method", "tile-mean", "--dataset", "gm-mini", "--budget", "smoke",
        "--no-figures", "--json", "--out", str(target / "runs"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (record,) = json.loads(done.stdout)
    assert record["status"] == "done"
    assert record["job"]["method"] == "tile-mean" and record["job"]["variant"] == "eight"
    assert record["scores"]["accuracy"]["ci_low"] > record["scores"]["accuracy"]["chance"]


def test_a_broken_plugin_is_named_and_the_others_still_list(target: Path) -> None:
    done = fpbench(target, "methods", "list", "--json")
    assert done.returncode == 0
    listed = json.loads(done.stdout)
    names = [row["name"] for row in listed["methods"]]
    assert "tile-mean" in names and "prnu" in names and "broken" not in names
    assert "leaving" not in names
    fault, leaving = listed["broken"]
    assert fault["name"] == "broken" and leaving["name"] == "leaving"
    for part in ("broken-example", "no_such_module", "ModuleNotFoundError"):
        assert part in fault["reason"], part
    assert "no_such_module" in done.stderr
    asked = fpbench(target, "methods", "check", "broken")
    assert asked.returncode == 2 and "no_such_module" in asked.stderr
    assert "sys.exit(2)" in leaving["reason"] and "__main__" in leaving["reason"]


@pytest.mark.parametrize(
    "words",
    [
        ("methods", "check", "leaving"),
        ("methods", "check", "leaving_example:Leaves"),
        ("methods", "show", "leaving"),
        ("run", "--method", "leaving", "--dataset", "gm-mini"),
    ],
)
def test_a_plugin_that_exits_when_it_is_imported_is_no_success(
    target: Path, words: tuple[str, ...]
) -> None:
    done = fpbench(target, *words)
    assert done.returncode == 2
    assert "ends the process by sys.exit(2)" in done.stderr


def test_an_installed_plugin_passes_its_checks(target: Path) -> None:
    done = fpbench(target, "methods", "check", "tile-mean:four", "--json")
    assert done.returncode == 0, done.stdout
    (document,) = json.loads(done.stdout)
    assert document["passed"] and document["variant"] == "four"
    assert [check["name"] for check in document["checks"]] == [check.name for check in CHECKS]
    failed = [c for c in document["checks"] if c["status"] == "failed"]
    assert failed == []


def test_the_example_is_what_new_writes(tmp_path: Path) -> None:
    write_package("tile-mean", tmp_path)
    for name in ("pyproject.toml", "tests/test_tile_mean.py"):
        written = (tmp_path / "tile-mean" / name).read_text(encoding="utf-8")
        assert (EXAMPLE / name).read_text(encoding="utf-8") == written, name


def test_a_new_package_builds_and_passes_its_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, told = call(capsys, "methods", "new", "my-method", "--into", str(tmp_path))
    assert code == 0 and "fpbench methods check my-method" in told
    folder = tmp_path / "my-method"
    assert all(Path(line).is_file() for line in shown.split())
    site = tmp_path / "site"
    install(folder, tmp_path / "scratch", site)
    (entries,) = site.glob("*.dist-info/entry_points.txt")
    assert "my-method = my_method:MyMethod" in entries.read_text()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "skipped" in done.stdout and "passed" in done.stdout


def test_a_class_is_checked_by_its_import_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (EXAMPLE / "tile_mean.py").read_text(encoding="utf-8")
    broken = source.replace("return weights / weights.sum(axis=1, keepdims=True)", "return scores")
    (tmp_path / "spoilt_tiles.py").write_text(broken, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, shown, _ = call(capsys, "methods", "check", "spoilt_tiles:TileMean", "--quick")
    assert code == 1
    (line,) = [line for line in shown.splitlines() if "failed  " in line]
    assert "probabilities" in line and "not negative" in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["check", "prnuu"], "Did you mean prnu"),
        (["check", "prnu:no"], "no variant 'no'"),
        (["check", "no.such:Thing"], "No module named 'no'"),
        (["check", "json:JSONDecoder"], "is not a subclass of fpbench.method.Method"),
        (["check", "prnu", "--set", "sigm=3"], "Did you mean sigma"),
        (["new", "prnu"], "already (of fpbench-suite)"),
        (["new", "My_Method"], "lower-case letters"),
        (["new", "json"], "name that is taken"),
        (["new", "class"], "name that is taken"),
        (["new", "all"], "name that is taken"),
        (["new", "../x"], "lower-case letters"),
        (["new", "fine", "--into", "nowhere"], "no folder nowhere"),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "methods", *words)
    assert code == 2 and told in err and "Traceback" not in err


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("three years")
    with pytest.raises(BadInput, match="not overwritten"):
        write_package("mine", tmp_path)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert list(tmp_path.iterdir()) == [tmp_path / "mine"]


def test_all_means_every_registered_method() -> None:
    from fpbench.cli.methods import _wanted

    wanted, broken = _wanted(("all", "prnu:camera"))
    assert [name for name, _, _ in wanted] == [*method_names(), "prnu"]
    assert broken == [] and wanted[-1][2] == "camera"
