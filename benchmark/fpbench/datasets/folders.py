"""A dataset that is simply one folder of images for each source, ``real`` being Real."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.cache import Allocate, cached
from fpbench.datasets.card import as_source, read_sources, refuse_other_reals
from fpbench.datasets.dataset import (
    DatasetIdentity,
    Description,
    GMDataset,
    ResolvedDataset,
    description_digest,
)
from fpbench.datasets.decoding import Duplicates, Encoded, decode, decode_into, threads
from fpbench.datasets.imagefiles import (
    SUFFIXES,
    ImageFile,
    checked_name,
    inside,
    list_images,
    status_of,
)
from fpbench.datasets.layout import LABELLED_SPLITS, SOURCES, SPLITS
from fpbench.errors import BadInput
from fpbench.images import REAL, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    files: Mapping[str, list[ImageFile]]
    digest: str


class ImageFolder(ResolvedDataset):
    """One folder of images for each source.

    Files beside the source folders are not read, but for ``sources.yaml``, which may say what the
    sources are.

    Args:
        folder: The folder.
        progress: Called as ``progress(what, done, total)`` while the files are hashed.

    Raises:
        BadInput: If there is no ``real`` folder, no generator, a file that is no image, a source
            with too few images, or a wrong ``sources.yaml``.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self._scan = scan(folder, progress)
        samples = min(len(by_split["test"]) for by_split in self._positions.values())
        dimensions = max(1, min(_MOST_DIMENSIONS, samples // 8))
        self.description = Description(_sources(self._scan), samples, dimensions)
        self.identity = DatasetIdentity(
            name=checked_name(folder.resolve()),
            # A folder has no version of its own.
            revision=self._scan.digest[:12],
            content_hash=self._scan.digest,
            digest=description_digest(self.description),
        )

    @cached_property
    def _positions(self) -> dict[str, dict[str, NDArray[np.int64]]]:
        return {name: split_positions(len(own), name) for name, own in self._scan.files.items()}

    def load(self, progress: Progress | None = None) -> GMDataset:
        """The images, split by a stated seed.

        Raises:
            BadInput: If an image is truncated, not RGB or of another size, stands there twice, or
                was changed since the folder was looked through.
        """
        return self.assemble(cached(self._scan.digest, lambda room: self._decode(room, progress)))

    def encoded(self, dataset: GMDataset, split: str) -> Iterator[bytes]:
        """Bytes of the image files of a split, in the order of its images."""
        for _, image in self._images(split):
            yield image.read()

    def _images(self, split: str) -> Iterator[tuple[int, ImageFile]]:
        """Labels and files of a split, in order."""
        for label, (name, files) in enumerate(self._scan.files.items()):
            for position in self._positions[name][split]:
                yield label, files[position]

    def _decode(
        self, allocate: Allocate, progress: Progress | None
    ) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
        first = self._scan.files[REAL][0]
        height, width, _ = decode(first.read(), str(first.path)).shape
        duplicates = Duplicates()
        total = sum(map(len, self._scan.files.values()))
        done = 0

        def advanced(ids: object, pixels: NDArray[np.uint8]) -> None:
            nonlocal done
            done += len(pixels)
            if progress is not None:
                progress("decode", done, total)

        rows: dict[str, tuple[NDArray[np.int64], list[str]]] = {}
        for split in SPLITS:
            chosen = list(self._images(split))
            images = [
                Encoded(f"{file.path.parent.name}/{file.path.name}", str(file.path), file.read)
                for _, file in chosen
            ]
            target = allocate(split, (len(images), height, width, 3))
            decode_into(target, images, duplicates, advanced)
            labels = np.asarray([label for label, _ in chosen], np.int64)
            rows[split] = (labels, [image.id for image in images])
        return rows


def scan(folder: Path, progress: Progress | None = None) -> Scan:
    """List and hash the images of a folder by source.

    Args:
        folder: The folder.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        BadInput: If there is no ``real`` folder, no generator, a file that is no image, or a
            source with too few images.
    """
    names = _source_names(folder)
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
    ordered = [REAL, *(name for name in names if name != REAL)]
    files = {name: list_images(folder / name, strict=True) for name in ordered}
    needed = {name: MINIMUM_REAL if name == REAL else MINIMUM for name in files}
    few = [
        f"{name!r} has {len(images)} images, but at least {needed[name]} are needed"
        for name, images in files.items()
        if len(images) < needed[name]
    ]
    if few:
        raise BadInput(
            f"{folder} cannot be split into training, validation and test images: source "
            f"{'; source '.join(few)}; add more."
        )
    every = [(name, image) for name, images in files.items() for image in images]
    whole = hashlib.sha256(f"{_FORMAT} {SPLIT_SEED} {REFERENCE_SHARE} {SHARES}\n".encode())
    with ThreadPoolExecutor(threads()) as pool:
        digests = pool.map(ImageFile.sha256, (image for _, image in every))
        for done, ((name, image), digest) in enumerate(zip(every, digests, strict=True), start=1):
            whole.update(f"{name}/{image.path.name} {digest}\n".encode())
            if progress is not None:
                progress("hash images", done, len(every))
    return Scan(folder, files, whole.hexdigest())


def _source_names(folder: Path) -> list[str]:
    """Names of the folders of images, sorted.

    Raises:
        BadInput: If images would be dropped, or two names are the same where case does not count.
    """
    names: list[str] = []
    for path in inside(folder):
        if not stat.S_ISDIR(status_of(path).st_mode):
            continue
        name = checked_name(path)
        if not name.startswith("."):
            names.append(name)
        elif any(image.suffix.lower() in SUFFIXES for image in inside(path)):
            raise BadInput(
                f"{path} holds images but is hidden (its name begins with a dot), so it is not "
                "taken for a source; rename or remove it."
            )
    owners: dict[str, str] = {REAL: REAL}
    for name in names:
        first = owners.setdefault(name.casefold(), name)
        if first != name:
            raise BadInput(
                f"{folder} has a source {name!r}, which differs from {first!r} by upper and lower "
                f"case alone; rename one. The folder of real images is named {REAL!r}."
            )
    return names


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


def _sources(found: Scan) -> tuple[Source, ...]:
    """Sources as an optional sources.yaml describes them, else of unknown family."""
    entries = read_sources(found.folder) if (found.folder / SOURCES).is_file() else {}
    unknown = [name for name in entries if name not in found.files]
    if unknown:
        raise BadInput(
            f"{found.folder / SOURCES} describes the source {', '.join(map(repr, unknown))}, but "
            "there is no such folder of images."
        )
    plain = {name: Source(name, "Unknown", name) for name in found.files}
    plain[REAL] = Source(REAL, "Real", "photographs")
    described = {name: as_source(name, entry) for name, entry in entries.items()}
    sources = tuple({**plain, **described}[name] for name in found.files)
    refuse_other_reals(sources, found.folder / SOURCES)
    return sources
