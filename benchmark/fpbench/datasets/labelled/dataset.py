"""A labelled dataset as a GM dataset: known by its labels, fetched only as far as it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.audited import audited_shortcut
from fpbench.datasets.cache import Allocate, cache_root, cached
from fpbench.datasets.card import as_source
from fpbench.datasets.dataset import (
    DatasetIdentity,
    Description,
    GMDataset,
    ResolvedDataset,
    description_digest,
)
from fpbench.datasets.decoding import Duplicates, threads
from fpbench.datasets.downloads.wanted import told_bytes
from fpbench.datasets.labelled.looking import Image, look_at, refuse_losses
from fpbench.datasets.labelled.opening import open_table
from fpbench.datasets.labelled.packs import Packs
from fpbench.datasets.labelled.pixels import cut
from fpbench.datasets.labelled.selection import Selection, select
from fpbench.datasets.layout import SPLITS, write_json
from fpbench.files import parse_json, read_limited
from fpbench.images import REAL, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.entries import SourceEntry
    from fpbench.datasets.labelled.spec import Labelled
    from fpbench.datasets.labelled.table import Table
    from fpbench.method import Progress

_FORMAT = "labelled-1"
_MOST_DIMENSIONS = 64
_SPARE = 0.9
"""Share of the chosen test images that FDR is measured with: some may be unusable."""

_AT_ONCE = 256
_REMARKS = "remarks.json"


class LabelledDataset(ResolvedDataset):
    """A dataset with an image column and a label column, here or on the Hub.

    Its identity follows from labels and from the hashes of the files that hold the chosen images,
    so it is known before an image is fetched: another page of the same files is the same dataset.

    Args:
        spec: What is stated of it.
        base: Folder that a relative path starts from.
        offline: Open no connection, now or when loading.
        progress: Called as ``progress(what, done, total)`` while labels are read.
        name: Name of its card, or None.
        entries: What its sources are, by name.
        fdr: Sample size and dimension of FDR that its card states, or None.

    Raises:
        BadInput: If it is not available, or labels, sources and splits do not fit together.
    """

    def __init__(
        self,
        spec: Labelled,
        *,
        base: Path,
        offline: bool = False,
        progress: Progress | None = None,
        name: str | None = None,
        entries: Mapping[str, SourceEntry] | None = None,
        fdr: tuple[int, int] | None = None,
    ) -> None:
        self._spec = spec
        self._kept: dict[str, list[int]] = {}
        self._table = table = open_table(spec, base, offline=offline, progress=progress)
        try:
            self._selection = select(table.rows, spec, table.name)
            every = self._selection.every()
            self._places = {int(row): table.place(int(row)) for row in every}
            digest = _digest(spec, self._selection, table)
            self._bytes = sum(table.size(int(b)) for b in np.unique(table.rows.blocks[every]))
            self.fetched = table.fetched
        finally:
            table.close()
        samples = min(len(own["test"]) for own in self._selection.rows.values())
        samples = max(2, int(_SPARE * samples))
        dimensions = max(1, min(_MOST_DIMENSIONS, samples // 8))
        if fdr is not None:
            samples, dimensions = min(fdr[0], samples), min(fdr[1], dimensions)
        self.description = Description(
            _sources(self._selection, entries or {}), samples, dimensions
        )
        self.brought = self._selection.told
        if table.commit is not None and self._bytes:
            self.brought += f"; {told_bytes(self._bytes)} are fetched for them unless they are here"
        self.identity = DatasetIdentity(
            name=name or table.name,
            revision=digest[:12],
            content_hash=digest,
            digest=description_digest(self.description),
            commit=table.commit,
        )
        self._folder = cache_root() / "labelled" / digest[:32]

    @property
    def rows(self) -> int:
        """Rows of the whole dataset, those that are filtered out aside."""
        return len(self._table.rows)

    @property
    def hub_name(self) -> str:
        """The name that the Hub gives it."""
        return self._table.name

    @property
    def labels(self) -> dict[str, list[str]]:
        """Labels of each source that images were chosen of."""
        found = {}
        for name, by_split in self._selection.rows.items():
            rows = np.concatenate(list(by_split.values()))
            found[name] = [str(label) for label in np.unique(self._table.rows.labels[rows])]
        return found

    @property
    def download(self) -> int:
        """Bytes of the blocks that hold the chosen images; 0 where they are not known."""
        return self._bytes

    def load(self, progress: Progress | None = None) -> GMDataset:
        """The images: fetched as far as they are not here, cut and decoded the first time.

        Raises:
            BadInput: If they are not available, or too many of a source are broken or too small.
        """
        digest = self.identity.content_hash
        splits = cached(digest, lambda room: self._decode(room, progress))
        rows = {place: row for row, place in self._places.items()}
        self._kept = {split: [rows[name] for name in splits[split].ids] for split in SPLITS}
        return self.assemble(splits)

    def shortcut(self) -> float | None:
        """Accuracy of the metadata-only baseline in its card's audit of these images."""
        return audited_shortcut(self.identity.name, self.identity.content_hash)

    def groups(self, split: str) -> Sequence[str]:
        """Names of the groups of a split's images, in order; empty where there are none."""
        if self._spec.group is None:
            return ()
        return [str(self._table.rows.groups[row]) for row in self._kept[split]]

    def encoded(self, dataset: GMDataset, split: str) -> Iterator[bytes]:
        """Bytes of the files of a split's images as the dataset has them, before they are cut."""
        read = self._reader(None)
        for row in self._kept[split]:
            yield read(row)

    def remarks(self) -> list[str]:
        """What was found when the images were decoded: how they were cut, what was left out."""
        path = self._folder / _REMARKS
        if not path.is_file():
            return []
        return list(parse_json(read_limited(path, "note"), path, "note")["remarks"])

    def _reader(self, progress: Progress | None) -> Callable[[int], bytes]:
        """Reads the encoded image of a row, once all chosen ones are here."""
        table, rows = self._table, self._table.rows
        if table.direct:
            table.prepare(np.unique(rows.blocks[self._selection.every()]).tolist(), progress)
            return lambda row: table.read(int(rows.blocks[row]), [int(rows.inner[row])])[0]
        by_block: dict[int, list[int]] = {}
        for row in self._selection.every().tolist():
            by_block.setdefault(int(rows.blocks[row]), []).append(row)
        packs = Packs(self._folder, table, by_block, lambda row: int(rows.inner[row]))
        try:
            packs.fetch(progress)
        finally:
            table.close()
        return packs.read

    def _decode(
        self, allocate: Allocate, progress: Progress | None
    ) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
        read = self._reader(progress)
        images = [
            Image(label, source, split, row)
            for split in SPLITS
            for label, (source, own) in enumerate(self._selection.rows.items())
            for row in own[split].tolist()
        ]
        found = look_at(images, lambda image: read(image.row), self._spec.crop, progress)
        refuse_losses(images, found, self.identity.name, self._places)
        side = self._spec.resize or found.side
        kept = [image for image in images if image not in found.lost]
        rows: dict[str, tuple[NDArray[np.int64], list[str]]] = {}
        seen = Duplicates()
        done = 0
        for split in SPLITS:
            own = [image for image in kept if image.split == split]
            target = allocate(split, (len(own), side, side, 3))
            with ThreadPoolExecutor(threads()) as pool:
                for start in range(0, len(own), _AT_ONCE):
                    batch = own[start : start + _AT_ONCE]
                    pixels = pool.map(lambda image: self._square(read, image, found.side), batch)
                    for offset, square in enumerate(pixels):
                        target[start + offset] = square
                    places = [self._places[image.row] for image in batch]
                    seen.check(target[start : start + len(batch)], places)
                    done += len(batch)
                    if progress is not None:
                        progress("decode", done, len(kept))
            labels = np.asarray([image.label for image in own], np.int64)
            rows[split] = (labels, [self._places[image.row] for image in own])
        write_json(self._folder / _REMARKS, {"remarks": found.told(len(images), self._spec.resize)})
        return rows

    def _square(self, read: Callable[[int], bytes], image: Image, side: int) -> NDArray[np.uint8]:
        return cut(read(image.row), self._places[image.row], side, self._spec.resize)


def _sources(selection: Selection, entries: Mapping[str, SourceEntry]) -> tuple[Source, ...]:
    found = []
    for name in selection.rows:
        plain = Source(name, *(("Real", "photographs") if name == REAL else ("Unknown", name)))
        found.append(as_source(name, entries[name]) if name in entries else plain)
    return tuple(found)


def _digest(spec: Labelled, selection: Selection, table: Table) -> str:
    """Hash of what is chosen and of what is done to it; of no page, name or order of columns."""
    whole = hashlib.sha256(f"{_FORMAT} {spec.crop} {spec.resize}\n".encode())
    for source, by_split in selection.rows.items():
        for split in SPLITS:
            for row in by_split[split].tolist():
                whole.update(f"{source} {split} {table.identity(row)}\n".encode())
    return whole.hexdigest()
