"""What a folder of images says by its sub-folders: sources, splits and groups.

Understood are ``SOURCE/FILE``, ``SOURCE/GROUP/FILE``, ``SOURCE/SPLIT/FILE`` and
``SPLIT/SOURCE/FILE``, the last two with groups within, too.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fpbench.datasets.imagefiles import (
    SUFFIXES,
    ImageFile,
    checked_name,
    inside,
    list_images,
    status_of,
)
from fpbench.datasets.splitting import BY_PREFIX
from fpbench.errors import BadInput
from fpbench.images import REAL

SPLIT_NAMES = {
    "reference": "reference",
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
"""Names of folders that are splits."""


@dataclass(frozen=True)
class Placed:
    """An image file and what its place says.

    Attributes:
        file: The file.
        id: Its path relative to the dataset's folder.
        split: The split whose folder it lies in, or "".
        group: Name of its group, or "".
    """

    file: ImageFile
    id: str
    split: str = ""
    group: str = ""


def place_images(folder: Path, grouping: str | None) -> dict[str, list[Placed]]:
    """Image files by source, Real first where there are real images, each source's by path.

    Args:
        folder: The folder.
        grouping: How files name a group (see `fpbench.datasets.splitting.GROUPINGS`), or None:
            sub-folders of a source that are no splits are groups in any case.

    Raises:
        BadInput: If there are no folders of images, images would be dropped, a source has a file
            that is no image, or names cannot be told apart.
    """
    names = _folders(folder)
    if _are_splits(names):
        _refuse_case(folder, names, whose="split")
        found: dict[str, list[Placed]] = {}
        for split in names:
            for source in _sources(folder / split):
                own = _of_source(folder, folder / split / source, SPLIT_NAMES[split.lower()])
                found.setdefault(source, []).extend(own)
        _refuse_case(folder, list(found))
    else:
        found = {name: _of_source(folder, folder / name, "") for name in _sources(folder)}
    if grouping == BY_PREFIX:
        found = {
            name: [Placed(p.file, p.id, p.split, prefix_of(p.file.path.stem)) for p in images]
            for name, images in found.items()
        }
    ordered = sorted(found, key=lambda name: (name != REAL, name))
    return {name: sorted(found[name], key=lambda p: p.file.path.parts) for name in ordered}


def prefix_of(stem: str) -> str:
    """The part of a name before its last ``-`` or ``_``; all of it where there is none.

    >>> prefix_of("prompt-017_3"), prefix_of("0001")
    ('prompt-017', '0001')
    """
    cut = max(stem.rfind("-"), stem.rfind("_"))
    return stem[:cut] if cut > 0 else stem


def _are_splits(names: Sequence[str]) -> bool:
    splits = {SPLIT_NAMES.get(name.lower()) for name in names}
    return None not in splits and {"train", "test"} <= splits


def _of_source(root: Path, folder: Path, split: str) -> list[Placed]:
    names = _folders(folder)
    if not names:
        return [_placed(root, image, split) for image in list_images(folder, strict=True)]
    beside = [path for path in inside(folder) if path.suffix.lower() in SUFFIXES]
    if any(stat.S_ISREG(status_of(path).st_mode) for path in beside):
        raise BadInput(
            f"{folder} holds images and, beside them, the folder {names[0]!r}; put all of a "
            "source's images into its folder itself, or all into sub-folders, one for each group "
            "or split."
        )
    if not split and _are_splits(names):
        return [
            placed
            for name in names
            for placed in _of_source(root, folder / name, SPLIT_NAMES[name.lower()])
        ]
    return [
        _placed(root, image, split, name)
        for name in names
        for image in list_images(folder / name, strict=True)
    ]


def _placed(root: Path, image: ImageFile, split: str, group: str = "") -> Placed:
    return Placed(image, image.path.relative_to(root).as_posix(), split, group)


def _sources(folder: Path) -> list[str]:
    names = _folders(folder)
    _refuse_case(folder, names)
    return names


def _folders(folder: Path) -> list[str]:
    """Names of the folders within a folder, sorted.

    Raises:
        BadInput: If images would be dropped.
    """
    names: list[str] = []
    for path in inside(folder):
        if not stat.S_ISDIR(status_of(path).st_mode):
            continue
        name = checked_name(path)
        if not name.startswith("."):
            names.append(name)
        elif any(image.suffix.lower() in SUFFIXES for image in inside(path)):
            raise BadInput(
                f"{path} holds images but is hidden (its name begins with a dot), so it is not "
                "taken for a source; rename or remove it."
            )
    return names


def _refuse_case(folder: Path, names: Sequence[str], whose: str = "source") -> None:
    """Refuse two names that are the same where case does not count.

    Raises:
        BadInput: Naming both.
    """
    owners = {REAL: REAL} if whose == "source" else {}
    for name in names:
        key = name.casefold() if whose == "source" else SPLIT_NAMES[name.lower()]
        first = owners.setdefault(key, name)
        if first != name and whose == "split":
            raise BadInput(
                f"{folder} has the folders {first!r} and {name!r}, which are one split; put their "
                "images together."
            )
        if first != name:
            raise BadInput(
                f"{folder} has a source {name!r}, which differs from {first!r} by upper and lower "
                f"case alone; rename one. The folder of real images is named {REAL!r}."
            )
