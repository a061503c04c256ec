"""What a build has finished: one record for each source, and the manifest made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fpbench
from fpbench.datasets.layout import (
    MANIFEST,
    SPLITS,
    file_digest,
    overall_hash,
    shard_path,
    write_json,
)
from fpbench.images import REAL

if TYPE_CHECKING:
    from fpbench.datasets.schema import Recipe

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
            (out / path).is_file() and file_digest(out / path) == entry["sha256"]
            for path, entry in self.files.items()
        )

    def save(self, name: str, work: Path) -> None:
        """Remember it beside the checkpoints: the manifest is not there while building."""
        write_json(work / _FOLDER / f"{name}.json", vars(self))


def finished_before(out: Path, work: Path) -> dict[str, Finished]:
    """Sources that an earlier build completed in this folder, stopped or not."""
    found: dict[str, Finished] = {}
    manifest = out / MANIFEST
    if manifest.is_file():
        document = json.loads(manifest.read_text("utf-8"))
        for name in document["sources"]:
            facts = dict(document["facts"].get(name, {}))
            splits = [split for split in SPLITS if name in document["counts"][split]]
            paths = [shard_path(split, name) for split in splits]
            if "key" in facts and all(path in document["files"] for path in paths):
                found[name] = Finished(
                    key=facts.pop("key"),
                    counts={split: document["counts"][split][name] for split in splits},
                    files={path: document["files"][path] for path in paths},
                    content={split: document["content"][split][name] for split in splits},
                    facts=facts,
                    quality=document["quality"].get(name, {}),
                )
    for path in sorted((work / _FOLDER).glob("*.json")):
        found[path.stem] = Finished(**json.loads(path.read_text("utf-8")))
    for name, record in found.items():
        record.save(name, work)
    return found


def remove_strangers(out: Path, records: dict[str, Finished]) -> None:
    """Remove data files and contact sheets that earlier builds left and this one does not list."""
    listed = {path for record in records.values() for path in record.files}
    for path in sorted((out / "data").glob("*/*")):
        # Killed builds leave temporary files, too.
        if path.relative_to(out).as_posix() not in listed and path.suffix in (".parquet", ".part"):
            path.unlink()
    for path in sorted((out / "contact").glob("*.png")):
        if path.stem not in records:
            path.unlink()


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
        "fpbench": fpbench.__version__,
    }
