"""Reads images of unknown origin, a batch at a time; what cannot be judged is named, one by one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.decoding import NotPlain, decode, read_header
from fpbench.datasets.imagefiles import SUFFIXES, image_file, inside, status_of, told_path
from fpbench.datasets.png import decode_plain
from fpbench.datasets.traces import FileTraits
from fpbench.errors import BadInput
from fpbench.files import expanded

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Taken:
    """An image that can be judged.

    Attributes:
        place: What to call it.
        pixels: uint8 (H, W, 3).
        traits: What its header says, or None for a PNG without metadata.
        data: Its bytes, empty for such a PNG.
        is_file: Whether it comes from a file, so that its format is known.
    """

    place: str
    pixels: NDArray[np.uint8]
    traits: FileTraits | None = None
    data: bytes = b""
    is_file: bool = True


@dataclass(frozen=True)
class Refused:
    """What cannot be judged.

    Attributes:
        place: What to call it.
        reason: Why not, one sentence.
    """

    place: str
    reason: str


def list_files(paths: Iterable[str | Path]) -> Iterator[Path | Refused]:
    """The image files that paths stand for: a file itself, a folder's images by name.

    Folders within a folder are not entered, and other files in it are passed over. Of a folder no
    more than its names are kept.
    """
    for given in paths:
        try:
            path = expanded(Path(given))
            if not path.exists() and not path.is_symlink():
                raise BadInput(f"There is no file or folder {told_path(path)}.")
            if not stat.S_ISDIR(status_of(path).st_mode):
                yield path
                continue
            names = [
                found.name
                for found in inside(path)
                if found.suffix.lower() in SUFFIXES and not found.name.startswith(".")
            ]
            if not names:
                raise BadInput(
                    f"The folder {told_path(path)} holds no PNG, JPEG or WebP image itself; name "
                    "one that does (folders within it are not entered)."
                )
        except BadInput as error:
            yield Refused(str(given), str(error))
            continue
        for name in names:
            yield path / name


def read_batches(
    paths: Iterable[str | Path], size: tuple[int, int], batch: int
) -> Iterator[list[Taken | Refused]]:
    """Images of one size from files, in order, a batch at a time.

    Args:
        paths: Files and folders.
        size: Height and width.
        batch: Files read at a time.
    """
    listed = list_files(paths)
    while files := list(islice(listed, batch)):
        yield _read(files, size)


def _read(files: list[Path | Refused], size: tuple[int, int]) -> list[Taken | Refused]:
    found: list[Taken | Refused | None] = [None] * len(files)
    contents: list[bytes] = []
    places: list[int] = []
    for index, file in enumerate(files):
        if isinstance(file, Refused):
            found[index] = file
            continue
        try:
            contents.append(image_file(file).read())
            places.append(index)
        except BadInput as error:
            found[index] = Refused(told_path(file), str(error))
    pixels = np.empty((len(contents), *size, 3), np.uint8)
    others = set(decode_plain(contents, pixels))
    for position, index in enumerate(places):
        place = told_path(Path(os.fspath(files[index])))  # type: ignore[arg-type]
        if position in others:
            found[index] = _read_other(contents[position], place, size)
        else:
            found[index] = Taken(place, pixels[position])
    return [one for one in found if one is not None]


def _read_other(data: bytes, place: str, size: tuple[int, int]) -> Taken | Refused:
    """A file that is no plain PNG of the size that is expected."""
    try:
        traits = read_header(data, place)
        if traits.size == size:
            return Taken(place, decode(data, place), traits, data)
        return Refused(place, other_size(place, traits.size, size))
    except NotPlain as error:
        return Refused(
            place,
            f"{place} is not judged: it {error.facts}, but the model reads one upright picture of "
            "8-bit RGB pixels, and no promise covers what a conversion does to an image.",
        )
    except BadInput as error:
        return Refused(place, str(error))


def other_size(place: str, found: tuple[int, int], size: tuple[int, int]) -> str:
    """Why an image of another size than the model's is not judged."""
    return (
        f"{place} is not judged: it is {found[0]}x{found[1]} pixels, but the model was fitted on "
        f"images of {size[0]}x{size[1]}. Resizing it would change what is read, so it is not "
        "resized; use a model of its size."
    )
