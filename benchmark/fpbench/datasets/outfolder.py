"""The folder that a dataset is built into or pulled to: nothing of anybody else is overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from fpbench.datasets.card import read_manifest
from fpbench.datasets.layout import MANIFEST, README, RECIPE, SOURCES
from fpbench.documents import Document, told
from fpbench.errors import BadInput
from fpbench.files import read_limited, write_text

WORK = ".build"
"""Folder within a built dataset for checkpoints and finished sources; never shared."""

_CLAIM = "claim.json"
_OF_THE_CARD = (README, RECIPE, SOURCES)


class _Claim(Document):
    """Whose folder it is, from the moment that a build begins in it.

    Attributes:
        dataset: Name of the dataset.
    """

    dataset: str


def check_room(
    out: Path, dataset: str, written: Iterable[str], folders: Sequence[str], *, own: bool
) -> None:
    """Refuse a folder where something else stands in the place of what will be written.

    Nothing is written here. A folder that holds the same dataset is taken up.

    Args:
        out: The folder; need not exist.
        dataset: Name of the dataset that is to be there.
        written: Paths within `out` that will be written.
        folders: Folders within `out` of which every Parquet file is taken for the dataset's.
        own: Whether `out` is the card's own folder, whose card is there already.

    Raises:
        BadInput: Naming what stands in the way.
    """
    try:
        if out.exists() and not out.is_dir():
            raise BadInput(f"{out} is a file; choose another folder with --out.")
    except OSError as error:
        raise BadInput(
            f"{out} cannot be looked at ({error.strerror or error}); choose another folder with "
            "--out."
        ) from error
    holds = _holds(out)
    if holds == dataset:
        return
    if holds is not None:
        raise BadInput(
            f"{out} holds the dataset {holds!r}, which {dataset!r} would replace; choose another "
            "folder with --out."
        )
    known = set(_OF_THE_CARD) if own else set()
    for name in dict.fromkeys((*written, MANIFEST)):
        path = out / name
        if name not in known and (path.exists() or path.is_symlink()):
            raise _refused(path)
    for folder in folders:
        for path in sorted((out / folder).glob("*.parquet")):
            raise _refused(path)


def claim(out: Path, dataset: str) -> Path:
    """Note that a build begins in a folder, so that it may be taken up there.

    Returns:
        The folder for checkpoints and finished sources.

    Raises:
        BadInput: If it cannot be written to.
    """
    work = out / WORK
    write_text(work / ".gitignore", "*\n")
    write_text(work / _CLAIM, _Claim(dataset=dataset).json_text())
    return work


def _holds(out: Path) -> str | None:
    """Name of the dataset that was built or begun in a folder, or None."""
    path = out / WORK / _CLAIM
    if path.is_file():
        try:
            return _Claim.model_validate_json(read_limited(path, "note")).dataset
        except ValidationError as error:
            raise BadInput(f"{path} cannot be read ({told(error)}); remove it.") from error
    try:
        return read_manifest(out).name
    except BadInput:
        # No manifest, or that of something else.
        return None


def _refused(path: Path) -> BadInput:
    return BadInput(
        f"{path} was not made by fpbench, which would overwrite it; choose another folder with "
        "--out, or move it elsewhere."
    )
