"""fpbench is never installed by the name of somebody else's package."""

import re
import subprocess
import sys
import tomllib
import venv
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

from fpbench import distribution
from fpbench.cli.scaffold import write_package

ROOT = Path(__file__).parents[1]


def test_the_projects_own_name_is_the_one_in_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == distribution.NAME != distribution.BEFORE
    assert "fpbench" in project["scripts"]


def test_no_text_tells_anybody_to_install_the_other_package() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "*.py", "*.md", "*.toml", "*.txt", "*.yml"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    wrong = re.compile(r"""(install|==?|["'])\s*["']?fpbench(\[|["']?\s*(,|\]|$)|==)""")
    told = []
    for name in tracked:
        for line in (ROOT / name).read_text("utf-8", errors="replace").splitlines():
            if "install" in line and wrong.search(line) and "-m" not in line:
                told.append(f"{name}: {line.strip()}")
    assert told == []


def make_wheel(folder: Path, name: str, module: str) -> None:
    """A wheel of nothing but one module, built without anything else."""
    plain = name.replace("-", "_")
    metadata = Message()
    metadata["Metadata-Version"] = "2.1"
    metadata["Name"], metadata["Version"] = name, "9.9"
    info = f"{plain}-9.9.dist-info"
    with ZipFile(folder / f"{plain}-9.9-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}.py", f"NAME = {name!r}\n")
        wheel.writestr(f"{info}/METADATA", str(metadata))
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


def test_a_scaffold_installed_beside_a_decoy_never_chooses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index with both: the stranger's ``fpbench`` and the distribution that is meant."""
    index = tmp_path / "index"
    index.mkdir()
    make_wheel(index, "fpbench", "stranger")
    make_wheel(index, distribution.NAME, "meant")
    write_package("my-method", tmp_path)
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    wheel = tmp_path / "plugin"
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheel)],
        cwd=tmp_path / "my-method", check=True, capture_output=True,
    )  # fmt: skip
    (built,) = wheel.glob("*.whl")
    done = subprocess.run(
        [python, "-m", "pip", "install", "--no-index", "--find-links", str(index), str(built)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    ).stdout
    assert f"{distribution.NAME}==9.9" in listed
    assert "\nfpbench==" not in f"\n{listed}"


def test_records_of_before_are_read_as_of_the_same_package() -> None:
    assert distribution.renamed("fpbench 0.1.0") == f"{distribution.NAME} 0.1.0"
    assert distribution.renamed("fpbench-mine 1") == "fpbench-mine 1"


def test_the_command_that_adds_an_extra_names_this_installation() -> None:
    command = distribution.install_command("zoo")
    assert command.startswith("pip install ") and "[zoo]" in command
    assert "fpbench[zoo]" not in command
