"""Downloaded files on disk: named by their SHA-256, whole or not there, shared by all datasets."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from fpbench.datasets.cache import cache_root
from fpbench.datasets.downloads.refusals import of_hash
from fpbench.datasets.downloads.wanted import Wanted, told_bytes
from fpbench.errors import BadInput
from fpbench.files import (
    SCRATCH,
    expanded,
    file_sha256,
    parse_json,
    read_limited,
    told,
    write_text,
)

FILES_VARIABLE = "FPBENCH_FILES"
"""Environment variable naming a folder with files that were had by other means. Their names do not
matter: each is known by its size and SHA-256."""

# Smaller files are hashed whenever they are found, larger ones when they come.
_CHECK_ALWAYS = 64 << 20
# What the file system needs beside the bytes themselves.
_SPARE = 64 << 20
_LARGEST_NOTE = 4096


def downloads_root() -> Path:
    """Folder of downloaded files: ``downloads`` in that of everything cached."""
    return cache_root() / "downloads"


def find(wanted: Wanted) -> Path | None:
    """Where the bytes of a file lie already, checked; None where they do not.

    What was damaged or changed since it was had counts as not being here.

    Raises:
        BadInput: If the folder of `FILES_VARIABLE` cannot be read.
    """
    sha256 = wanted.sha256 or _noted(wanted)
    if sha256 is None:
        return None
    own = _place(sha256)
    if own.is_file() and _is_it(own, sha256, wanted.size):
        return own
    named = os.environ.get(FILES_VARIABLE)
    if named:
        for path in _files_by_size(expanded(Path(named))).get(wanted.size, ()):
            if _is_it(path, sha256, wanted.size):
                return path
    return None


def require_space(count: int) -> None:
    """Refuse a download that the disk has no room for.

    Args:
        count: Bytes that will come.

    Raises:
        BadInput: Naming the bytes needed and free, and the folder.
    """
    root = downloads_root()
    with told(root):
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
    if free < count + _SPARE:
        raise BadInput(
            f"The download needs {told_bytes(count)} ({count} bytes), and {root} has "
            f"{told_bytes(free)} free ({free} bytes): free space there, or set FPBENCH_CACHE to "
            "another folder."
        )


class Partial:
    """The bytes of a file that have come so far; they outlive this process.

    It is a `Sink`: bytes are taken in order, and a download goes on from those that are here.

    Args:
        wanted: The file.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        name = hashlib.sha256(f"{wanted.url} {wanted.sha256}".encode()).hexdigest()[:32]
        # Its name does not begin as scratch does, which is removed when its process is gone.
        self._path = downloads_root() / "unfinished" / name
        with told(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._path.open("ab")
            self.had = self._stream.tell()
        if wanted.size is not None and self.had > wanted.size:
            self.restart()

    def write(self, data: bytes) -> None:
        """Take the bytes that follow.

        Raises:
            CannotWrite: If the disk is full.
        """
        with told(self._path):
            self._stream.write(data)
        self.had += len(data)

    def restart(self) -> None:
        """Forget all bytes: they come again from the first."""
        with told(self._path):
            self._stream.truncate(0)
        self.had = 0

    def close(self) -> None:
        """Keep what is here for the next time."""
        try:
            with told(self._path):
                self._stream.close()
        finally:
            if self.had == 0:
                self._path.unlink(missing_ok=True)

    def finish(self) -> Path:
        """Check the file and put it in its place in one step.

        Raises:
            Changed: If it is not the one that was asked for; its bytes are forgotten.
            CannotWrite: If it cannot be written.
        """
        self.close()
        found = file_sha256(self._path)
        wanted = self._wanted
        if wanted.sha256 is not None and found != wanted.sha256:
            self._path.unlink()
            raise of_hash(wanted.address, found, wanted.sha256)
        target = _place(found)
        with told(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            self._path.replace(target)
        if wanted.sha256 is None:
            note = {"url": wanted.url, "sha256": found}
            write_text(_note(wanted), json.dumps(note, indent=2) + "\n")
        return target


@contextmanager
def one_at_a_time(host: str, waiting: Callable[[str, float], None]) -> Iterator[None]:
    """Keep other processes from asking a host until the block ends.

    Where the file system knows no locks, they are not kept.

    Args:
        host: The host.
        waiting: Called as ``waiting(what, seconds)`` while another process asks it.
    """
    from filelock import FileLock, Timeout

    name = hashlib.sha256(host.encode()).hexdigest()[:16]
    path = downloads_root() / "locks" / name
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=1)
            break
        except Timeout:
            waiting(f"another download from {host}", 1.0)
        except (OSError, NotImplementedError):
            break
    try:
        yield
    finally:
        lock.release()


def _place(sha256: str) -> Path:
    return downloads_root() / sha256[:2] / sha256


def _note(wanted: Wanted) -> Path:
    name = hashlib.sha256(wanted.url.encode()).hexdigest()[:32]
    return downloads_root() / "addresses" / f"{name}.json"


def _noted(wanted: Wanted) -> str | None:
    """The hash of what an address gave before, for files of which nobody says it."""
    path = _note(wanted)
    if not path.is_file():
        return None
    try:
        note = parse_json(read_limited(path, "note", _LARGEST_NOTE), path, "note")
        return Wanted(wanted.url, str(note["sha256"])).sha256 if note["url"] == wanted.url else None
    except (BadInput, KeyError):
        # A note that was damaged is written anew.
        return None


def _is_it(path: Path, sha256: str, size: int | None) -> bool:
    try:
        status = path.stat()
        if size is not None and status.st_size != size:
            return False
        if path == _place(sha256) and status.st_size > _CHECK_ALWAYS:
            return True
        return _hash(path, status.st_size, status.st_mtime_ns, status.st_ino) == sha256
    except OSError:
        return False


@lru_cache(maxsize=1 << 18)
def _hash(path: Path, size: int, changed: int, number: int) -> str:
    return file_sha256(path)


def _files_by_size(folder: Path) -> dict[int | None, list[Path]]:
    """The files of a folder and of those within, by size."""
    if not folder.is_dir():
        raise BadInput(f"{FILES_VARIABLE} names {folder}, which is no folder; correct or unset it.")
    return _listed(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _listed(folder: Path, changed: int) -> dict[int | None, list[Path]]:
    found: dict[int | None, list[Path]] = {}
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(SCRATCH) and path.is_file():
                found.setdefault(path.stat().st_size, []).append(path)
    return found
