"""Labelled rows of Parquet files, local or on the Hub: columns first, then row groups."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets.cache import cache_root
from fpbench.datasets.labelled.table import Rows, Table
from fpbench.datasets.shards import NO_IMAGE
from fpbench.errors import BadInput, suggest
from fpbench.files import parse_json, read_limited, write_text

if TYPE_CHECKING:
    from fpbench.datasets.labelled.spec import Labelled
    from fpbench.method import Progress

_AT_ONCE = 4
_LABEL = "label"
_FORMAT = 1
_LARGEST = 1 << 30


@dataclass(frozen=True)
class Shard:
    """One Parquet file.

    Attributes:
        place: Path or address, for messages.
        id: Path within the dataset, for ids.
        digest: SHA-256 of the file, or what else tells its content.
        split: The dataset's split that it belongs to, or "".
        open: Returns it as a seekable stream.
    """

    place: str
    id: str
    digest: str
    split: str
    open: Callable[[], Any]


@dataclass(frozen=True)
class _Columns:
    """What is read of a shard before any image: rows and bytes by row group, values by row."""

    image: str
    rows: list[int]
    sizes: list[int]
    labels: list[str]
    groups: list[str]
    filters: dict[str, list[str]]

    def save(self, path: Path) -> None:
        """Keep it; each text once, as labels repeat."""
        document = {**asdict(self), "labels": _packed(self.labels), "groups": _packed(self.groups)}
        document["filters"] = {name: _packed(own) for name, own in self.filters.items()}
        write_text(path, json.dumps(document) + "\n")

    @classmethod
    def kept(cls, path: Path) -> _Columns | None:
        """What was kept, or None where nothing was, or it is damaged."""
        if not path.is_file():
            return None
        try:
            read = parse_json(read_limited(path, "columns", _LARGEST), path, "list of columns")
            return cls(
                read["image"],
                read["rows"],
                read["sizes"],
                _unpacked(read["labels"]),
                _unpacked(read["groups"]),
                {name: _unpacked(own) for name, own in read["filters"].items()},
            )
        except (BadInput, KeyError, TypeError, IndexError):
            return None


def _packed(texts: Sequence[str]) -> list[Any]:
    values, codes = np.unique(np.asarray(texts, str), return_inverse=True)
    return [values.tolist(), codes.tolist()]


def _unpacked(packed: list[Any]) -> list[str]:
    values, codes = packed
    return [values[code] for code in codes]


class ParquetTable(Table):
    """Rows of Parquet files; a block is a row group.

    Args:
        shards: The files.
        spec: Columns.
        names: Names of the labels, where the files number them and do not name them.
        progress: Called as ``progress(what, done, total)`` while columns are read.

    Raises:
        BadInput: If a file is no Parquet file, or a column is not there.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        spec: Labelled,
        *,
        name: str,
        features: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.name = name
        self._shards = list(shards)
        self._spec = spec
        self._features = dict(features or {})
        self._local = threading.local()
        self._streams: list[Any] = []
        self._lock = threading.Lock()
        self._image = ""
        self._indices: dict[int, Any] = {}
        self._reading = [threading.Lock() for _ in self._shards]
        read: list[_Columns] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done, columns in enumerate(pool.map(self._columns, self._shards), start=1):
                read.append(columns)
                if progress is not None:
                    progress("read labels", done, len(self._shards))
        self._groups = [(s, g) for s, columns in enumerate(read) for g in range(len(columns.rows))]
        self._sizes = [size for columns in read for size in columns.sizes]
        counts = np.array([n for columns in read for n in columns.rows], np.int64)
        starts = np.cumsum([0, *counts])[:-1]
        blocks = np.repeat(np.arange(len(counts)), counts)
        splits = np.repeat(
            np.array([shard.split for shard in self._shards], str),
            [sum(columns.rows) for columns in read],
        )
        whole = Rows(
            np.array([label for columns in read for label in columns.labels], str),
            np.array([group for columns in read for group in columns.groups], str),
            splits,
            blocks,
            np.arange(len(blocks)) - starts[blocks],
        )
        keep = np.ones(len(whole), bool)
        for column, values in spec.where.items():
            found = np.array([v for columns in read for v in columns.filters[column]], str)
            keep &= np.isin(found, values)
        # Rows that are filtered out stay in their block: it is fetched whole.
        self.rows = whole if keep.all() else _without(whole, keep)

    def identity(self, row: int) -> str:
        """Hash of the file, and the row within it."""
        shard, group = self._groups[self.rows.blocks[row]]
        return f"{self._shards[shard].digest} {group} {self.rows.inner[row]}"

    def place(self, row: int) -> str:
        """The file, its row group and the row within that."""
        shard, group = self._groups[self.rows.blocks[row]]
        return f"{self._shards[shard].id}:{group}:{self.rows.inner[row]}"

    def size(self, block: int) -> int:
        """Bytes of the image column of a row group."""
        return self._sizes[block]

    def read(self, block: int, inner: Sequence[int]) -> list[bytes]:
        """Encoded images of a row group, which is read once and whole."""
        shard, group = self._groups[block]
        with _told(self._shards[shard].place):
            table = self._file(shard).read_row_group(group, columns=[self._image])
            column = table.column(0).combine_chunks()
            data = column.field("bytes") if hasattr(column, "field") else column
            found = []
            for position in inner:
                item = data[position]
                if not item.is_valid:
                    raise BadInput(
                        f"Row {position} of row group {group} of {self._shards[shard].place} "
                        f"{NO_IMAGE}."
                    )
                found.append(item.as_py())
        return found

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for stream in self._streams:
                stream.close()
            self._streams.clear()
        self._local = threading.local()

    def _file(self, shard: int) -> Any:
        """The open file; each thread has its own, as a stream has one position."""
        import pyarrow.parquet as pq

        opened: dict[int, Any] = self._local.__dict__.setdefault("files", {})
        if shard not in opened:
            stream = self._shards[shard].open()
            with self._lock:
                self._streams.append(stream)
            # The index at the end of a file is read once and shared by the threads; larger reads
            # than are asked for would fetch what nobody wants.
            with self._reading[shard]:
                opened[shard] = pq.ParquetFile(
                    stream, metadata=self._indices.get(shard), pre_buffer=False, buffer_size=0
                )
                self._indices[shard] = opened[shard].metadata
        return opened[shard]

    def _columns(self, shard: Shard) -> _Columns:
        spec = self._spec
        text = json.dumps(
            {"format": _FORMAT, "of": shard.digest, "features": self._features}
            | {"columns": [spec.image, spec.label, spec.group, *spec.where]},
            sort_keys=True,
        )
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        path = cache_root() / "labelled" / "columns" / f"{name}.json"
        columns = _Columns.kept(path)
        if columns is None:
            columns = self._read_columns(shard)
            # Without a cache that can be written, they are read again.
            with suppress(BadInput):
                columns.save(path)
        self._image = columns.image
        return columns

    def _read_columns(self, shard: Shard) -> _Columns:
        number = self._shards.index(shard)
        spec = self._spec
        with _told(shard.place):
            file = self._file(number)
            schema = file.schema_arrow
            features = {**_features_of(schema), **self._features}
            image = _image_column(schema, spec.image, shard.place)
            label = _column(schema, spec.label or _LABEL, image, shard.place, "label")
            group = spec.group and _column(schema, spec.group, image, shard.place, "group")
            filters = [_column(schema, name, image, shard.place, "where") for name in spec.where]
            wanted = list(dict.fromkeys(filter(None, (label, group, *filters))))
            table = file.read(columns=wanted)
            texts = {name: _texts(table.column(name), features.get(name)) for name in wanted}
            metadata = file.metadata
            rows = [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)]
            sizes = [_size(metadata.row_group(g), image) for g in range(metadata.num_row_groups)]
        count = sum(rows)
        return _Columns(
            image,
            rows,
            sizes,
            texts[label],
            texts[group] if group else [""] * count,
            {name: texts[name] for name in filters},
        )


