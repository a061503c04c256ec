"""Lists of public files beside a recipe: URL, SHA-256 and bytes of each, as tab-separated text."""

from __future__ import annotations

from pathlib import Path

from fpbench.datasets.downloads.wanted import Wanted
from fpbench.errors import BadInput
from fpbench.files import read_limited

COLUMNS = ("url", "sha256", "bytes")
# Some 200 bytes a line: the list of a hundred thousand files.
_LARGEST = 32 << 20


def manifest_path(name: str, recipe: Path) -> Path:
    """Where a recipe's list of files is: within the folder of the recipe.

    Raises:
        BadInput: If its path leads out of that folder, or it is not there.
    """
    path = recipe / name
    try:
        inside = path.resolve().is_relative_to(recipe.resolve())
    except (OSError, RuntimeError) as error:
        raise BadInput(f"The list of files {name!r} of {recipe} cannot be looked at.") from error
    if Path(name).is_absolute() or ".." in Path(name).parts or not inside:
        raise BadInput(
            f"The list of files {name!r} leads out of {recipe}; put it into that folder, e.g. as "
            f"origins/{Path(name).name}."
        )
    if not path.is_file():
        raise BadInput(f"The list of files {name!r} is not in {recipe}.")
    return path


def read_manifest(path: Path) -> tuple[Wanted, ...]:
    """The files of a list, in its order.

    Raises:
        BadInput: If it is no such list, an address leads out of its host's folder, or a file
            stands there twice; the message names the line.
    """
    lines = read_limited(path, "list of files", _LARGEST).splitlines()
    if not lines or tuple(lines[0].split("\t")) != COLUMNS:
        raise BadInput(f"{path}: the first line must name the columns: {', '.join(COLUMNS)}.")
    found: list[Wanted] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise BadInput(f"{path}, line {number}: {len(cells)} columns, not {len(COLUMNS)}.")
        url, sha256, size = cells
        if not size.isdigit():
            raise BadInput(f"{path}, line {number}: {size!r} is no number of bytes.")
        try:
            wanted = Wanted(url, sha256, int(size))
        except BadInput as error:
            raise BadInput(f"{path}, line {number}: {error}") from error
        for key in (url, sha256):
            if key in seen:
                raise BadInput(
                    f"{path}, line {number}: the same file stands on line {seen[key]}; no image "
                    "may stand twice in a dataset."
                )
            seen[key] = number
        found.append(wanted)
    if not found:
        raise BadInput(f"{path} names no files.")
    return tuple(found)
