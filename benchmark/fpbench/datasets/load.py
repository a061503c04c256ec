"""Loads a GM dataset by name, folder or Hub id into memory-mapped arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets import folders
from fpbench.datasets.cache import Allocate, Decoded, cached
from fpbench.datasets.card import read_manifest, read_recipe, sources_of
from fpbench.datasets.decoding import Duplicates, decode_into
from fpbench.datasets.external import locate
from fpbench.datasets.layout import (
    AUDIT,
    MANIFEST,
    RECIPE,
    SPLITS,
    ContentHash,
    file_digest,
    overall_hash,
    shard_path,
)
from fpbench.datasets.shards import read_shard
from fpbench.errors import BadInput, suggest
from fpbench.images import REAL, ImageSet, Source
from fpbench.registry import card_folders

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.schema import Manifest
    from fpbench.method import Progress

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
# Smaller datasets have all their files checked on every load, larger ones on the first decode.
_CHECK_ALWAYS = 64 << 20


@dataclass(frozen=True)
class DatasetIdentity:
    """Which dataset exactly: all that a job's identity needs, had without decoding an image.

    Attributes:
        name: Name of the card, of the folder, or Hub id.
        revision: Recipe version and beginning of the content hash, or the Hub's commit.
        content_hash: Hash of the ids and decoded pixels of all splits; of a folder of images,
            hash of its files; of a dataset made on the fly, hash of what it is made from.
        folder: Where its files are, or None.
    """

    name: str
    revision: str
    content_hash: str
    folder: Path | None


@dataclass(frozen=True)
class GMDataset:
    """Real images and images of several sources, in four splits that share no image.

    Attributes:
        identity: Name, revision and content hash.
        sources: Real first, named ``real``; labels of all splits index into them.
        reference: Real images only: those the generators were trained on.
        train: Labelled images of every source.
        validation: Labelled images of every source.
        test: Labelled images of every source.
        fdr_samples: Test images per source that FDR is measured with.
        fdr_dimensions: Dimension that embeddings are reduced to for FDR.
        shortcut: Accuracy of the audit's shortcut probe, or None where there was no audit.
    """

    identity: DatasetIdentity
    sources: tuple[Source, ...]
    reference: ImageSet
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    fdr_samples: int
    fdr_dimensions: int
    shortcut: float | None = None


def identify(ref: str, *, offline: bool = False) -> DatasetIdentity:
    """Find a dataset without decoding it.

    Args:
        ref: Name of a card (``gm-synthetic`` takes ``:KIND[,SNR]``), a folder, or
            ``HUB_ID[@REVISION]``.
        offline: Take what is in the Hub's local cache and open no connection.

    Raises:
        BadInput: If there is no such dataset, it is not built, or it cannot be reached.
    """
    from fpbench.datasets import synthetic

    name, _, settings = ref.partition(":")
    cards = card_folders()
    if name in cards:
        if synthetic.is_synthetic(cards[name]):
            chosen = synthetic.settings_of(cards[name], settings)
            digest = chosen.content_hash(_real_hash(identify(chosen.base, offline=offline)))
            return DatasetIdentity(
                chosen.reference, f"{chosen.version}-{digest[:12]}", digest, None
            )
        if settings:
            raise BadInput(f"Dataset {name!r} takes no settings, but got {settings!r}.")
        if not (cards[name] / MANIFEST).is_file():
            # `fpbench data build NAME` builds into ./NAME.
            if (Path(name) / MANIFEST).is_file():
                return _identify_built(Path(name))
            raise BadInput(
                f"Dataset {name!r} has a card but no images here. Build it with `fpbench data "
                f"build {name}`, or pass the folder or the Hub id of a built copy."
            )
        return _identify_built(cards[name])
    path = Path(ref).expanduser()
    if path.is_dir():
        if (path / MANIFEST).is_file():
            return _identify_built(path)
        if (path / RECIPE).is_file():
            raise BadInput(
                f"{path} has a recipe.yaml but no manifest.json: it is not built, or its build "
                f"was stopped. Run `fpbench data build {path}`."
            )
        scanned = folders.scan(path)
        return DatasetIdentity(path.resolve().name, scanned.revision, scanned.digest, path)
    if path.exists():
        raise BadInput(
            f"{path} is a file; a dataset is a folder, built by fpbench or with one folder of "
            "images for each source."
        )
    if ref.startswith((".", "/", "~")):
        raise BadInput(f"There is no folder {path}.")
    if _HUB_ID.fullmatch(ref):
        from fpbench.datasets import hub

        repository, _, revision = ref.partition("@")
        commit, folder = hub.fetch_manifest(repository, revision or None, offline=offline)
        return DatasetIdentity(repository, commit, read_manifest(folder).content_hash, folder)
    raise BadInput(
        f"There is no dataset {ref!r}. {suggest(name, cards)} Or pass a folder or a Hub id."
    )


def _identify_built(folder: Path) -> DatasetIdentity:
    manifest = read_manifest(folder)
    return DatasetIdentity(manifest.name, manifest.revision, manifest.content_hash, folder)


def _real_hash(identity: DatasetIdentity) -> str:
    """Hash of a built dataset's real images alone: its generators may change meanwhile."""
    if identity.folder is None or not (identity.folder / MANIFEST).is_file():
        return identity.content_hash
    content = read_manifest(identity.folder).content
    real = {split: {REAL: row[REAL]} for split, row in content.items()}
    return overall_hash([REAL], real)