def _without(rows: Rows, keep: np.ndarray[Any, np.dtype[np.bool_]]) -> Rows:
    return Rows(
        rows.labels[keep],
        rows.groups[keep],
        rows.splits[keep],
        rows.blocks[keep],
        rows.inner[keep],
    )


def _features_of(schema: Any) -> dict[str, Any]:
    """Features of the Hugging Face `datasets` library that a file states."""
    try:
        stated = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        return dict(stated["info"]["features"])
    except (KeyError, TypeError, ValueError):
        return {}


def _texts(column: Any, feature: Any) -> list[str]:
    """Values as text; numbers of a ClassLabel as its names."""
    names = class_names(feature)
    values = column.to_pylist()
    if names is None:
        return ["" if value is None else str(value) for value in values]
    return [
        names[value] if isinstance(value, int) and 0 <= value < len(names) else ""
        for value in values
    ]


def class_names(feature: Any) -> list[str] | None:
    """Names of a ClassLabel, as a file states them or as a dataset's page does; else None."""
    if not isinstance(feature, dict):
        return None
    found = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    dtype = feature.get("dtype")
    if found is None and isinstance(dtype, dict):
        found = (dtype.get("class_label") or {}).get("names")
    if isinstance(found, dict):
        found = [found[key] for key in sorted(found, key=int)]
    return [str(name) for name in found] if isinstance(found, list) else None


def _image_column(schema: Any, asked: str | None, place: str) -> str:
    import pyarrow as pa

    found = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type)
        and any(field.type.field(i).name == "bytes" for i in range(field.type.num_fields))
    ]
    plain = [
        field.name
        for field in schema
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)
    ]
    if asked is not None and asked in (*found, *plain):
        return asked
    if asked is None and len(found or plain) == 1:
        return str((found or plain)[0])
    what = f"no column {asked!r}" if asked else "no single column"
    raise BadInput(
        f"{place} has {what} of images; its columns of images are: "
        f"{', '.join((*found, *plain)) or 'none'}. Choose one with --image."
    )


def _column(schema: Any, name: str, image: str, place: str, option: str) -> str:
    names = [field.name for field in schema if field.name != image]
    if name not in names:
        raise BadInput(
            f"{place} has no column {name!r}. {suggest(name, names)} Choose one with "
            f"{'--' if option != 'where' else ''}{option}."
        )
    return name


def _size(group: Any, image: str) -> int:
    columns = (group.column(i) for i in range(group.num_columns))
    return sum(
        c.total_compressed_size
        for c in columns
        if c.path_in_schema == image or c.path_in_schema.startswith(f"{image}.")
    )


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn what a broken file raises into a sentence.

    Raises:
        BadInput: With the file.
    """
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, ValueError, IndexError) as error:
        raise BadInput(f"{place} cannot be read as Parquet: {error}.") from error
