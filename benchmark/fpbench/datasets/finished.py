"""What a build has finished: one record for each source, and the manifest made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpbench.datasets.card import read_manifest
from fpbench.datasets.layout import MANIFEST, SPLITS, overall_hash, shard_path, write_json
from fpbench.errors import BadInput
from fpbench.files import file_sha256, parse_json, read_limited
from fpbench.images import REAL
from fpbench.version import __version__

if TYPE_CHECKING:
    from fpbench.datasets.schema import Recipe

CONTACT = "contact"
"""Folder of the contact sheets in a built dataset."""

_FOLDER = "finished"


@dataclass(frozen=True)
class Finished:
    """One source whose files are complete.

    Attributes:
        key: Hash of everything its images depend on.
        counts: Images by split.
        files: Entries of the manifest by path.
        content: Content hash by split.
        facts: What is known of how it was made.
        quality: Distances to real.
    """

    key: str
    counts: dict[str, int]
    files: dict[str, dict[str, Any]]
    content: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)

    def is_whole(self, out: Path) -> bool:
        """Whether all its files are in `out`, unchanged."""
        return all(
            (out / path).is_file() and file_sha256(out / path) == entry["sha256"]
            for path, entry in self.files.items()
        )

    def save(self, name: str, work: Path) -> None:
        """Remember it beside the checkpoints: the manifest is not there while building."""
        write_json(work / _FOLDER / f"{name}.json", vars(self))


def finished_before(out: Path, work: Path) -> dict[str, Finished]:
    """Sources that an earlier build completed in this folder, stopped or not.

    Raises:
        BadInput: If what says so cannot be read.
    """
    found: dict[str, Finished] = {}
    if (out / MANIFEST).is_file():
        manifest = read_manifest(out)
        for name in manifest.sources:
            facts = dict(manifest.facts.get(name, {}))
            splits = [split for split in SPLITS if name in manifest.counts[split]]
            paths = [shard_path(split, name) for split in splits]
            if "key" in facts and all(path in manifest.files for path in paths):
                found[name] = Finished(
                    key=facts.pop("key"),
                    counts={split: manifest.counts[split][name] for split in splits},
                    files={path: manifest.files[path].model_dump() for path in paths},
                    content={split: manifest.content[split][name] for split in splits},
                    facts=facts,
                    quality=manifest.quality.get(name, {}),
                )
    for path in sorted((work / _FOLDER).glob("*.json")):
        document = parse_json(read_limited(path, "note on a finished source"), path, "note")
        try:
            found[path.stem] = Finished(**document)
        except TypeError as error:
            raise BadInput(f"{path} was not written by `fpbench data build`; remove it.") from error
    return found


def remove_outdated(out: Path, before: dict[str, Finished], records: dict[str, Finished]) -> None:
    """Remove the data files and contact sheets of earlier builds that this one does not have.

    Args:
        out: Folder of the dataset.
        before: What earlier builds wrote there; nothing else is removed.
        records: What this one has.
    """
    listed = {path for record in records.values() for path in record.files}
    for name, record in before.items():
        for path in record.files:
            if path not in listed:
                (out / path).unlink(missing_ok=True)
        if name not in records:
            (out / CONTACT / f"{name}.png").unlink(missing_ok=True)


def manifest_of(recipe: Recipe, records: dict[str, Finished]) -> dict[str, Any]:
    """The manifest of a dataset as JSON values, sources in the order of `records`."""
    names = list(records)
    content = {
        split: {name: r.content[split] for name, r in records.items() if split in r.content}
        for split in SPLITS
    }
    digest = overall_hash(names, content)
    published = recipe.real is not None and recipe.real.published
    return {
        "name": recipe.name,
        "version": recipe.version,
        "revision": f"{recipe.version}-{digest[:12]}",
        "size": [recipe.size, recipe.size],
        "sources": names,
        "counts": {
            split: {name: r.counts[split] for name, r in records.items() if split in r.counts}
            for split in SPLITS
        },
        "files": {path: entry for r in records.values() for path, entry in r.files.items()},
        "content": content,
        "content_hash": digest,
        "external": [] if published else [REAL],
        "facts": {name: {**r.facts, "key": r.key} for name, r in records.items()},
        "quality": {name: r.quality for name, r in records.items() if r.quality},
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "fpbench": __version__,
    }
