"""Writes the card of a labelled dataset that was looked at once: recipe, sources and page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fpbench.datasets.card import write_sources
from fpbench.datasets.entries import SourceEntry
from fpbench.datasets.labelled.dataset import LabelledDataset
from fpbench.datasets.labelled.hub_listing import list_files
from fpbench.datasets.labelled.spec import SETTINGS, Labelled, spec_of
from fpbench.datasets.layout import README, RECIPE, SOURCES
from fpbench.datasets.reference import parse_reference
from fpbench.datasets.schema import plain_name
from fpbench.errors import BadInput
from fpbench.files import expanded, write_text
from fpbench.images import REAL
from fpbench.registry import card_folders

if TYPE_CHECKING:
    from fpbench.method import Progress

_TODO = "Say what these images show, who made them and how, and what may tell sources apart."


def new_card(
    name: str,
    reference: str,
    out: Path,
    *,
    offline: bool = False,
    progress: Progress | None = None,
) -> LabelledDataset:
    """Look at a labelled dataset and write its card.

    Args:
        name: Name of the card.
        reference: ``hub:OWNER/NAME``, a file or a folder, with settings.
        out: Folder of the card; must not exist.
        offline: Open no connection.
        progress: Called as ``progress(what, done, total)``.

    Returns:
        The dataset.

    Raises:
        BadInput: If the name is none or taken, the folder is there, or the dataset cannot be read.
    """
    try:
        plain_name(name)
    except ValueError as error:
        raise BadInput(f"{error}.") from error
    if name in card_folders():
        raise BadInput(f"There is a card {name!r} already; choose another name.")
    folder = expanded(out)
    if folder.exists():
        raise BadInput(f"{folder} exists already; choose another folder with --out.")
    asked = parse_reference(reference)
    asked.refuse_others(SETTINGS, "a labelled dataset")
    spec = spec_of(asked.place, asked.settings)
    if spec.path is not None:
        spec = spec.model_copy(update={"path": str(expanded(Path(spec.path)).resolve())})
    found = LabelledDataset(spec, base=Path(), offline=offline, progress=progress)
    names = [source.name for source in found.description.sources]
    whole, licence = _whole(spec, found, offline)
    recipe = {
        "name": name,
        "title": f"{spec.name}, {len(names) - (REAL in names)} generators",
        "version": 1,
        "whole": whole,
        "labelled": _stated(spec, found),
    }
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True, width=98)
    write_text(folder / RECIPE, text)
    write_sources(folder / SOURCES, _entries(names))
    write_text(folder / README, _page(name, spec, names, licence))
    return found


def _whole(spec: Labelled, found: LabelledDataset, offline: bool) -> tuple[dict[str, Any], str]:
    """What is known of all of it, and its licence where the Hub's page states one."""
    rows = found.rows
    if spec.hub is None:
        return {"images": rows, "seen": f"Read from {spec.path}."}, "unknown"
    listing = list_files(spec.hub, found.identity.commit, offline=offline)
    stated = listing.page.get("license") or "unknown"
    licence = stated if isinstance(stated, str) else ", ".join(map(str, stated))
    whole = {
        "bytes": sum(file.size for file in listing.files) or None,
        "images": rows,
        "seen": f"Read from {listing.repository} at commit {listing.commit}.",
    }
    return whole, licence


def _stated(spec: Labelled, found: LabelledDataset) -> dict[str, Any]:
    stated = spec.model_dump(exclude_defaults=True)
    if spec.hub is not None:
        stated["hub"], stated["revision"] = found.hub_name, found.identity.commit
    stated["images"] = spec.images
    if spec.sources is None:
        # Written out, so that a label that comes later is noticed.
        stated["sources"] = {name: labels for name, labels in found.labels.items() if name != REAL}
        stated["real"] = found.labels.get(REAL, [])
    return stated


def _entries(names: Sequence[str]) -> Mapping[str, SourceEntry]:
    return {
        name: SourceEntry(
            family="Real" if name == REAL else "Unknown",
            architecture="photographs" if name == REAL else name,
        )
        for name in names
    }


def _page(name: str, spec: Labelled, names: Sequence[str], licence: str) -> str:
    block = {
        "pretty_name": name,
        "license": licence,
        "task_categories": ["image-classification"],
        "tags": ["fpbench", "image-forensics", "model-attribution"],
    }
    front = yaml.safe_dump(block, sort_keys=False, allow_unicode=True)
    place = f"[{spec.hub}](https://huggingface.co/datasets/{spec.hub})" if spec.hub else spec.path
    lines = [
        f"---\n{front}---\n",
        f"# {name}\n",
        f"{len(names)} sources, read from where they lie: {place}.\n",
        f"{_TODO}\n",
        "**Known confounds.** Not looked for yet: run `fpbench data audit`.\n",
    ]
    return "\n".join(lines)
