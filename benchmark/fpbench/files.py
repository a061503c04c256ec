"""Files and folders that are whole or not there: write then rename, hashes, scratch of the dead.

Scratch names begin with `SCRATCH` and hold the process id of their owner, so that what a killed
process left can be told from what another one is writing (`remove_abandoned`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fpbench.errors import BadInput

SCRATCH = ".partial-"
"""How the name of everything begins that is not finished; readers pass over such names."""

_OWNED = re.compile(rf"{re.escape(SCRATCH)}(?P<host>[0-9a-f]{{8}})-(?P<pid>\d+)-")


def _prefix() -> str:
    return f"{SCRATCH}{_host()}-{os.getpid()}-"


def _host() -> str:
    """Eight digits for this machine: on a shared file system others' processes are not ours."""
    import platform

    return hashlib.sha256(platform.node().encode("utf-8", "replace")).hexdigest()[:8]


def is_scratch(path: Path) -> bool:
    """Whether a path is unfinished work, or lies within some."""
    return any(part.startswith(SCRATCH) for part in path.parts)


@contextmanager
def writing_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` if the block ends well and is removed if not.

    Folders above `path` are made. The file is readable by all whom the umask lets.

    Raises:
        CannotWrite: If the disk is full or the folder is not ours, with the system's reason.
    """
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_prefix(), suffix=path.suffix, dir=path.parent)
    os.close(handle)
    scratch = Path(name)
    try:
        with told(path):
            yield scratch
            scratch.chmod(0o666 & ~_umask())
            scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that no half of it is ever seen.

    Raises:
        CannotWrite: As `writing_file`.
    """
    with writing_file(path) as scratch:
        scratch.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, with line feeds on every system.

    Raises:
        CannotWrite: As `writing_file`.
    """
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `path` if the block ends well and is removed if not.

    What lay at `path` before is replaced in one step and then removed.

    Raises:
        CannotWrite: If the disk is full or the folder is not ours, with the system's reason.
    """
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=_prefix(), dir=path.parent))
    try:
        yield scratch
        with told(path):
            scratch.chmod(0o777 & ~_umask())
            _put(scratch, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put(scratch: Path, path: Path) -> None:
    """Put a folder in its place; another process may be putting the same one there meanwhile."""
    for attempt in range(5):
        outdated = Path(tempfile.mkdtemp(prefix=_prefix(), dir=path.parent))
        try:
            if path.exists():
                path.replace(outdated / "old")
            scratch.replace(path)
            return
        except OSError:
            # Another one has put its result there since, or taken the old one away.
            if attempt == 4:
                raise
        finally:
            shutil.rmtree(outdated, ignore_errors=True)


class CannotWrite(BadInput):
    """The system refuses to write a file or folder, e.g. because the disk is full."""


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into one sentence.

    Raises:
        CannotWrite: Instead of an `OSError`, with the path, the reason and the remedy.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWrite(
            f"Cannot write {path}: {reason}. Free space there, or choose another folder."
        ) from error


def remove_abandoned(root: Path, depth: int = 4) -> int:
    """Remove scratch whose process on this machine has ended, down to `depth` levels below `root`.

    Returns:
        How many files and folders were removed.
    """
    removed = 0
    for path in _scratch_below(root, depth):
        owner = _OWNED.match(path.name)
        if owner is None or owner["host"] != _host() or _alive(int(owner["pid"])):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed += 1
    return removed


def _scratch_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        # Gone meanwhile, or not ours to read: nothing to tidy there.
        return
    for path in inside:
        if path.name.startswith(SCRATCH):
            yield path
        elif depth > 1 and path.is_dir() and not path.is_symlink():
            yield from _scratch_below(path, depth - 1)


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        # It is there and another user's, or this system cannot tell.
        return True
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
