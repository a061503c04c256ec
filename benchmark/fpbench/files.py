"""Files and folders that are whole or not there, and read within bounds.

Written, then renamed; hashed; what a killed process left is removed.

Scratch names begin with `SCRATCH` and hold the process id of their owner, so that what a killed
process left can be told from what another one is writing (`remove_abandoned`).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from fpbench.errors import BadInput

SCRATCH = ".partial-"
"""How the name of everything begins that is not finished; readers pass over such names."""

LARGEST = 4 << 20
"""Bytes of the largest document that is read; none of ours comes near."""

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
def writing_folder(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """A folder to fill, which becomes `path` if the block ends well and is removed if not.

    Everything in it is readable by all whom the umask lets.

    Args:
        path: The folder.
        replace: Whether what lies at `path` by then is replaced in one step and removed; else it
            stays, and what the block wrote is removed. The latter is for folders named by what
            they hold, where whoever was faster wrote the same.

    Raises:
        CannotWrite: If the disk is full or the folder is not ours, with the system's reason.
    """
    with told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=_prefix(), dir=path.parent))
    try:
        yield scratch
        with told(path):
            _open_to_all(scratch)
            _put(scratch, path, replace)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _open_to_all(folder: Path) -> None:
    """Let those read whom the umask lets: some writers of files keep them to their owner."""
    mask = _umask()
    for place, _, names in os.walk(folder):
        Path(place).chmod(0o777 & ~mask)
        for path in (Path(place) / name for name in names):
            if not path.is_symlink():
                path.chmod(0o666 & ~mask)


def _put(scratch: Path, path: Path, replace: bool) -> None:
    """Put a folder in its place; another process may be putting the same one there meanwhile."""
    for attempt in range(5):
        outdated = Path(tempfile.mkdtemp(prefix=_prefix(), dir=path.parent))
        try:
            if path.exists():
                if not replace:
                    return
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


def expanded(path: Path) -> Path:
    """A path with ``~`` and ``~name`` written out.

    Raises:
        BadInput: If there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise BadInput(
            f"{path} begins with the home folder of a user who is not here; write the whole path."
        ) from error


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


def read_limited(path: Path, what: str, largest: int = LARGEST) -> str:
    """The text of a plain file, if it is not larger than `largest` bytes.

    Args:
        path: The file; devices and pipes, which never end, are refused.
        what: What it is, for messages, e.g. ``record``.
        largest: Bytes read at most.

    Raises:
        BadInput: If it is not there, no plain file, too large, or not UTF-8.
    """
    try:
        if not path.exists():
            raise BadInput(f"There is no {what} {path}.")
        if not path.is_file():
            raise BadInput(f"{path} is no plain file, so it cannot be a {what}.")
        if path.stat().st_size > largest:
            raise BadInput(
                f"{path} has more than {largest / 2**20:g} MiB; no {what} is that large."
            )
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"Cannot read the {what} {path}: {reason}.") from error


def parse_json(text: str, path: Path, what: str) -> dict[str, Any]:
    """The object that a JSON text holds; numbers that are not finite are refused.

    Raises:
        BadInput: If it is no JSON, or not an object.
    """
    try:
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} is not a {what}: it holds a {type(content).__name__}.")
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number that a document may hold")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
