"""``parquet``: images in Parquet files of the Hugging Face layout, local or on the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from fpbench.datasets.origins.preprocess import Preprocess
from fpbench.datasets.origins.reading import SHARED_VARIABLE, FilesOrigin, ImageFiles, Span, find
from fpbench.datasets.shards import NO_IMAGE
from fpbench.documents import Document
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from fpbench.method import Progress

_BATCH = 128


class HubFiles(Document):
    """Parquet files in a dataset repository on the Hub.

    Attributes:
        id: ``OWNER/NAME``.
        files: Files within the repository; ``*`` stands for any characters.
        revision: Commit, or None for the newest.
        preprocess: Crop and resize where they differ from those of local files.
    """

    id: str
    files: list[str] = Field(min_length=1)
    revision: str | None = None
    preprocess: Preprocess | None = None


class ParquetOrigin(FilesOrigin):
    """Images in Parquet files of the Hugging Face layout, local or on the Hub.

    Attributes:
        path: A file or a folder of files, absolute, beginning with ``~``, relative to the recipe,
            or relative to the folder that FPBENCH_SHARED_DATA names.
        hub: Where to take them from if `path` is not there.
        column: Name of the image column; None is the only one there is.
        first: Row to start at.
    """

    kind: Literal["parquet"]
    path: str | None = None
    hub: HubFiles | None = None
    column: str | None = None
    first: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _somewhere(self) -> ParquetOrigin:
        if self.path is None and self.hub is None:
            raise ValueError("give `path`, `hub` or both")
        return self

    def image_files(
        self,
        recipe: Path,
        size: int,
        *,
        offline: bool = False,
        progress: Progress | None = None,
    ) -> ImageFiles:
        """The rows from `first` on of all files, local ones before those of the Hub."""
        found = None if self.path is None else find(self.path, recipe)
        steps = self.preprocess
        if found is not None:
            paths = sorted(found.glob("*.parquet")) if found.is_dir() else [found]
        elif self.hub is not None:
            from fpbench.datasets import hub

            steps = self.hub.preprocess or steps
            paths = hub.fetch_files(self.hub.id, self.hub.files, self.hub.revision, offline=offline)
        else:
            raise BadInput(
                f"The recipe's Parquet file {self.path!r} is not there; give its path relative to "
                f"{recipe} or set {SHARED_VARIABLE} to the folder that holds it."
            )
        return _ParquetFiles(paths, self.first, self.column, self._short_name(), steps, size)

    def asks_hub(self, recipe: Path) -> str | None:
        """The files of the repository, where no local ones are found."""
        if self.hub is None or (self.path is not None and find(self.path, recipe) is not None):
            return None
        return f"{', '.join(self.hub.files)} of the Hub dataset {self.hub.id}"

    def place(self) -> str:
        """The path, the repository, or both."""
        return " or ".join(part for part in (self.path, self.hub and self.hub.id) if part)

    def _short_name(self) -> str:
        """A name for ids that is the same for local files and those of the Hub."""
        parts = Path(self.path).with_suffix("").parts if self.path is not None else ()
        return "-".join(parts[-2:]) if parts else str(self.hub and self.hub.id.split("/")[-1])


class _ParquetFiles(ImageFiles):
    def __init__(
        self,
        paths: Sequence[Path],
        first: int,
        column: str | None,
        name: str,
        steps: Preprocess,
        size: int,
    ) -> None:
        self._rows = [_rows(path) for path in paths]
        super().__init__(paths, max(0, sum(self._rows) - first), name, steps, size)
        self._first = first
        self._column = column

    def encoded(self, chosen: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        wanted = {position + self._first for position in chosen}
        start = 0
        for path, rows in zip(self.paths, self._rows, strict=True):
            own = range(start, start + rows)
            start += rows
            if wanted.isdisjoint(own):
                continue
            try:
                with pq.ParquetFile(path) as file:
                    column = _image_column(file.schema_arrow, self._column, path)
                    row = own.start
                    for batch in file.iter_batches(batch_size=_BATCH, columns=[column]):
                        for item in batch.column(0).field("bytes"):
                            if row in wanted:
                                place = f"row {row - own.start} of {path}"
                                if not item.is_valid:
                                    raise BadInput(f"R{place[1:]} {NO_IMAGE}.")
                                yield row - self._first, place, item.as_py()
                            row += 1
            except (OSError, pa.ArrowException) as error:
                raise BadInput(f"{path} cannot be read as Parquet: {error}.") from error

    def spans(self, count: int) -> list[Span]:
        found = []
        start = 0
        for path, rows in zip(self.paths, self._rows, strict=True):
            first, last = max(start, self._first), min(start + rows, self._first + count) - 1
            if first <= last:
                found.append(Span(path, first - start, last - start))
            start += rows
        return found


def _image_column(schema: Any, asked: str | None, path: Path) -> str:
    """The column of encoded images: a struct with a field ``bytes``."""
    names = [
        field.name
        for field in schema
        if hasattr(field.type, "num_fields")
        and any(field.type.field(i).name == "bytes" for i in range(field.type.num_fields))
    ]
    if asked is not None and asked in names:
        return asked
    if asked is None and len(names) == 1:
        return str(names[0])
    raise BadInput(
        f"{path} has {'no column ' + repr(asked) if asked else 'no single column'} of images; its "
        f"columns of images are: {', '.join(names) or 'none'}. Set the origin's column."
    )


def _rows(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise BadInput(f"{path} is no plain file, so it cannot be read as Parquet.")
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path} cannot be read as Parquet: {error}.") from error
