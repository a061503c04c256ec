"""A dataset that is simply one folder of images for each source, ``real`` being Real."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.assignment import assign
from fpbench.datasets.audited import audited_shortcut
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
from fpbench.datasets.folder_layout import Placed, place_images
from fpbench.datasets.imagefiles import ImageFile, checked_name
from fpbench.datasets.layout import SOURCES, SPLITS
from fpbench.datasets.splitting import REFERENCE_SHARE, SHARES, SPLIT_SEED, SplitRule
from fpbench.errors import BadInput
from fpbench.images import REAL, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.method import Progress

_FORMAT = "folder-1"
_MOST_DIMENSIONS = 64


@dataclass(frozen=True)
class Scan:
    """What a folder of images holds.

    Attributes:
        folder: The folder.
        files: Image files by source, sorted by name, Real first.
        positions: Positions among a source's files that belong to each split, by source.
        digest: Hash of all file names, file contents and of the rules of splitting.
        told: How they were split, in words.
    """

    folder: Path
    files: Mapping[str, list[Placed]]
    positions: Mapping[str, Mapping[str, NDArray[np.int64]]]
    digest: str
    told: str


class ImageFolder(ResolvedDataset):
    """One folder of images for each source.

    Files beside the source folders are not read, but for ``sources.yaml``, which may say what the
    sources are, and ``audit.json``.

    Args:
        folder: The folder.
        progress: Called as ``progress(what, done, total)`` while the files are hashed.
        rule: How the images are split, where no folders named ``train`` and ``test`` say it.

    Raises:
        BadInput: If there are fewer than two sources, no generator, a file that is no image, a
            source with too few images, or a wrong ``sources.yaml``.
    """

    def __init__(
        self, folder: Path, progress: Progress | None = None, rule: SplitRule | None = None
    ) -> None:
        self._scan = scan(folder, progress, rule)
        samples = min(len(by_split["test"]) for by_split in self._scan.positions.values())
        dimensions = max(1, min(_MOST_DIMENSIONS, samples // 8))
        self.description = Description(_sources(self._scan), samples, dimensions)
        self.folder = folder
        self.brought = self._scan.told
        self.identity = DatasetIdentity(
            name=checked_name(folder.resolve()),
            # A folder has no version of its own.
            revision=self._scan.digest[:12],
            content_hash=self._scan.digest,
            digest=description_digest(self.description),
        )

    def load(self, progress: Progress | None = None) -> GMDataset:
        """The images, split by the folders or by a stated rule.

        Raises:
            BadInput: If an image is truncated, not RGB or of another size, stands there twice, or
                was changed since the folder was looked through.
        """
        return self.assemble(cached(self._scan.digest, lambda room: self._decode(room, progress)))

    def shortcut(self) -> float | None:
        """Accuracy of the metadata-only baseline that `fpbench data audit --write` left here."""
        return audited_shortcut(self.identity.name, self.identity.content_hash, self.folder)

    def groups(self, split: str) -> list[str]:
        """Names of the groups of a split's images, in order; empty where there are none."""
        own = [placed.group for _, placed in self._images(split)]
        return own if any(own) else []

    def encoded(self, dataset: GMDataset, split: str) -> Iterator[bytes]:
        """Bytes of the image files of a split, in the order of its images."""
        for _, image in self._images(split):
            yield image.file.read()

    def _images(self, split: str) -> Iterator[tuple[int, Placed]]:
        """Labels and files of a split, in order."""
        for label, (name, files) in enumerate(self._scan.files.items()):
            for position in self._scan.positions[name][split]:
                yield label, files[position]

    @cached_property
    def _size(self) -> tuple[int, int]:
        first = next(iter(self._scan.files.values()))[0].file
        height, width, _ = decode(first.read(), str(first.path)).shape
        return height, width

    def _decode(
        self, allocate: Allocate, progress: Progress | None
    ) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
        height, width = self._size
        duplicates = Duplicates()
        total = sum(len(p) for own in self._scan.positions.values() for p in own.values())
        done = 0

        def advanced(ids: object, pixels: NDArray[np.uint8]) -> None:
            nonlocal done
            done += len(pixels)
            if progress is not None:
                progress("decode", done, total)

        rows: dict[str, tuple[NDArray[np.int64], list[str]]] = {}
        for split in SPLITS:
            chosen = list(self._images(split))
            images = [Encoded(p.id, str(p.file.path), p.file.read) for _, p in chosen]
            target = allocate(split, (len(images), height, width, 3))
            decode_into(target, images, duplicates, advanced)
            labels = np.asarray([label for label, _ in chosen], np.int64)
            rows[split] = (labels, [image.id for image in images])
        return rows


def scan(folder: Path, progress: Progress | None = None, rule: SplitRule | None = None) -> Scan:
    """List, split and hash the images of a folder by source.

    Args:
        folder: The folder.
        progress: Called as ``progress(what, done, total)``.
        rule: How images are split that no folder splits; None is the usual rule.

    Raises:
        BadInput: If there are fewer than two sources, no generator, a file that is no image, or a
            source with too few images.
    """
    files = place_images(folder, None if rule is None else rule.groups)
    _refuse_few_sources(folder, list(files))
    positions = assign(files, rule, str(folder))
    every = [(name, placed) for name, images in files.items() for placed in images]
    whole = hashlib.sha256(f"{_FORMAT} {SPLIT_SEED} {REFERENCE_SHARE} {SHARES}\n".encode())
    if rule is not None and rule != SplitRule():
        whole.update(f"{rule}\n".encode())
    with ThreadPoolExecutor(threads()) as pool:
        digests = pool.map(ImageFile.sha256, (placed.file for _, placed in every))
        for done, ((_, placed), digest) in enumerate(zip(every, digests, strict=True), start=1):
            whole.update(f"{placed.id} {digest}\n".encode())
            if progress is not None:
                progress("hash images", done, len(every))
    return Scan(folder, files, positions, whole.hexdigest(), _told(files, positions, rule))


def _told(
    files: Mapping[str, list[Placed]],
    positions: Mapping[str, Mapping[str, NDArray[np.int64]]],
    rule: SplitRule | None,
) -> str:
    """How the images were split, and how many each split has."""
    given = any(placed.split for images in files.values() for placed in images)
    how = "split by its folders" if given else f"split by {(rule or SplitRule()).told()}"
    numbers = ", ".join(
        f"{split} {sum(len(own[split]) for own in positions.values())}" for split in SPLITS
    )
    real = "" if REAL in files else "; no real images, so no reference"
    return f"{how}: {numbers}{real}"


def _refuse_few_sources(folder: Path, names: Sequence[str]) -> None:
    if names == [REAL]:
        raise BadInput(
            f"{folder} has real images only; add one folder of images for each generator."
        )
    if len(names) < 2:
        found = f"the folder {names[0]}" if names else "no folders"
        raise BadInput(
            f"{folder} is no dataset: it has {found}, but needs one folder of images for each "
            f"source, at least two; one named {REAL!r} holds real images."
        )


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
    if REAL in plain:
        plain[REAL] = Source(REAL, "Real", "photographs")
    described = {name: as_source(name, entry) for name, entry in entries.items()}
    sources = tuple({**plain, **described}[name] for name in found.files)
    refuse_other_reals(sources, found.folder / SOURCES)
    return sources
