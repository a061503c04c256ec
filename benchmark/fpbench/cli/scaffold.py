"""Writes the beginnings of a package that brings one method."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
import tempfile
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from string import Template

from fpbench import distribution, registry
from fpbench.errors import BadInput

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "{module}.py": "method.py.txt",
    "tests/test_{module}.py": "test.py.txt",
}


def check_new_name(name: str) -> None:
    """Whether a new method may be called `name`.

    Raises:
        BadInput: If it is no name of a method, or taken by a method, a module or a keyword.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no name for a method: use lower-case letters, digits and single hyphens, "
            "beginning with a letter, e.g. my-method."
        )
    if name in registry.method_names():
        raise BadInput(
            f"There is a method {name!r} already (of {registry.method_origin(name)}); choose "
            "another name."
        )
    module = name.replace("-", "_")
    taken = keyword.iskeyword(module) or name == "all"
    if taken or module in sys.stdlib_module_names or importlib.util.find_spec(module) is not None:
        raise BadInput(
            f"{name!r} would need a Python module {module}, a name that is taken; choose another."
        )


def write_package(name: str, parent: Path) -> list[Path]:
    """Write the package of a new method into ``parent/name``.

    Args:
        name: The method's name.
        parent: An existing folder.

    Returns:
        The files that were written.

    Raises:
        BadInput: If the name may not be used, the folder is there already or cannot be written.
    """
    check_new_name(name)
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise BadInput(f"{folder} exists already and is not overwritten; choose another name or "
                       "another folder with --into.")  # fmt: skip
    if not parent.is_dir():
        raise BadInput(f"There is no folder {parent}; make it first or choose another with --into.")
    module = name.replace("-", "_")
    values = {
        "name": name,
        "module": module,
        "cls": "".join(part.capitalize() for part in name.split("-")),
        "year": str(datetime.now(UTC).year),
        "distribution": distribution.NAME,
        "requirement": distribution.requirement(),
    }
    templates = resources.files("fpbench.cli") / "templates" / "method"
    written = []
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix=f".{name}-") as scratch:
            whole = Path(scratch, name)
            for pattern, template in _FILES.items():
                path = whole / pattern.format(module=module)
                path.parent.mkdir(parents=True, exist_ok=True)
                text = (templates / template).read_text(encoding="utf-8")
                path.write_text(Template(text).substitute(values), encoding="utf-8")
                written.append(folder / path.relative_to(whole))
            whole.rename(folder)
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror}.") from error
    return written
