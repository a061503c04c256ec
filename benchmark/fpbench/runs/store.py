"""Where finished jobs lie: one folder a job, complete or not there at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fpbench.errors import BadInput
from fpbench.runs.job import JobSpec
from fpbench.runs.record import Record, read_record

RECORD_FILE = "record.json"
_PARTIAL = ".partial-"


class Stored(Protocol):
    """What names the folder of a job, of whatever kind."""

    @property
    def method(self) -> str:
        """Entry-point name of the method."""

    @property
    def variant(self) -> str:
        """Name of its variant."""

    @property
    def dataset(self) -> str:
        """Name of the dataset."""

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on."""


class Store:
    """The folder of runs, laid out as ``<dataset>/<method>-<variant>/<job key>/record.json``.

    Args:
        root: Created when the first job is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, spec: Stored) -> Path:
        """Where the job's files lie once it is finished."""
        dataset = Path(spec.dataset).name.replace(":", "-").replace(",", "-")
        return self.root / dataset / f"{spec.method}-{spec.variant}" / spec.key

    def find(self, spec: JobSpec) -> Record | None:
        """The record of a finished job, or None if it has to be run (again).

        A failed job, and one whose record cannot be read, counts as not run.
        """
        path = self.folder(spec) / RECORD_FILE
        if not path.is_file():
            return None
        try:
            record = read_record(path)
        except BadInput:
            return None
        return record if record.job == spec.key and record.status == "done" else None

    def check_writable(self) -> None:
        """Fail before hours of work, not after.

        Raises:
            BadInput: If nothing can be written under the root.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise BadInput(
                f"Cannot write to the output folder {self.root}: {error.strerror or error}. "
                "Choose another with --out."
            ) from error

    @contextmanager
    def writing(self, spec: Stored) -> Iterator[Path]:
        """A temporary folder that becomes the job's folder if the block ends well.

        If the block raises, the folder is removed; a job folder is never half-written. An
        earlier result of the same job is replaced.
        """
        final = self.folder(spec)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{_PARTIAL}{spec.key}-", dir=final.parent))
        try:
            yield partial
            partial.chmod(0o755)
            if final.exists():
                outdated = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=final.parent))
                final.replace(outdated / "old")
                partial.replace(final)
                shutil.rmtree(outdated)
            else:
                partial.replace(final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise

    def record_paths(self) -> list[Path]:
        """Paths of all records below the root, sorted."""
        return sorted(
            path
            for path in self.root.glob(f"*/*/*/{RECORD_FILE}")
            if not path.parent.name.startswith(_PARTIAL)
        )
