"""Image files in a folder: which they are, and their bytes, never more than a stated bound."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.files import SCRATCH

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})

LARGEST_IMAGE = 256 << 20
"""Bytes of the largest image file that is read."""

_OF_THE_SYSTEM = frozenset({"thumbs.db", "desktop.ini", ".ds_store", "icon\r"})


@dataclass(frozen=True)
class ImageFile:
    """One image file as it was when it was listed.

    Attributes:
        path: Where it is.
        stamp: Size, time of the last change and file number: what tells that it was changed.
    """

    path: Path
    stamp: tuple[int, int, int]

    def read(self) -> bytes:
        """Its bytes.

        Raises:
            BadInput: If it is gone, cannot be read, or was changed since it was listed.
        """
        try:
            if _stamp(self.path.stat()) != self.stamp:
                raise BadInput(f"{told_path(self.path)} was changed meanwhile; start again.")
            with self.path.open("rb") as stream:
                data = stream.read(LARGEST_IMAGE + 1)
        except OSError as error:
            raise BadInput(
                f"{told_path(self.path)} cannot be read ({error.strerror or error}); make it "
                "readable, or remove it."
            ) from error
        if len(data) > LARGEST_IMAGE:
            raise _too_large(self.path)
        return data

    def sha256(self) -> str:
        """SHA-256 of its bytes, in hexadecimal digits.

        Raises:
            BadInput: As `read`.
        """
        return _sha256(self)


@lru_cache(maxsize=1 << 18)
def _sha256(image: ImageFile) -> str:
    # A plan finds its datasets before it runs and loads them as it runs: each file is hashed once.
    return hashlib.sha256(image.read()).hexdigest()


def list_images(folder: Path, *, strict: bool) -> list[ImageFile]:
    """The image files of a folder, sorted by name.

    What operating systems leave (``Thumbs.db``, ``desktop.ini``, ``.DS_Store``, ``._NAME``) is
    passed over.

    Args:
        folder: The folder.
        strict: Whether anything that is no image is refused; else it is passed over.

    Raises:
        BadInput: If the folder cannot be read, or holds an image that is hidden, no plain file,
            too large, or has a name that is not UTF-8; if `strict`, also for other things.
    """
    found = []
    for path in inside(folder):
        image = path.suffix.lower() in SUFFIXES
        if path.name.startswith(".") and image:
            raise BadInput(
                f"{told_path(path)} is hidden (its name begins with a dot), so it is not taken for "
                "one of the images; rename or remove it."
            )
        if path.name.startswith(".") or not (image or strict):
            continue
        checked_name(path)
        status = status_of(path)
        if stat.S_ISDIR(status.st_mode):
            if not strict:
                continue
            raise BadInput(
                f"{path} is a folder within a source's folder; put the images of a source directly "
                f"into {folder}."
            )
        if not image:
            raise BadInput(
                f"{path} is no PNG, JPEG or WebP image; a source's folder holds images only. "
                "Remove or convert it."
            )
        if not stat.S_ISREG(status.st_mode):
            raise BadInput(
                f"{path} is no plain file but {_kind(status.st_mode)}; remove it from the images."
            )
        if status.st_size > LARGEST_IMAGE:
            raise _too_large(path)
        found.append(ImageFile(path, _stamp(status)))
    return found


def image_file(path: Path) -> ImageFile:
    """One image file as it is now.

    Raises:
        BadInput: If it is no plain file, or too large.
    """
    status = status_of(path)
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"{told_path(path)} is no plain file but {_kind(status.st_mode)}.")
    if status.st_size > LARGEST_IMAGE:
        raise _too_large(path)
    return ImageFile(path, _stamp(status))


def inside(folder: Path) -> Iterator[Path]:
    """What a folder holds, sorted by name, without what systems and unfinished work leave there.

    Raises:
        BadInput: If the folder cannot be read.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise BadInput(
            f"The folder {told_path(folder)} cannot be read ({error.strerror or error})."
        ) from error
    for path in paths:
        left = path.name.lower() in _OF_THE_SYSTEM or path.name.startswith("._")
        if not left and not path.name.startswith(SCRATCH):
            yield path


def status_of(path: Path) -> os.stat_result:
    """What the system says of a file or folder, links followed.

    Raises:
        BadInput: If it is a link to nothing or to itself, or may not be looked at.
    """
    try:
        return path.stat()
    except FileNotFoundError as error:
        raise BadInput(
            f"{path} is a link to a file that is not there; remove it, or put the image there."
        ) from error
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror or error}); remove or replace it."
        ) from error


def checked_name(path: Path) -> str:
    """The name of a file or folder.

    Raises:
        BadInput: If it is not UTF-8, so that no record could hold it.
    """
    try:
        path.name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(
            f"The name of {told_path(path)} is not UTF-8, so nothing can refer to it; rename it."
        ) from error
    return path.name


def told_path(path: Path) -> str:
    """A path that any stream can print, whatever bytes it is made of."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _kind(mode: int) -> str:
    kinds = (
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
    )
    return next((name for test, name in kinds if test(mode)), "something else")


def _too_large(path: Path) -> BadInput:
    return BadInput(
        f"{told_path(path)} has more than {LARGEST_IMAGE >> 20} MiB; no image of a dataset is that "
        "large. Remove it."
    )
