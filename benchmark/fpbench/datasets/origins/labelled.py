"""``labelled``: images of some labels of a dataset with a column of labels, here or on the Hub."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fpbench.datasets.labelled.opening import open_table
from fpbench.datasets.labelled.spec import Labelled
from fpbench.datasets.origins.preprocess import Preprocess
from fpbench.datasets.origins.reading import FilesOrigin, ImageFiles, Span
from fpbench.errors import BadInput, suggest

if TYPE_CHECKING:
    from fpbench.datasets.labelled.table import Table
    from fpbench.method import Progress


class LabelledOrigin(FilesOrigin):
    """Images of some labels of a dataset, in its order: a recipe may take each source from another.

    Only what holds the images that are used is fetched. A dataset that is taken as a whole has a
    card of its own kind, which also keeps groups on one side (see `fpbench.datasets.labelled`).

    Attributes:
        of: Where the dataset is and which columns are what; its labels, splits and numbers are
            not used.
        labels: Labels whose images are taken.
    """

    kind: Literal["labelled"]
    of: Labelled
    labels: list[str] = Field(min_length=1)

    def image_files(
        self,
        recipe: Path,
        size: int,
        *,
        offline: bool = False,
        progress: Progress | None = None,
    ) -> ImageFiles:
        """The rows of the labels."""
        table = open_table(self.of, recipe, offline=offline, progress=progress)
        try:
            known = np.unique(table.rows.labels).tolist()
            for label in self.labels:
                if label not in known:
                    raise BadInput(
                        f"{table.name} has no label {label!r}. {suggest(label, known[:200])}"
                    )
        finally:
            table.close()
        return _Labelled(table, self.labels, self.preprocess, size)

    def asks_hub(self, recipe: Path) -> str | None:
        """The dataset on the Hub."""
        return None if self.of.hub is None else f"images of the dataset {self.of.hub}"

    def place(self) -> str:
        """The dataset and the labels."""
        return f"{self.of.name} ({', '.join(self.labels)})"


class _Labelled(ImageFiles):
    def __init__(self, table: Table, labels: Sequence[str], steps: Preprocess, size: int) -> None:
        self._table = table
        self._rows = np.flatnonzero(np.isin(table.rows.labels, labels))
        name = table.name.rpartition("/")[2]
        super().__init__([], len(self._rows), name, steps, size)

    def encoded(self, chosen: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
        rows = self._table.rows
        picked = self._rows[np.asarray(chosen, np.int64)]
        blocks = rows.blocks[picked]
        try:
            for block in np.unique(blocks).tolist():
                own = np.flatnonzero(blocks == block)
                images = self._table.read(block, rows.inner[picked[own]].tolist())
                for index, data in zip(own.tolist(), images, strict=True):
                    place = self._table.place(int(picked[index]))
                    yield int(chosen[index]), place, data
        finally:
            self._table.close()

    def spans(self, count: int) -> list[Span]:
        # Rows of one label are of one source; that no image stands there twice is seen at the end.
        return []
