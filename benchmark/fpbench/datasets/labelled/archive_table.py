"""Labelled images in archives: samples of a tar file (WebDataset), or folders of a zip file.

An archive is indexed once, by its headers alone; then each image is read by itself, by range where
the archive lies on the Hub.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fpbench.datasets.cache import cache_root
from fpbench.datasets.imagefiles import LARGEST_IMAGE, SUFFIXES
from fpbench.datasets.labelled.table import Rows, Table
from fpbench.errors import BadInput, suggest
from fpbench.files import parse_json, read_limited, write_text

if TYPE_CHECKING:
    from fpbench.datasets.labelled.parquet_table import Shard
    from fpbench.datasets.labelled.spec import Labelled
    from fpbench.method import Progress

TAR, ZIP = ".tar", ".zip"
_AT_ONCE = 4
_AHEAD = 4096
_LARGEST_TEXT = 1 << 16
_LARGEST_INDEX = 256 << 20
_FORMAT = 1
_LOCAL_HEADER, _EXTRA = 30, 512
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


class _Member(NamedTuple):
    """One image of an archive."""

    name: str
    label: str
    group: str
    start: int
    size: int
    method: int


class ArchiveTable(Table):
    """Images in archives; a block is one image.

    Args:
        shards: The archives, of one kind.
        spec: Columns. Of a tar file the endings of a sample's members: ``png`` for the image,
            ``model.txt`` for the label; a zip file's labels are the folders of its images.
        name: The dataset's name.
        progress: Called as ``progress(what, done, total)`` while archives are indexed.

    Raises:
        BadInput: If one is no archive, or holds no such members.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        spec: Labelled,
        *,
        name: str,
        progress: Progress | None = None,
    ) -> None:
        self.name = name
        self._shards = list(shards)
        self._spec = spec
        self._lock = threading.Lock()
        self._streams: list[Any] = []
        self._local = threading.local()
        if spec.where:
            raise BadInput(f"{name} is made of archives, whose rows cannot be filtered by where=.")
        found: list[list[_Member]] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done, members in enumerate(pool.map(self._index, self._shards), start=1):
                found.append(members)
                if progress is not None:
                    progress("index archives", done, len(self._shards))
        self._members = [(s, member) for s, own in enumerate(found) for member in own]
        count = len(self._members)
        self.rows = Rows(
            np.array([member.label for _, member in self._members], str),
            np.array([member.group for _, member in self._members], str),
            np.array([self._shards[s].split for s, _ in self._members], str),
            np.arange(count),
            np.zeros(count, np.int64),
        )

    def identity(self, row: int) -> str:
        """Hash of the archive, and the name within."""
        shard, member = self._members[row]
        return f"{self._shards[shard].digest} {member.name}"

    def place(self, row: int) -> str:
        """The archive and the name within."""
        shard, member = self._members[row]
        return f"{self._shards[shard].id}:{member.name}"

    def size(self, block: int) -> int:
        """Bytes of an image within its archive."""
        return self._members[block][1].size

    def read(self, block: int, inner: Sequence[int]) -> list[bytes]:
        """One image."""
        shard, member = self._members[block]
        with _told(self._shards[shard].place):
            stream = self._stream(shard)
            stream.seek(member.start)
            if member.method < 0:
                return [_exactly(stream, member.size)]
            head = len(member.name.encode()) + _LOCAL_HEADER + _EXTRA
            data = stream.read(head + member.size)
            names, extra = data[26:28], data[28:30]
            begin = _LOCAL_HEADER + int.from_bytes(names, "little")
            begin += int.from_bytes(extra, "little")
            packed = data[begin : begin + member.size]
            if len(packed) != member.size:
                raise OSError(f"{member.name} is cut")
            return [packed if member.method == _STORED else _inflated(packed)]

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for stream in self._streams:
                stream.close()
            self._streams.clear()
        self._local = threading.local()

    def _stream(self, shard: int) -> Any:
        opened: dict[int, Any] = self._local.__dict__.setdefault("streams", {})
        if shard not in opened:
            opened[shard] = self._shards[shard].open()
            with self._lock:
                self._streams.append(opened[shard])
        return opened[shard]

    def _index(self, shard: Shard) -> list[_Member]:
        spec = self._spec
        text = json.dumps([_FORMAT, shard.digest, spec.image, spec.label, spec.group])
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        path = cache_root() / "labelled" / "archives" / f"{name}.json"
        if path.is_file():
            with suppress(BadInput, KeyError, TypeError):
                read = parse_json(read_limited(path, "index", _LARGEST_INDEX), path, "index")
                return [_Member(*member) for member in read["members"]]
        number = self._shards.index(shard)
        with _told(shard.place):
            stream = self._stream(number)
            tar = shard.id.lower().endswith(TAR)
            members = list((_of_tar if tar else _of_zip)(stream, spec, shard.place))
        # Without a cache that can be written, it is indexed again.
        with suppress(BadInput):
            write_text(path, json.dumps({"members": members}) + "\n")
        return members


