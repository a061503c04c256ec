"""Labelled image files: a folder for each label, or a CSV of paths or addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from fpbench.datasets.imagefiles import SUFFIXES, ImageFile, image_file, told_path
from fpbench.datasets.labelled.hub_listing import split_of
from fpbench.datasets.labelled.table import Rows, Table
from fpbench.errors import BadInput, suggest

if TYPE_CHECKING:
    from fpbench.datasets.downloads.wanted import Wanted
    from fpbench.datasets.labelled.spec import Labelled
    from fpbench.method import Progress

_ADDRESSES = ("http", "https")


@dataclass(frozen=True)
class Item:
    """One image file and what is said of it.

    Attributes:
        id: Its path within the dataset, or its address.
        label: Its label.
        split: The dataset's split, or "".
        group: Its group, or "".
        file: The file, where it is here.
        wanted: What is downloaded, where it is not.
        digest: What tells its content before it is read; None has the file hashed.
    """

    id: str
    label: str
    split: str = ""
    group: str = ""
    file: ImageFile | None = None
    wanted: Wanted | None = None
    digest: str | None = None


class FileTable(Table):
    """Rows that are one image file each; a block is a file.

    Args:
        items: The files.
        name: The dataset's name.
        offline: Whether what is not here may not be asked for.
    """

    def __init__(self, items: Sequence[Item], *, name: str, offline: bool) -> None:
        self.name = name
        self._items = list(items)
        self._offline = offline
        self.direct = True
        self.rows = Rows(
            np.array([item.label for item in items], str),
            np.array([item.group for item in items], str),
            np.array([item.split for item in items], str),
            np.arange(len(items)),
            np.zeros(len(items), np.int64),
        )

    def identity(self, row: int) -> str:
        """Hash of the file; of an address whose bytes nobody states, the address."""
        item = self._items[row]
        if item.digest is not None:
            return item.digest
        if item.file is not None:
            return item.file.sha256()
        return item.wanted.url if item.wanted is not None else item.id

    def place(self, row: int) -> str:
        """The path or address."""
        return self._items[row].id

    def size(self, block: int) -> int:
        """Bytes of a file that must be downloaded, if they are known."""
        wanted = self._items[block].wanted
        return 0 if wanted is None else wanted.size or 0

    def read(self, block: int, inner: Sequence[int]) -> list[bytes]:
        """The bytes of a file."""
        item = self._items[block]
        if item.file is not None:
            return [item.file.read()]
        from fpbench.datasets.downloads.fetch import fetch

        assert item.wanted is not None  # noqa: S101
        (path,) = fetch([item.wanted], offline=self._offline)
        self.fetched += path.stat().st_size
        return [path.read_bytes()]

    def prepare(self, blocks: Sequence[int], progress: Progress | None) -> None:
        """Download files, several at a time, each checked."""
        from fpbench.datasets.downloads.fetch import fetch

        found = (self._items[block].wanted for block in blocks)
        wanted = [one for one in found if one is not None]
        if wanted:
            fetch(wanted, offline=self._offline, progress=progress)


def folder_items(folder: Path, spec: Labelled) -> list[Item]:
    """Image files of a folder by the name of the folder they lie in.

    Raises:
        BadInput: If a file cannot be looked at.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    items = []
    for path in paths:
        relative = path.relative_to(folder).as_posix()
        label = label_of(relative)
        if label and not any(part.startswith(".") for part in PurePosixPath(relative).parts):
            items.append(Item(relative, label, split_of(relative), file=image_file(path)))
    return items


def label_of(path: str) -> str:
    """The folder that a file lies in, or "" for one that lies in none.

    >>> label_of("train/stylegan/1.png"), label_of("1.png")
    ('stylegan', '')
    """
    return PurePosixPath(path).parent.name


def csv_items(
    text: bytes,
    place: str,
    spec: Labelled,
    find: Any,
    split: str = "",
) -> list[Item]:
    """The lines of a CSV file.

    Args:
        text: The file.
        place: What to call it in a message.
        spec: Columns.
        find: Called with a path; returns fields of the `Item` that the file is.
        split: The dataset's split that the file belongs to; a column of that name comes first.

    Raises:
        BadInput: If it is no CSV, a column is not there, or a path leads out of its folder.
    """
    columns = _columns(text, place)
    image = _chosen(columns, spec.image, ("image", "file_name", "path", "url"), place, "image")
    label = _chosen(columns, spec.label, ("label",), place, "label")
    group = _chosen(columns, spec.group, (), place, "group") if spec.group else None
    for name in spec.where:
        _chosen(columns, name, (), place, "where")
    items = []
    splits = columns.get("split")
    for line, path in enumerate(columns[image]):
        if any(columns[name][line] not in values for name, values in spec.where.items()):
            continue
        where = f"line {line + 2} of {place}"
        if not path:
            raise BadInput(f"L{where[1:]} names no image in the column {image!r}.")
        items.append(
            Item(
                id=path,
                label=columns[label][line],
                split=splits[line] if splits else split,
                group="" if group is None else columns[group][line],
                **find(path, where),
            )
        )
    return items


def is_address(path: str) -> bool:
    """Whether a path is an address on the web."""
    return urlsplit(path).scheme in _ADDRESSES


def refuse_outside(path: str, where: str) -> None:
    """Refuse a path that leads out of the folder of its CSV file.

    Raises:
        BadInput: Naming the path and the line.
    """
    parts = PurePosixPath(path.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\0" in path or ":" in path[:3]:
        raise BadInput(
            f"{path!r} in {where} leads out of the file's own folder; write paths relative to it, "
            "or addresses."
        )


def local_file(folder: Path) -> Any:
    """Finds the images of a CSV file in its folder, or by address."""
    from fpbench.datasets.downloads.wanted import Wanted

    root = folder.resolve()

    def find(path: str, where: str) -> Mapping[str, Any]:
        if is_address(path):
            return {"wanted": Wanted(path)}
        refuse_outside(path, where)
        target = folder / path
        # A link may lead out where the path itself does not.
        if not target.resolve().is_relative_to(root):
            raise BadInput(
                f"{path!r} in {where} leads out of the file's own folder by a link; put the image "
                "there."
            )
        if not target.is_file():
            raise BadInput(f"{told_path(target)}, which {where} names, is not there.")
        return {"file": image_file(target)}

    return find


def _columns(text: bytes, place: str) -> dict[str, list[str]]:
    import csv
    import io

    try:
        lines = list(csv.reader(io.StringIO(text.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{place} cannot be read as CSV in UTF-8: {error}.") from error
    lines = [line for line in lines if line]
    if not lines:
        raise BadInput(f"{place} is empty; its first line must name its columns.")
    head = lines[0]
    twice = next((name for name in head if head.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"{place} has two columns {twice!r}; rename one.")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(head):
            raise BadInput(
                f"Line {number} of {place} has {len(line)} values, but there are {len(head)} "
                "columns."
            )
    return {name: [line[index] for line in lines[1:]] for index, name in enumerate(head)}


def _chosen(
    columns: Mapping[str, Any], asked: str | None, usual: Sequence[str], place: str, option: str
) -> str:
    if asked is not None and asked in columns:
        return asked
    found = next((name for name in usual if name in columns), None)
    if asked is None and found is not None:
        return found
    raise BadInput(
        f"{place} has no column {asked or usual[0]!r}. {suggest(asked or usual[0], columns)} "
        f"Choose one with {'--' if option != 'where' else ''}{option}."
    )
