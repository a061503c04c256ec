"""Decoded images on disk: memory-mapped arrays, one folder for each content hash."""

from __future__ import annotations

import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.layout import SPLITS
from fpbench.errors import BadInput
from fpbench.files import (
    CannotWrite,
    expanded,
    remove_abandoned,
    told,
    writing_file,
    writing_folder,
)
from fpbench.images import ImageSet, Source, in_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHE_VARIABLE = "FPBENCH_CACHE"
WORTH_A_FILE = 32 << 20
"""Bytes of pixels from which on `mapped` makes a file."""

# Raised when the files below change their meaning, so that no old cache is misread.
_FORMAT = 1


def cache_root() -> Path:
    """Folder of everything fpbench caches: $FPBENCH_CACHE, or ``~/.cache/fpbench``."""
    named = os.environ.get(CACHE_VARIABLE)
    return expanded(Path(named)) if named else Path.home() / ".cache" / "fpbench"


@dataclass(frozen=True)
class Decoded:
    """One split, decoded.

    Attributes:
        pixels: uint8 (N, H, W, 3).
        labels: int64 (N,).
        ids: N strings.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    ids: NDArray[np.str_]

    def image_set(self, sources: Sequence[Source]) -> ImageSet:
        """The split as methods see it."""
        return ImageSet(self.pixels, sources, self.labels, self.ids.tolist())


Allocate = Callable[[str, tuple[int, int, int, int]], "NDArray[np.uint8]"]
"""Called with a split and its shape; returns the array to decode into."""

Decode = Callable[[Allocate], dict[str, tuple["NDArray[np.int64]", list[str]]]]
"""Decodes all splits into allocated arrays; returns labels and ids by split."""


def _entry(content_hash: str) -> Path:
    return cache_root() / "datasets" / f"{content_hash[:32]}-{_FORMAT}"


def _read(folder: Path) -> dict[str, Decoded]:
    found = {}
    for split in SPLITS:
        pixels = np.load(folder / f"{split}.npy", mmap_mode="r")
        labels = np.load(folder / f"{split}.labels.npy")
        ids = np.load(folder / f"{split}.ids.npy")
        if not len(pixels) == len(labels) == len(ids):
            raise ValueError(f"{folder / split} is torn")
        found[split] = Decoded(pixels, labels, ids)
    return found


def cached(content_hash: str, decode: Decode) -> dict[str, Decoded]:
    """The splits with this content hash, decoded once and memory-mapped from then on.

    Where the cache cannot be written, the images are decoded into memory.

    Args:
        content_hash: Identity of the content.
        decode: Does the work the first time; what it raises is passed on and nothing is cached.
    """
    target = _entry(content_hash)
    damaged = False
    if target.is_dir():
        try:
            return _read(target)
        except (OSError, ValueError):
            # A cache that a full disk or another program has damaged is made anew.
            damaged = True
    remove_abandoned(target.parent, depth=1)
    try:
        with writing_folder(target, replace=damaged) as scratch, told(target):
            _fill(scratch, decode)
        return _read(target)
    except CannotWrite:
        return _in_memory(decode)


def _in_memory(decode: Decode) -> dict[str, Decoded]:
    arrays: dict[str, NDArray[np.uint8]] = {}

    def allocate(split: str, shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        arrays[split] = np.empty(shape, np.uint8)
        return arrays[split]

    rows = decode(allocate)
    return {
        split: Decoded(arrays[split], labels, np.asarray(ids, str))
        for split, (labels, ids) in rows.items()
    }


def _fill(folder: Path, decode: Decode) -> None:
    arrays: dict[str, NDArray[np.uint8]] = {}

    def allocate(split: str, shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        _require_space(folder, int(np.prod(shape)))
        if shape[0] == 0:
            array = np.empty(shape, np.uint8)
            np.save(folder / f"{split}.npy", array)
            return array
        array = np.lib.format.open_memmap(
            folder / f"{split}.npy", mode="w+", dtype=np.uint8, shape=shape
        )
        arrays[split] = array
        return array

    for split, (labels, ids) in decode(allocate).items():
        if split in arrays:
            np.memmap.flush(arrays[split])  # type: ignore[arg-type]
        np.save(folder / f"{split}.labels.npy", labels)
        np.save(folder / f"{split}.ids.npy", np.asarray(ids, str))


def _require_space(folder: Path, size: int) -> None:
    # A memory map on a full disk kills the process with SIGBUS instead of raising.
    if shutil.disk_usage(folder).free < size + (64 << 20):
        raise OSError(f"no space for {size} bytes in {folder}")


def cached_array(
    place: Path, shape: tuple[int, ...], make: Callable[[], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """Images that are made once and memory-mapped from then on.

    Where the cache cannot be written, they stay in memory.

    Args:
        place: Relative to `cache_root`; names everything that the images depend on.
        shape: Of the array.
        make: Makes it the first time.
    """
    path = cache_root() / place
    if path.is_file():
        try:
            found: NDArray[np.uint8] = np.load(path, mmap_mode="r")
            if found.shape == shape and found.dtype == np.uint8:
                return found
        except (OSError, ValueError):
            # A file that a full disk or another program has damaged is made anew.
            path.unlink(missing_ok=True)
    made = make()
    try:
        with writing_file(path) as scratch:
            _require_space(scratch.parent, made.nbytes)
            np.save(scratch, made)
        return np.load(path, mmap_mode="r")  # type: ignore[no-any-return]
    except (CannotWrite, OSError, ValueError):
        return made


def mapped(
    shape: tuple[int, ...], batches: Callable[[], Iterator[NDArray[np.uint8]]]
) -> NDArray[np.uint8]:
    """Gather pixels in a file without a name, memory-mapped: it is gone once nobody reads it.

    What is mapped can leave memory whenever another needs it; a copy cannot. Few pixels, and
    those of a cache that cannot be written, stay in memory.

    Args:
        shape: Of the array.
        batches: Yields the pixels, from the first image to the last, whenever it is called.
    """
    size = int(np.prod(shape))
    if size < WORTH_A_FILE:
        return in_memory(shape, batches)
    try:
        root = cache_root()
        root.mkdir(parents=True, exist_ok=True)
        _require_space(root, size)
        with tempfile.TemporaryFile(dir=root) as file:
            for batch in batches():
                file.write(np.ascontiguousarray(batch).data)
            file.flush()
            return np.memmap(file, np.uint8, "r", shape=shape)
    except (BadInput, OSError):
        return in_memory(shape, batches)


def release(pixels: NDArray[np.uint8]) -> None:
    """Let go of what has been read of memory-mapped pixels; it is read anew where needed."""
    owner: object = pixels
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap) and owner.mode != "r":
            return  # what was written may stand in memory alone
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)
