"""Reads dataset cards: README.md, recipe.yaml, sources.yaml and, once built, manifest.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from fpbench.datasets.layout import MANIFEST, README, RECIPE, SOURCES, replacing
from fpbench.errors import BadInput, suggest
from fpbench.images import REAL, Source

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fpbench.datasets.schema import Manifest, Recipe, SourceEntry

    _Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class CardSummary:
    """What ``fpbench data list`` shows of a dataset, read without validation.

    Attributes:
        name: Name of the dataset.
        title: One line.
        size: Height and width in pixels, or None where the recipe does not say.
        sources: Sources of the recipe, Real included.
        available: Sources whose images are here or can be made; at most `sources`.
        state: ``ready`` (its images are here or made on the fly), ``needs real images`` (all but
            the real images are here) or ``to build``.
        images: Images in the built dataset, all splits; None where it is not built.
    """

    name: str
    title: str
    size: int | None
    sources: int
    available: int
    state: str
    images: int | None


def _yaml(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # The C loader is the safe loader too, only faster.
        document = yaml.load(path.read_text("utf-8"), Loader=loader)  # noqa: S506
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing; a dataset card needs it.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read as YAML: {_one_line(error)}.") from error
    if not isinstance(document, dict):
        raise BadInput(f"{path} must hold a mapping of fields, not {type(document).__name__}.")
    return document


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing; build the dataset first.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadInput(f"{path} cannot be read as JSON: {_one_line(error)}.") from error
    if not isinstance(document, dict):
        raise BadInput(f"{path} must hold a mapping of fields, not {type(document).__name__}.")
    return document


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def summary(folder: Path) -> CardSummary:
    """What there is to list of a card, from YAML and JSON alone.

    Raises:
        BadInput: If recipe.yaml or manifest.json cannot be read.
    """
    recipe = _yaml(folder / RECIPE)
    sources = recipe.get("sources") or {}
    synthetic = recipe.get("synthetic")
    manifest = _json(folder / MANIFEST) if (folder / MANIFEST).is_file() else None
    if isinstance(synthetic, dict):
        count = available = 1 + int(synthetic.get("sources", 0))
        state = "ready"
    else:
        count = 1 + len(sources)
        missing = sum(
            1 for origin in sources.values() if dict(origin or {}).get("kind") == "unavailable"
        )
        available = count - missing
        state = "to build"
        if manifest is not None:
            available = len(manifest.get("sources", ()))
            state = "needs real images" if manifest.get("external") else "ready"
    images = None
    if manifest is not None:
        images = sum(sum(row.values()) for row in dict(manifest.get("counts", {})).values())
    return CardSummary(
        name=str(recipe.get("name", folder.name)),
        title=str(recipe.get("title", "")),
        size=recipe.get("size"),
        sources=count,
        available=available,
        state=state,
        images=images,
    )


def _validated(model: type[_Model], document: dict[str, Any], path: Path) -> _Model:
    from pydantic import ValidationError

    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        reason = first["msg"].removeprefix("Value error, ").rstrip(".")
        if first["type"] == "extra_forbidden":
            name = str(first["loc"][-1])
            parent = ".".join(str(part) for part in first["loc"][:-1])
            where = f" of {parent}" if parent else ""
            known = sorted(model.model_fields) if not parent else []
            hint = f" {suggest(name, known)}" if known else " Check its spelling, or remove it."
            raise BadInput(f"{path}: unknown key {name!r}{where}.{hint}") from error
        more = len(error.errors()) - 1
        also = f" (and {more} more)" if more else ""
        raise BadInput(f"{path}: field {field}: {reason}{also}.") from error


def read_recipe(folder: Path, file: str = RECIPE) -> Recipe:
    """The validated recipe of a card or built dataset.

    Args:
        folder: The card's folder.
        file: Name of the recipe, where a card has more than one.

    Raises:
        BadInput: If recipe.yaml is missing, is no YAML, or has unknown keys or wrong values; the
            message names file and field.
    """
    from fpbench.datasets.schema import Recipe

    return _validated(Recipe, _yaml(folder / file), folder / file)


def read_sources(folder: Path) -> dict[str, SourceEntry]:
    """The validated sources.yaml by source name; rows of the zoo are written out.

    Raises:
        BadInput: If sources.yaml is missing, is no YAML, or has unknown keys or wrong values.
    """
    from fpbench.datasets.schema import SourceEntry, ZooEntry

    path = folder / SOURCES
    entries: dict[str, SourceEntry] = {}
    for name, entry in _yaml(path).items():
        if not isinstance(entry, dict):
            raise BadInput(f"{path}: field {name} must hold a mapping of fields, not {entry!r}.")
        try:
            if "zoo" in entry:
                short = _validated(ZooEntry, entry, path)
                entries[name] = zoo_entry(short.zoo, short.summary)
            else:
                entries[name] = _validated(SourceEntry, entry, path)
        except BadInput as error:
            message = str(error).removeprefix(f"{path}: ")
            raise BadInput(f"{path}: source {name!r}: {message}") from error.__cause__
    return entries


def zoo_entry(row: str, summary: str = "") -> SourceEntry:
    """What ``sources.yaml`` says of a row of the zoo's table.

    Args:
        row: Its name.
        summary: A sentence added to the row's own.

    Raises:
        BadInput: If there is no such row.
    """
    from fpbench.datasets.schema import Fact, SourceEntry
    from fpbench.zoo.table import model

    found = model(row)
    origin = f"fpbench.zoo.table, row {row}"
    return SourceEntry(
        family=found.family,
        architecture=found.architecture,
        summary=f"{found.summary} {summary}".strip(),
        citation=found.citation,
        design={key: Fact(value=value, **{"from": origin}) for key, value in found.design.items()},
    )


def write_sources(target: Path, entries: Mapping[str, SourceEntry]) -> None:
    """Write sources.yaml with everything that `entries` say."""
    document = {
        name: entry.model_dump(by_alias=True, exclude_defaults=True)
        for name, entry in entries.items()
    }
    with replacing(target) as temporary:
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=98)
        temporary.write_text(text, "utf-8")


def read_manifest(folder: Path) -> Manifest:
    """The validated manifest of a built dataset.

    Raises:
        BadInput: If manifest.json is missing, is no JSON, or has unknown keys or wrong values.
    """
    from fpbench.datasets.schema import Manifest

    return _validated(Manifest, _json(folder / MANIFEST), folder / MANIFEST)


def as_source(name: str, entry: SourceEntry) -> Source:
    """The source that a method and a record see."""
    design = {choice: fact.value for choice, fact in entry.design.items()}
    return Source(name, entry.family, entry.architecture, design)


def sources_of(folder: Path, names: list[str]) -> tuple[Source, ...]:
    """The sources `names`, in that order, as sources.yaml of `folder` describes them.

    Raises:
        BadInput: If one of them is not described there, or Real is of another family.
    """
    entries = read_sources(folder)
    missing = [name for name in names if name not in entries]
    if missing:
        raise BadInput(
            f"{folder / SOURCES} does not describe the source {missing[0]!r}; add its family, "
            "architecture and design."
        )
    found = tuple(as_source(name, entries[name]) for name in names)
    for source in found:
        if source.is_real != (source.name == REAL):
            raise BadInput(
                f"{folder / SOURCES}: source {source.name!r} has family {source.family}; the "
                f"family Real belongs to the source {REAL!r} alone."
            )
    return found


def read_front_matter(folder: Path) -> dict[str, Any]:
    """The YAML block at the head of README.md, which the Hub reads.

    Raises:
        BadInput: If README.md is missing, or does not begin with a YAML block.
    """
    path = folder / README
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read; a dataset card needs it.") from error
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        raise BadInput(f"{path} must begin with a YAML block between two lines of '---'.")
    try:
        block = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: its YAML block cannot be read: {_one_line(error)}.") from error
    if not isinstance(block, dict):
        raise BadInput(f"{path}: its YAML block must hold a mapping of fields.")
    return block