def _of_zip(stream: Any, spec: Labelled, place: str) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename)
            if entry.is_dir() or path.suffix.lower() not in SUFFIXES or "__MACOSX" in path.parts:
                continue
            if entry.compress_type not in (_STORED, _DEFLATED) or entry.flag_bits & 1:
                raise BadInput(f"{entry.filename} of {place} is packed in a way that is not read.")
            yield _Member(
                entry.filename,
                path.parent.as_posix(),
                "",
                entry.header_offset,
                entry.compress_size,
                entry.compress_type,
            )


def _of_tar(stream: Any, spec: Labelled, place: str) -> Iterator[_Member]:
    sample: dict[str, Any] = {}
    key = None
    # Headers and texts lie close together: a little is read ahead, and images are skipped.
    ahead = io.BufferedReader(stream, _AHEAD) if isinstance(stream, io.RawIOBase) else stream
    with tarfile.open(fileobj=ahead, mode="r:") as archive:
        for member in archive:
            if not member.isfile():
                continue
            path = PurePosixPath(member.name)
            stem, _, ending = path.name.partition(".")
            own = (path.parent / stem).as_posix()
            if own != key:
                if sample:
                    yield _sample(sample, spec, place)
                key, sample = own, {}
            if ending in (spec.label, spec.group):
                if member.size > _LARGEST_TEXT:
                    raise BadInput(f"{member.name} of {place} is no text of a label.")
                text = archive.extractfile(member)
                assert text is not None  # noqa: S101
                sample[ending] = text.read().decode("utf-8", "replace").strip()
            elif ending == spec.image or (spec.image is None and f".{ending.lower()}" in SUFFIXES):
                sample["image"] = (member.name, member.offset_data, member.size)
            sample.setdefault("endings", []).append(ending)
    if sample:
        yield _sample(sample, spec, place)


def _sample(sample: dict[str, Any], spec: Labelled, place: str) -> _Member:
    for ending, option in ((spec.label, "label"), (spec.group, "group")):
        if ending is None and option == "group":
            continue
        if ending not in sample:
            found = sample["endings"]
            raise BadInput(
                f"A sample of {place} has no member that ends in {ending or 'a label'!r}. "
                f"{suggest(str(ending), found)} Choose one with --{option}."
            )
    if "image" not in sample:
        raise BadInput(f"A sample of {place} has no image; choose one with --image.")
    name, start, size = sample["image"]
    if size > LARGEST_IMAGE:
        raise BadInput(f"{name} of {place} is too large for an image.")
    group = sample[spec.group] if spec.group is not None else ""
    return _Member(name, sample[str(spec.label)], group, start, size, -1)


def _inflated(packed: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(packed, LARGEST_IMAGE)
    if not inflater.eof:
        raise OSError("an image is cut or too large")
    return data


def _exactly(stream: Any, size: int) -> bytes:
    data: bytes = stream.read(size)
    if len(data) != size:
        raise OSError("an image is cut")
    return data


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn what a broken archive raises into a sentence.

    Raises:
        BadInput: With the archive.
    """
    try:
        yield
    except (OSError, tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise BadInput(f"{place} cannot be read as an archive: {error}.") from error
