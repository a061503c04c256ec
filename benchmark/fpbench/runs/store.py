"""Where finished jobs lie: one folder a job, complete or not there at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.files import is_scratch, remove_abandoned, writing_folder
from fpbench.runs.job import Job
from fpbench.runs.record import RECORD_FILE, Record, read_record
from fpbench.runs.renamed import former_name

FIGURES = "figures"
"""The folder of pictures beside a record."""

OLD_TRANSFER_FILE = "transfer.json"
"""What the record of a transfer was called before there was one kind of record."""


class Store:
    """The folder of runs, laid out as ``<dataset>/<method>-<variant>/<job key>/record.json``.

    Args:
        root: Created when the first job is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, job: Job) -> Path:
        """Where the job's files lie once it is finished."""
        dataset = Path(job.place).name.replace(":", "-").replace(",", "-")
        names = [(job.method, job.variant), former_name(job.method, job.variant)]
        places = [self.root / dataset / "-".join(name) / job.key for name in names]
        return next((place for place in places if place.is_dir()), places[0])

    def find(self, job: Job, families: Iterable[str] = ()) -> Record | None:
        """The record of a finished job, or None if it has to be run (again).

        A failed job, one whose record cannot be read, one of a dataset that was described
        otherwise, and one in which a family of scores asked for was left out count as not run.

        Args:
            job: The job.
            families: Names of families of scores that must have been computed.
        """
        record = self.read(job)
        if record is None or record.status != "done":
            return None
        for then, now in ((record.job.train, job.train), (record.job.test, job.test)):
            if then.digest and now.digest and then.digest != now.digest:
                return None
        computed = record.setup.families
        if computed is not None and not set(families) <= set(computed):
            return None
        return record

    def read(self, job: Job) -> Record | None:
        """The record of a job however it ended, or None."""
        for name in (RECORD_FILE, OLD_TRANSFER_FILE):
            path = self.folder(job) / name
            if not path.is_file():
                continue
            try:
                record = read_record(path)
            except BadInput:
                return None
            return record if record.key == job.key else None
        return None

    def open(self) -> None:
        """Make the folder, remove what killed processes left in it, and fail before hours of work.

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
        remove_abandoned(self.root)

    def writing(self, job: Job) -> AbstractContextManager[Path]:
        """A temporary folder that becomes the job's folder if the block ends well.

        If the block raises, the folder is removed; a job folder is never half-written. An
        earlier result of the same job is replaced.
        """
        return writing_folder(self.folder(job))

    def record_paths(self) -> list[Path]:
        """Paths of all records below the root, sorted."""
        return sorted(find_records(self.root))


def find_records(root: Path) -> Iterator[Path]:
    """Record files of all finished runs below a folder."""
    for name in (RECORD_FILE, OLD_TRANSFER_FILE):
        for path in root.rglob(name):
            inside = path.relative_to(root)
            if not is_scratch(inside) and not any(p.startswith(".") for p in inside.parts):
                yield path
