"""Opens labelled datasets: Parquet, CSV or image files, here or on the Hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fpbench.datasets.imagefiles import SUFFIXES, told_path
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
from fpbench.errors import BadInput
from fpbench.files import file_sha256

if TYPE_CHECKING:
    from fpbench.datasets.labelled.spec import Labelled
    from fpbench.datasets.labelled.table import Table
    from fpbench.method import Progress

_PARQUET, _CSV = ".parquet", ".csv"
_SUFFIXES = (_PARQUET, _CSV, *sorted(SUFFIXES))


def open_table(spec: Labelled, base: Path, *, offline: bool, progress: Progress | None) -> Table:
    """Read the labels of a dataset, and no image.

    Args:
        spec: What is stated of it.
        base: Folder that a relative path starts from.
        offline: Open no connection.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        BadInput: If it cannot be had or read.
    """
    if spec.hub is not None:
        return _on_hub(spec, offline=offline, progress=progress)
    from fpbench.datasets.origins.reading import find

    found = find(str(spec.path), base)
    if found is None:
        raise BadInput(f"There is no file or folder {spec.path!r} of labelled images.")
    files = _local_files(found, spec)
    kind = _kind([path.name for path in files], told_path(found))
    if kind == _PARQUET:
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
        return ParquetTable(shards, spec, name=spec.name, progress=progress)
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


def _local_files(found: Path, spec: Labelled) -> list[Path]:
    if not found.is_dir():
        return [found]
    if spec.files:
        files = sorted({path for pattern in spec.files for path in found.glob(pattern)})
        if not files:
            raise BadInput(f"{found} has no files {', '.join(spec.files)}.")
        return files
    for suffix in (_PARQUET, _CSV):
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
    if kinds in ({_PARQUET}, {_CSV}, {""}):
        return kinds.pop()
    known = "Parquet, CSV, PNG, JPEG or WebP"
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
        if any(path.endswith(_PARQUET) for path in chosen):
            chosen = {path: split for path, split in chosen.items() if path.endswith(_PARQUET)}
        elif any(path.endswith(_CSV) for path in chosen):
            chosen = {path: split for path, split in chosen.items() if path.endswith(_CSV)}
    kind = _kind(list(chosen), f"The Hub dataset {listing.repository}")
    if kind == _PARQUET:
        files = {by_path[path]: split for path, split in chosen.items()}
        return _HubParquet(listing, files, spec, offline, progress)
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


class _HubParquet(ParquetTable):
    """Parquet files on the Hub, of which columns and row groups are fetched by range."""

    def __init__(
        self,
        listing: Listing,
        files: Mapping[HubFile, str],
        spec: Labelled,
        offline: bool,
        progress: Progress | None,
    ) -> None:
        from fpbench.datasets.downloads.asking import Asker
        from fpbench.datasets.labelled.ranges import RangeFile

        self._offline = offline
        self._asker: Asker | None = None
        self._listing = listing

        def opened(file: HubFile) -> Any:
            if offline:
                raise BadInput(
                    f"{file.path} of {listing.repository} would have to be read from the Hub, "
                    "which offline mode forbids; run it once while online."
                )
            with self._lock:
                if self._asker is None:
                    self._asker = Asker().__enter__()
            return RangeFile(listing.wanted(file), self._asker, self._counted)

        shards = [
            Shard(
                f"{file.path} of {listing.repository}",
                file.path,
                file.digest,
                split,
                partial(opened, file),
            )
            for file, split in files.items()
        ]
        features = (listing.page.get("dataset_info") or {}) if listing.page else {}
        super().__init__(
            shards,
            spec,
            name=listing.repository,
            features=_page_features(features, spec.config),
            progress=progress,
        )
        self.commit = listing.commit

    def _counted(self, count: int) -> None:
        with self._lock:
            self.fetched += count

    def close(self) -> None:
        """Close all connections."""
        super().close()
        if self._asker is not None:
            self._asker.__exit__(None, None, None)
            self._asker = None


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
