"""A dataset that is simply one folder of images for each source, ``real`` being Real."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.cache import Allocate, cached
from fpbench.datasets.card import as_source, read_sources
from fpbench.datasets.decoding import Duplicates, Encoded, decode, decode_into, threads
from fpbench.datasets.layout import LABELLED_SPLITS, SOURCES, SPLITS, file_digest
from fpbench.errors import BadInput
from fpbench.images import REAL, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.load import DatasetIdentity, GMDataset
    from fpbench.method import Progress

SPLIT_SEED = 0
"""Seed of the assignment of images to splits."""

REFERENCE_SHARE = 0.4
"""Share of the real images that become ``reference``; the rest is split like any other source."""

SHARES = {"train": 0.5, "validation": 0.15, "test": 0.35}
"""Shares of a source's images, after those of ``reference``."""

MINIMUM = 32
"""Images that a generator needs at least."""

MINIMUM_REAL = 54
"""Real images needed at least, because ``reference`` takes its share first."""

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
_FORMAT = "folder-1"
_MOST_DIMENSIONS = 64


@dataclass(frozen=True)
class Scan:
    """What a folder of images holds.

    Attributes:
        folder: The folder.
        files: Image files by source, sorted by name, Real first.
        digest: Hash of all file names, file contents and of the rules of splitting.
    """

    folder: Path
    files: dict[str, list[Path]]
    digest: str

    @property
    def revision(self) -> str:
        """Beginning of the digest: a folder has no version of its own."""
        return self.digest[:12]


def scan(folder: Path) -> Scan:
    """List the images of a folder by source.

    Raises:
        BadInput: If there is no ``real`` folder, no generator, a file that is no image, or a
            source with too few images.
    """
    inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    names = [path.name for path in inside if path.is_dir()]
    if REAL not in names:
        found = f"the folders {', '.join(names)}" if names else "no folders"
        raise BadInput(
            f"{folder} is no dataset: it has {found}, but needs one folder of images for each "
            f"source, of which {REAL!r} holds the real images."
        )
    if len(names) < 2:
        raise BadInput(
            f"{folder} has real images only; add one folder of images for each generator."
        )
    files = {name: _images(folder / name) for name in [REAL, *(n for n in names if n != REAL)]}
    for name, paths in files.items():
        minimum = MINIMUM_REAL if name == REAL else MINIMUM
        if len(paths) < minimum:
            raise BadInput(
                f"Source {name!r} of {folder} has {len(paths)} images, but at least {minimum} are "
                "needed to split them into training, validation and test images; add more."
            )
    every = [(name, path) for name, paths in files.items() for path in paths]
    with ThreadPoolExecutor(threads()) as pool:
        digests = list(pool.map(file_digest, (path for _, path in every)))
    whole = hashlib.sha256(f"{_FORMAT} {SPLIT_SEED} {REFERENCE_SHARE} {SHARES}\n".encode())
    for (name, path), digest in zip(every, digests, strict=True):
        whole.update(f"{name}/{path.name} {digest}\n".encode())
    return Scan(folder, files, whole.hexdigest())


def _images(folder: Path) -> list[Path]:
    paths = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "Thumbs.db":
            continue
        if path.is_dir():
            raise BadInput(
                f"{path} is a folder within a source's folder; put the images of a source directly "
                f"into {folder}."
            )
        if path.suffix.lower() not in _SUFFIXES:
            raise BadInput(
                f"{path} is no PNG, JPEG or WebP image; a source's folder holds images only. "
                "Remove or convert it."
            )
        paths.append(path)
    return paths


def split_positions(count: int, source: str) -> dict[str, NDArray[np.int64]]:
    """Positions (of the files sorted by name) that belong to each split.

    Args:
        count: Number of images of the source.
        source: Its name; ``reference`` is empty unless it is Real.
    """
    order = np.random.default_rng([SPLIT_SEED, *source.encode()]).permutation(count)
    reference = round(REFERENCE_SHARE * count) if source == REAL else 0
    rest = count - reference
    edges = [0, reference]
    for split in LABELLED_SPLITS:
        edges.append(edges[-1] + round(SHARES[split] * rest))
    edges[-1] = count
    return {
        split: np.sort(order[edges[index] : edges[index + 1]]) for index, split in enumerate(SPLITS)
    }


def load(identity: DatasetIdentity, found: Scan, progress: Progress | None) -> GMDataset:
    """Decode, check and split a folder of images.

    Raises:
        BadInput: If an image is truncated, not RGB or of another size, or stands there twice.
    """
    from fpbench.datasets.load import assemble

    positions = {name: split_positions(len(paths), name) for name, paths in found.files.items()}
    sources = _sources(found)
    total = sum(len(paths) for paths in found.files.values())
    done = 0

    def advanced(ids: object, pixels: NDArray[np.uint8]) -> None:
        nonlocal done
        done += len(pixels)
        if progress is not None:
            progress("decode", done, total)

    def read(allocate: Allocate) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
        first = found.files[REAL][0]
        height, width, _ = decode(first.read_bytes(), str(first)).shape
        duplicates = Duplicates()
        rows: dict[str, tuple[NDArray[np.int64], list[str]]] = {}
        for split in SPLITS:
            images: list[Encoded] = []
            labels: list[int] = []
            for label, (name, paths) in enumerate(found.files.items()):
                chosen = [paths[position] for position in positions[name][split]]
                images += [
                    Encoded(f"{name}/{path.name}", str(path), path.read_bytes) for path in chosen
                ]
                labels += [label] * len(chosen)
            target = allocate(split, (len(images), height, width, 3))
            decode_into(target, images, duplicates, advanced)
            rows[split] = (np.asarray(labels, np.int64), [image.id for image in images])
        return rows

    splits = cached(found.digest, read)
    samples = min(len(by_split["test"]) for by_split in positions.values())
    dimensions = max(1, min(_MOST_DIMENSIONS, samples // 8))
    return assemble(identity, sources, splits, samples, dimensions)


def _sources(found: Scan) -> tuple[Source, ...]:
    """Sources as an optional sources.yaml describes them, else of unknown family."""
    entries = read_sources(found.folder) if (found.folder / SOURCES).is_file() else {}
    unknown = [name for name in entries if name not in found.files]
    if unknown:
        raise BadInput(
            f"{found.folder / SOURCES} describes the source {unknown[0]!r}, but there is no such "
            "folder of images."
        )
    sources = []
    for name in found.files:
        if name == REAL:
            sources.append(Source(REAL, "Real", "photographs"))
        elif name in entries:
            sources.append(as_source(name, entries[name]))
        else:
            sources.append(Source(name, "Unknown", name))
    return tuple(sources)