def load(ref: str, *, offline: bool = False, progress: Progress | None = None) -> GMDataset:
    """Load a dataset; the first time its images are decoded and checked, later memory-mapped.

    Args:
        ref: As for `identify`.
        offline: As for `identify`.
        progress: Called as ``progress(what, done, total)`` while decoding.

    Raises:
        BadInput: If there is no such dataset, or its files are not what its manifest says.
    """
    from fpbench.datasets import synthetic

    identity = identify(ref, offline=offline)
    if identity.folder is None:
        name, _, settings = ref.partition(":")
        chosen = synthetic.settings_of(card_folders()[name], settings)
        return synthetic.make(identity, chosen, load(chosen.base, offline=offline))
    if not (identity.folder / MANIFEST).is_file():
        return folders.load(identity, folders.scan(identity.folder), progress)
    folder = identity.folder
    manifest = read_manifest(folder)
    # Of a Hub dataset the revision is a commit, and so far only its manifest need be here.
    if identity.revision != manifest.revision and not all(
        (folder / name).is_file() for name in manifest.files
    ):
        from fpbench.datasets import hub

        folder = hub.fetch(identity.name, identity.revision, offline=offline)
    return _load_built(identity, folder, offline=offline, progress=progress)


def _load_built(
    identity: DatasetIdentity, folder: Path, *, offline: bool, progress: Progress | None
) -> GMDataset:
    manifest = read_manifest(folder)
    recipe = read_recipe(folder)
    sources = sources_of(folder, manifest.sources)
    _check_manifest(folder, manifest)
    _check_files(folder, manifest, thorough=False)

    def decode(allocate: Allocate) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
        _check_files(folder, manifest, thorough=True)
        return _decode(folder, manifest, allocate, progress)

    splits = cached(manifest.content_hash, decode)
    return assemble(
        identity,
        sources,
        splits,
        recipe.fdr.samples,
        recipe.fdr.dimensions,
        _shortcut(folder, manifest),
    )


def assemble(
    identity: DatasetIdentity,
    sources: tuple[Source, ...],
    splits: dict[str, Decoded],
    fdr_samples: int,
    fdr_dimensions: int,
    shortcut: float | None = None,
) -> GMDataset:
    """A dataset from its decoded splits."""
    sets = {split: splits[split].image_set(sources) for split in SPLITS}
    return GMDataset(
        identity,
        sources,
        sets["reference"],
        sets["train"],
        sets["validation"],
        sets["test"],
        fdr_samples,
        fdr_dimensions,
        shortcut,
    )


def _shortcut(folder: Path, manifest: Manifest) -> float | None:
    """Accuracy of the audit's probe, or None where no audit is of these images.

    A copy that was built anew has no audit of its own; where it came out as the card's did, the
    card's says the same.
    """
    card = card_folders().get(manifest.name)
    stem, suffix = Path(AUDIT).stem, Path(AUDIT).suffix
    others = [] if card is None else sorted(card.glob(f"{stem}*{suffix}"))
    for path in (folder / AUDIT, *others):
        found = _audited(path, manifest.content_hash) if path.is_file() else None
        if found is not None:
            return found
    return None


def _audited(path: Path, content_hash: str) -> float | None:
    """Accuracy of the probe in an audit's report, or None where it is of other images."""
    import json

    try:
        report = json.loads(path.read_text("utf-8"))
        value = report["shortcut"]["accuracy"]
        current = report["dataset"]["content_hash"] == content_hash
        return float(value) if current and value is not None else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: its fields cannot be read; run `fpbench data audit` again."
        ) from error


def _check_manifest(folder: Path, manifest: Manifest) -> None:
    """Refuse a manifest whose parts do not fit together."""
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


def _check_files(folder: Path, manifest: Manifest, *, thorough: bool) -> None:
    """Refuse data files that are missing or not those that were built."""
    small = sum(entry.size for entry in manifest.files.values()) <= _CHECK_ALWAYS
    for name, entry in manifest.files.items():
        path = folder / name
        if not path.is_file():
            source = Path(name).name.rsplit("-", 3)[0]
            if source in manifest.external:
                continue
            raise BadInput(f"{path} is missing, though {MANIFEST} lists it; build or pull again.")
        if path.stat().st_size != entry.size or (
            (thorough or small) and file_digest(path) != entry.sha256
        ):
            raise BadInput(
                f"{path} is not the file that was built: its checksum differs from field "
                f"files.{name} of {MANIFEST}. Build or pull the dataset again."
            )


def _decode(
    folder: Path, manifest: Manifest, allocate: Allocate, progress: Progress | None
) -> dict[str, tuple[NDArray[np.int64], list[str]]]:
    external = locate(folder, manifest, progress) if manifest.external else folder
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

            path = (external if source in manifest.external else folder) / shard_path(split, source)
            part = target[len(labels) : len(labels) + counts[source]]
            images = read_shard(path)
            found = decode_into(part, images, duplicates, advanced)
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
