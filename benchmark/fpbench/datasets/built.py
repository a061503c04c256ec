"""A dataset that fpbench built: checked against its manifest, decoded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets.audited import audited_shortcut
from fpbench.datasets.cache import Allocate, cached
from fpbench.datasets.card import (
    read_front_matter,
    read_manifest,
    read_recipe,
    read_sources,
    sources_of,
)
from fpbench.datasets.dataset import (
    DatasetIdentity,
    Description,
    GMDataset,
    ResolvedDataset,
    description_digest,
)
from fpbench.datasets.decoding import Duplicates, decode_into
from fpbench.datasets.external import locate
from fpbench.datasets.hub import Snapshot, fetch
from fpbench.datasets.layout import MANIFEST, SPLITS, ContentHash, overall_hash, shard_path
from fpbench.datasets.shards import read_shard
from fpbench.errors import BadInput
from fpbench.files import file_sha256
from fpbench.images import REAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.schema import Manifest
    from fpbench.method import Progress

# Smaller datasets have all their files checked on every load, larger ones on the first decode.
_CHECK_ALWAYS = 64 << 20


class BuiltFolder(ResolvedDataset):
    """A folder that ``fpbench data build`` made.

    Args:
        folder: The folder.
        offline: Whether the Hub may not be asked for real images that are not in the folder.

    Raises:
        BadInput: If manifest, recipe or sources cannot be read or do not fit together.
    """

    def __init__(self, folder: Path, *, offline: bool = False) -> None:
        self._folder = folder
        self._offline = offline
        self._manifest = read_manifest(folder)
        self._recipe = read_recipe(folder)
        self._checked: set[str] = set()
        check_manifest(folder, self._manifest)
        fdr = self._recipe.fdr
        sources = sources_of(folder, self._manifest.sources)
        self.description = Description(sources, fdr.samples, fdr.dimensions)
        self.identity = DatasetIdentity(
            name=self._manifest.name,
            revision=self._manifest.revision,
            content_hash=self._manifest.content_hash,
            digest=description_digest(self.description),
        )

    def load(self, progress: Progress | None = None) -> GMDataset:
        """The images, checked against the manifest where they are decoded.

        Raises:
            BadInput: If files are missing or not those that were built, or real images that are
                not in the folder is not available.
        """
        small = sum(entry.size for entry in self._manifest.files.values()) <= _CHECK_ALWAYS
        self._check_files(thorough=small)
        return self.assemble(
            cached(self._manifest.content_hash, lambda room: self._decode(room, progress))
        )

    def shortcut(self) -> float | None:
        """Accuracy of the audit's metadata-only baseline, read anew."""
        identity = self.identity
        return audited_shortcut(self._manifest.name, identity.content_hash, self._folder)

    def real_hash(self) -> str:
        """Hash of the real images alone: the generators may change meanwhile."""
        real = {split: {REAL: row[REAL]} for split, row in self._manifest.content.items()}
        return overall_hash([REAL], real)

    def encoded(self, dataset: GMDataset, split: str) -> Iterator[bytes]:
        """Bytes of the image files of a split, in the order of its images."""
        from fpbench.datasets.png import encode_png

        images = getattr(dataset, split)
        for label, source in enumerate(dataset.sources):
            path = self._folder / shard_path(split, source.name)
            if path.is_file():
                for image in read_shard(path):
                    yield image.read()
            else:
                # Had from elsewhere: what the one writer would have written.
                for index in np.flatnonzero(images.labels == label):
                    yield encode_png(images.pixels[index])

    def origin_files(self) -> dict[str, dict[str, int]]:
        """Kinds of files that the images were built from, counted, by source."""
        facts = self._manifest.facts
        return {name: own["files"] for name, own in facts.items() if "files" in own}

    def equalised(self) -> dict[str, Any] | None:
        """The recipe's equalise step, or None."""
        steps = self._recipe.equalise
        return None if steps is None else steps.model_dump(mode="json")

    def licences(self) -> tuple[str, ...]:
        """The licences at the head of the card, and none where there is no readable one."""
        try:
            stated = read_front_matter(self._folder).get("license", ())
        except BadInput:
            return ()
        return (stated,) if isinstance(stated, str) else tuple(str(one) for one in stated)

    def citations(self) -> tuple[str, ...]:
        """The citations of the sources, each once."""
        entries = read_sources(self._folder).values()
        return tuple(dict.fromkeys(entry.citation for entry in entries if entry.citation))

    def _check_files(self, *, thorough: bool) -> None:
        """Refuse data files that are missing or not those that were built; each is hashed once."""
        for name, entry in self._manifest.files.items():
            path = self._folder / name
            if not path.is_file():
                source = Path(name).name.rsplit("-", 3)[0]
                if source in self._manifest.external:
                    continue
                raise BadInput(
                    f"{path} is missing, though {MANIFEST} lists it; build or pull again."
                )
            same = path.stat().st_size == entry.size
            if same and thorough and name not in self._checked:
                same = file_sha256(path) == entry.sha256
                self._checked.add(name)
            if not same:
                raise BadInput(
                    f"{path} is not the file that was built: its checksum differs from field "
                    f"files.{name} of {MANIFEST}. Build or pull the dataset again."
                )

    def _decode(
        self, allocate: Allocate, progress: Progress | None
    ) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
        self._check_files(thorough=True)
        folder, manifest = self._folder, self._manifest
        external = folder
        if manifest.external:
            external = locate(folder, manifest, self._recipe, progress, offline=self._offline)
        duplicates = Duplicates()
        total = sum(sum(row.values()) for row in manifest.counts.values())
        done = 0
        rows: dict[str, tuple[NDArray[np.int64], list[str]]] = {}
        for split in SPLITS:
            counts = manifest.counts[split]
            height, width = manifest.size
            target = allocate(split, (sum(counts.values()), height, width, 3))
            labels: list[int] = []
            ids: list[str] = []
            for label, source in enumerate(manifest.sources):
                if source not in counts:
                    continue
                content = ContentHash()

                def advanced(
                    names: Sequence[str],
                    pixels: NDArray[np.uint8],
                    content: ContentHash = content,
                    ids: list[str] = ids,
                ) -> None:
                    nonlocal done
                    content.update(names, pixels)
                    ids.extend(names)
                    done += len(names)
                    if progress is not None:
                        progress("decode", done, total)

                place = external if source in manifest.external else folder
                path = place / shard_path(split, source)
                part = target[len(labels) : len(labels) + counts[source]]
                found = decode_into(part, read_shard(path), duplicates, advanced)
                if found != counts[source]:
                    raise BadInput(
                        f"{folder / MANIFEST}: field counts.{split}.{source} says {counts[source]} "
                        f"images, but {path} holds {'more' if found > counts[source] else found}."
                    )
                if content.hexdigest() != manifest.content[split][source]:
                    raise BadInput(
                        f"{path}: its decoded images differ from field content.{split}.{source} of "
                        f"{MANIFEST}; build or pull the dataset again."
                    )
                labels += [label] * found
            if len(set(ids)) != len(ids):
                raise BadInput(f"{folder}: the ids of the split {split} are not distinct.")
            rows[split] = (np.asarray(labels, np.int64), ids)
        return rows


