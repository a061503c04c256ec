"""Opens labelled datasets: Parquet, CSV or image files, here or on the Hub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fpbench.datasets.imagefiles import SUFFIXES, told_path
from fpbench.datasets.labelled.archive_table import TAR, ZIP, ArchiveTable
from fpbench.datasets.labelled.file_table import (
    FileTable,
    Item,
    csv_items,
    folder_items,
    is_address,
    label_of,
    local_file,
    refuse_outside,
)
from fpbench.datasets.labelled.hub_listing import (
    HubFile,
    Listing,
    data_files,
    list_files,
    split_of,
)
from fpbench.datasets.labelled.parquet_table import ParquetTable, Shard
from fpbench.datasets.labelled.table import Table
from fpbench.errors import BadInput
from fpbench.files import file_sha256

if TYPE_CHECKING:
    from fpbench.datasets.downloads.asking import Asker
    from fpbench.datasets.labelled.spec import Labelled
    from fpbench.method import Progress

_PARQUET, _CSV = ".parquet", ".csv"
_TABLES = (_PARQUET, _CSV, TAR, ZIP)
_SUFFIXES = (*_TABLES, *sorted(SUFFIXES))


def open_table(spec: Labelled, base: Path, *, offline: bool, progress: Progress | None) -> Table:
    """Read the labels of a dataset, and no image.

    Args:
        spec: What is stated of it.
        base: Folder that a relative path starts from.
        offline: Open no connection.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        BadInput: If it is not available or readableable.
    """
    if spec.hub is not None:
        return _on_hub(spec, offline=offline, progress=progress)
    from fpbench.datasets.origins.reading import find

    found = find(str(spec.path), base)
    if found is None:
        raise BadInput(f"There is no file or folder {spec.path!r} of labelled images.")
    files = _local_files(found, spec)
    kind = _kind([path.name for path in files], told_path(found))
    if kind in (_PARQUET, TAR, ZIP):
        root = found if found.is_dir() else found.parent
        shards = [
            Shard(
                str(path),
                path.relative_to(root).as_posix(),
                file_sha256(path),
                split_of(path.relative_to(root).as_posix()),
                partial(path.open, "rb"),
            )
            for path in files
        ]
        return _of_shards(kind, shards, spec, spec.name, progress, {})
    if kind == _CSV:
        items = [
            item
            for path in files
            for item in csv_items(
                path.read_bytes(), str(path), spec, local_file(path.parent), split_of(path.name)
            )
        ]
        return FileTable(items, name=spec.name, offline=offline)
    return FileTable(folder_items(found, spec), name=spec.name, offline=offline)


def _of_shards(
    kind: str,
    shards: Sequence[Shard],
    spec: Labelled,
    name: str,
    progress: Progress | None,
    page: Mapping[str, Any],
) -> Table:
    if kind == _PARQUET:
        features = _page_features(page.get("dataset_info") or {}, spec.config)
        return ParquetTable(shards, spec, name=name, features=features, progress=progress)
    return ArchiveTable(shards, spec, name=name, progress=progress)


def _local_files(found: Path, spec: Labelled) -> list[Path]:
    if not found.is_dir():
        return [found]
    if spec.files:
        files = sorted({path for pattern in spec.files for path in found.glob(pattern)})
        if not files:
            raise BadInput(f"{found} has no files {', '.join(spec.files)}.")
        return files
    for suffix in _TABLES:
        files = sorted(path for path in found.rglob(f"*{suffix}") if path.is_file())
        if files:
            return files
    return sorted(path for path in found.rglob("*") if path.suffix.lower() in SUFFIXES)


def _kind(names: Sequence[str], place: str) -> str:
    """Parquet, CSV or image files, by suffix.

    Raises:
        BadInput: If they are of none of these kinds, or of several.
    """
    kinds = {PurePosixPath(name).suffix.lower() for name in names}
    kinds = {"" if kind in SUFFIXES else kind for kind in kinds}
    if len(kinds) == 1 and kinds <= {*_TABLES, ""}:
        return kinds.pop()
    known = "Parquet, CSV, tar, zip, PNG, JPEG or WebP"
    raise BadInput(
        f"{place} holds no labelled images that can be read"
        + (f": files of the kinds {', '.join(sorted(kinds))}" if kinds else "")
        + f". Readable are {known} files of one kind; choose them with files=PATTERN."
    )


def _on_hub(spec: Labelled, *, offline: bool, progress: Progress | None) -> Table:
    listing = list_files(str(spec.hub), spec.revision, offline=offline)
    by_path = {file.path: file for file in listing.files}
    if spec.files:
        chosen = {file.path: split_of(file.path) for file in listing.matching(spec.files)}
    else:
        chosen = data_files(listing, spec.config, _SUFFIXES)
        for suffix in _TABLES:
            if any(path.lower().endswith(suffix) for path in chosen):
                chosen = {p: split for p, split in chosen.items() if p.lower().endswith(suffix)}
                break
    kind = _kind(list(chosen), f"The Hub dataset {listing.repository}")
    if kind in (_PARQUET, TAR, ZIP):
        opener = _OnHub(listing, offline)
        shards = [opener.shard(by_path[path], split) for path, split in chosen.items()]
        try:
            inner = _of_shards(kind, shards, spec, listing.repository, progress, listing.page)
        except BaseException:
            opener.close()
            raise
        return _HubTable(inner, opener, listing.commit)
    if kind == _CSV:
        items = []
        for path, split in chosen.items():
            text = _whole(listing, by_path[path], offline)
            find = _in_repository(listing, by_path, PurePosixPath(path).parent)
            place = f"{path} of {listing.repository}"
            items += csv_items(text, place, spec, find, split)
    else:
        items = [
            Item(path, label_of(path), split, **_hub_file(listing, by_path[path]))
            for path, split in chosen.items()
            if label_of(path)
        ]
    table = FileTable(items, name=listing.repository, offline=offline)
    table.commit = listing.commit
    return table


def _hub_file(listing: Listing, file: HubFile) -> dict[str, Any]:
    return {"wanted": listing.wanted(file), "digest": file.digest}


def _in_repository(
    listing: Listing, by_path: Mapping[str, HubFile], folder: PurePosixPath
) -> Callable[[str, str], Mapping[str, Any]]:
    """Finds the images of a CSV file in its repository, or by address."""
    from fpbench.datasets.downloads.wanted import Wanted

    def find(path: str, where: str) -> Mapping[str, Any]:
        if is_address(path):
            return {"wanted": Wanted(path)}
        refuse_outside(path, where)
        file = by_path.get((folder / path).as_posix())
        if file is None:
            raise BadInput(f"{path!r}, which {where} names, is not in {listing.repository}.")
        return _hub_file(listing, file)

    return find


def _whole(listing: Listing, file: HubFile, offline: bool) -> bytes:
    from fpbench.datasets.downloads.fetch import fetch

    (path,) = fetch([listing.wanted(file)], offline=offline)
    return path.read_bytes()


class _OnHub:
    """Opens files of a repository by range, over connections that are shared."""

    def __init__(self, listing: Listing, offline: bool) -> None:
        self._listing = listing
        self._offline = offline
        self._asker: Asker | None = None
        self._guard = threading.Lock()
        self.fetched = 0

    def shard(self, file: HubFile, split: str) -> Shard:
        """A file as its table opens it."""
        place = f"{file.path} of {self._listing.repository}"
        return Shard(place, file.path, file.digest, split, partial(self._open, file))

    def _open(self, file: HubFile) -> Any:
        from fpbench.datasets.downloads.asking import Asker
        from fpbench.datasets.labelled.ranges import RangeFile

        if self._offline:
            raise BadInput(
                f"{file.path} of {self._listing.repository} would have to be read from the Hub, "
                "which offline mode forbids; run it once while online."
            )
        with self._guard:
            if self._asker is None:
                self._asker = Asker().__enter__()
        return RangeFile(self._listing.wanted(file), self._asker, self._counted)

    def _counted(self, count: int) -> None:
        with self._guard:
            self.fetched += count

    def close(self) -> None:
        """Close all connections."""
        if self._asker is not None:
            self._asker.__exit__(None, None, None)
            self._asker = None


class _HubTable(Table):
    """A table whose files lie on the Hub, and what opens them."""

    def __init__(self, inner: Table, hub: _OnHub, commit: str) -> None:
        self._inner, self._hub = inner, hub
        self.rows, self.name, self.commit = inner.rows, inner.name, commit
        self.fetched = hub.fetched

    def identity(self, row: int) -> str:
        """As the table's."""
        return self._inner.identity(row)

    def place(self, row: int) -> str:
        """As the table's."""
        return self._inner.place(row)

    def size(self, block: int) -> int:
        """As the table's."""
        return self._inner.size(block)

    def read(self, block: int, inner: Sequence[int]) -> list[bytes]:
        """As the table's."""
        found = self._inner.read(block, inner)
        self.fetched = self._hub.fetched
        return found

    def close(self) -> None:
        """Close files and connections."""
        self._inner.close()
        self._hub.close()


def _page_features(stated: Any, config: str | None) -> dict[str, Any]:
    """Features by column as a dataset's page states them."""
    infos = stated if isinstance(stated, list) else [stated]
    infos = [info for info in infos if isinstance(info, dict)]
    named = [info for info in infos if str(info.get("config_name", "default")) == config]
    found = (named or infos)[:1]
    features = found[0].get("features") if found else None
    if not isinstance(features, list):
        return {}
    return {str(f["name"]): f for f in features if isinstance(f, dict) and "name" in f}
