"""Which files of trained weights a job has read, for its record, and whether they are meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from fpbench.files import file_sha256

_NOTED: ContextVar[dict[str, str] | None] = ContextVar("weights", default=None)


@contextmanager
def weights_noted() -> Iterator[dict[str, str]]:
    """What `note_weights` is told inside the block: names to SHA-256."""
    noted: dict[str, str] = {}
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def note_weights(path: Path) -> None:
    """Note a file of trained weights that a method reads.

    A file of the Hub's cache is noted as ``OWNER/NAME@COMMIT/FILE``, any other by its own name:
    where it lies on a machine tells nothing about a result.

    Args:
        path: The file.
    """
    noted = _NOTED.get()
    if noted is not None:
        noted[_name_of(path)] = file_sha256(path)


def check_weights(path: Path, sha256: str, what: str) -> None:
    """Refuse a file of trained weights that is not the one meant.

    Args:
        path: The file.
        sha256: The SHA-256 that it must have, or the beginning of it.
        what: What it is called in the message.

    Raises:
        OSError: If it has another.
    """
    found = file_sha256(path)
    if not found.startswith(sha256):
        raise OSError(
            f"{path} has the SHA-256 {found[:12]}..., but {what} has {sha256[:12]}...: remove the "
            "file, so that it is fetched anew"
        )


def _name_of(path: Path) -> str:
    # The Hub's client lays its cache out as models--OWNER--NAME/snapshots/COMMIT/FILE.
    parts = path.parts
    for k in range(len(parts) - 3):
        if parts[k].startswith("models--") and parts[k + 1] == "snapshots":
            repository = parts[k].removeprefix("models--").replace("--", "/")
            return f"{repository}@{parts[k + 2]}/{'/'.join(parts[k + 3 :])}"
    return path.name