class HubCopy(BuiltFolder):
    """A built dataset on the Hub, of which so far only the description need be here.

    Args:
        snapshot: What was found on the Hub or in its local cache.
        offline: Whether the Hub may not be asked.
        name: What it is called; the repository's name where None.

    Raises:
        BadInput: As `BuiltFolder`.
    """

    def __init__(
        self, snapshot: Snapshot, *, offline: bool = False, name: str | None = None
    ) -> None:
        super().__init__(snapshot.folder, offline=offline)
        self._snapshot = snapshot
        own = self.identity
        self.identity = DatasetIdentity(
            name or snapshot.repository, own.revision, own.content_hash, own.digest, snapshot.commit
        )

    def load(self, progress: Progress | None = None) -> GMDataset:
        """The images; those that are not here yet are fetched, of the same commit.

        Raises:
            BadInput: As `BuiltFolder.load`, or if the Hub cannot be reached.
        """
        if not all((self._folder / name).is_file() for name in self._manifest.files):
            self._folder = fetch(self._snapshot, offline=self._offline)
        return super().load(progress)


def check_manifest(folder: Path, manifest: Manifest) -> None:
    """Refuse a manifest whose parts do not fit together.

    Raises:
        BadInput: If its content hash or counts do not follow from the rest.
    """
    if overall_hash(manifest.sources, manifest.content) != manifest.content_hash:
        raise BadInput(
            f"{folder / MANIFEST}: field content_hash does not follow from content and sources; "
            "the file was changed after the build. Build or pull the dataset again."
        )
    for split, row in manifest.counts.items():
        for source, count in row.items():
            entry = manifest.files.get(shard_path(split, source))
            if source not in manifest.external and (entry is None or entry.images != count):
                there = "no such file" if entry is None else f"{entry.images} images"
                raise BadInput(
                    f"{folder / MANIFEST}: field counts.{split}.{source} says {count}, but "
                    f"{shard_path(split, source)} has {there}."
                )
