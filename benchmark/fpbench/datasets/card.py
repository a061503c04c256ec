"""Reads dataset cards: README.md, recipe.yaml, sources.yaml and, once built, manifest.json."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from fpbench.datasets.cache import cache_root
from fpbench.datasets.layout import MANIFEST, README, RECIPE, SOURCES
from fpbench.errors import BadInput, suggest
from fpbench.files import expanded, file_sha256, parse_json, read_limited, write_text
from fpbench.images import REAL, Source
from fpbench.registry import card_folders, recipe_file

if TYPE_CHECKING:
    from fpbench.datasets.entries import SourceEntry
    from fpbench.datasets.schema import Manifest, Recipe
    from fpbench.documents import Document

    _Model = TypeVar("_Model", bound=Document)


_DEVELOPMENT = re.compile(r"^purpose:\s*development\s*$", re.MULTILINE)


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
        licence: Of its images, as the card's page says; empty where it does not.
        download: Bytes of the public dataset that it is read from, None where that is not known
            or it is none.
        reason: Why it is not available here; empty if it can.
        purpose: ``board``, or ``development``: no record on it stands on a board.
    """

    name: str
    title: str
    size: int | None
    sources: int
    available: int
    state: str
    images: int | None
    licence: str = ""
    download: int | None = None
    reason: str = ""
    purpose: str = "board"


_WHOLE = "whole"
"""The field of recipe.yaml that only a dataset has which is read where it lies."""


class _TextKeys(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, with names as they are written and none of them twice.

    YAML reads a source called ``no`` as false and one called ``123`` as a number, and of two
    sources with one name it drops the first in silence.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands there twice", key.start_mark
                    )
                seen.add(key.value)
        found: dict[str, Any] = super().construct_mapping(node, deep)
        return found


def _parse_yaml(text: str, path: Path, what: str = "it") -> dict[str, Any]:
    try:
        document = yaml.load(text, Loader=_TextKeys)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path}: {what} cannot be read as YAML: {_one_line(error)}.") from error
    if not isinstance(document, dict):
        raise BadInput(
            f"{path}: {what} must hold a mapping of fields, not {type(document).__name__}."
        )
    return document


def _text(path: Path, what: str, hint: str) -> str:
    if not path.exists():
        raise BadInput(f"{path} is missing; {hint}.")
    return read_limited(path, what)


def _yaml(path: Path) -> dict[str, Any]:
    return _parse_yaml(_text(path, "part of a card", "a dataset card needs it"), path)


def _json(path: Path) -> dict[str, Any]:
    return parse_json(_text(path, "manifest", "build the dataset first"), path, "manifest")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def card_folder(name_or_folder: str | Path) -> Path:
    """The folder of a card, by its name or as it is.

    Raises:
        BadInput: If there is no such card, or settings follow its name.
    """
    text = str(name_or_folder)
    cards = card_folders()
    if text in cards:
        return cards[text]
    name, colon, settings = text.partition(":")
    if colon and name in cards:
        raise BadInput(
            f"This is about the card {name!r} as it is, so the settings {settings!r} would have no "
            "effect; leave them out."
        )
    folder = expanded(Path(text))
    try:
        if text and (folder / RECIPE).is_file():
            return folder
    except OSError as error:
        raise BadInput(f"{folder} cannot be looked at ({error.strerror or error}).") from error
    raise BadInput(
        f"There is no dataset {text!r}. {suggest(text, cards)} Or name a folder that holds a "
        f"{RECIPE}."
    )


def is_card(name_or_folder: str | Path) -> bool:
    """Whether this is the name of a card, or a folder that holds a recipe."""
    try:
        card_folder(name_or_folder)
    except BadInput:
        return False
    return True


def built_folder(name_or_folder: str | Path) -> Path:
    """The folder of a built dataset, see `local_build`.

    Raises:
        BadInput: If there is no such card, or it is not built here.
    """
    found = local_build(name_or_folder)
    if found is None:
        raise BadInput(
            f"Dataset {card_folder(name_or_folder).name!r} has a card but no images here. Build it "
            f"with `fpbench data build {name_or_folder}`, or pass the folder or the Hub id of a "
            "built copy."
        )
    return found


def local_build(name_or_folder: str | Path) -> Path | None:
    """Where a dataset is built here: in its card's folder, in ``./NAME``, or in the cache.

    Raises:
        BadInput: If there is no such card.
    """
    card, file = card_folder(name_or_folder), recipe_file(str(name_or_folder))
    named = str(name_or_folder) in card_folders()
    places = [card] if file == RECIPE else []
    places.append(Path(str(name_or_folder) if named else card.name))
    if named:
        places.append(build_place(str(name_or_folder)))
    return next((place for place in places if (place / MANIFEST).is_file()), None)


def build_place(name: str) -> Path:
    """Where a dataset that a command needs is built: in the cache, by the state of its card.

    Raises:
        BadInput: If there is no such card, or its recipe cannot be read.
    """
    card, file = card_folder(name), recipe_file(name)
    lists = [found for key, found in _strings(_yaml(card / file)) if key == "manifest"]
    paths = [card / part for part in (file, SOURCES, *sorted(set(lists)))]
    state = " ".join(file_sha256(path) for path in paths if path.is_file())
    digest = hashlib.sha256(state.encode()).hexdigest()[:12]
    return cache_root() / "built" / f"{name}-{digest}"


def _strings(document: Any) -> Iterator[tuple[str, str]]:
    """Keys with the texts that they stand for, at any depth."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _strings(value)
        elif isinstance(value, str):
            yield str(key), value


def summary(folder: Path, file: str = RECIPE) -> CardSummary:
    """What there is to list of a card, from YAML and JSON alone.

    Args:
        folder: The card's folder.
        file: Name of the recipe, where a card has more than one.

    Raises:
        BadInput: If recipe.yaml or manifest.json cannot be read.
    """
    try:
        return _summary(folder, file)
    except (AttributeError, TypeError, ValueError) as error:
        # What the listing reads without validation may be anything.
        raise BadInput(
            f"The card {folder} cannot be listed; `fpbench data show {folder}` says which field is "
            "wrong."
        ) from error


def every_card() -> list[str]:
    """What ``all`` datasets are: those with a card that have a board.

    Not others' that would be downloaded, nor development sets.
    """
    return [
        name
        for name, folder in card_folders().items()
        if not is_labelled(folder) and not is_development(name)
    ]


def is_labelled(folder: Path) -> bool:
    """Whether a card is of a dataset that is read where it lies, and never built.

    Raises:
        BadInput: If its recipe.yaml cannot be read.
    """
    return _WHOLE in _yaml(folder / RECIPE)


def read_labelled_yaml(folder: Path) -> dict[str, Any]:
    """The recipe.yaml of such a card, as it is written."""
    return _yaml(folder / RECIPE)


def _licence(folder: Path) -> str:
    try:
        stated = read_front_matter(folder).get("license", "")
    except BadInput:
        return ""
    return ", ".join(map(str, stated)) if isinstance(stated, list) else str(stated or "")


def _labelled_summary(folder: Path, recipe: dict[str, Any]) -> CardSummary:
    labelled, reason = recipe.get("labelled") or {}, str(recipe.get("unavailable") or "")
    sources = len(_yaml(folder / SOURCES)) if (folder / SOURCES).is_file() else 0
    hub = labelled.get("hub")
    return CardSummary(
        name=str(recipe.get("name", folder.name)),
        title=str(recipe.get("title", "")),
        size=labelled.get("resize") or labelled.get("crop") or None,
        sources=sources,
        available=0 if reason else sources,
        state="not available" if reason else "read from the Hub" if hub else "read from a folder",
        images=None,
        licence=_licence(folder),
        download=dict(recipe[_WHOLE]).get("bytes"),
        reason=reason,
    )


def _summary(folder: Path, file: str) -> CardSummary:
    recipe = _yaml(folder / file)
    if _WHOLE in recipe:
        return _labelled_summary(folder, recipe)
    sources = recipe.get("sources") or {}
    synthetic = recipe.get("synthetic")
    built = file == RECIPE and (folder / MANIFEST).is_file()
    manifest = _json(folder / MANIFEST) if built else None
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
        licence=_licence(folder),
        purpose=str(recipe.get("purpose", "board")),
    )


def is_development(name: str) -> bool:
    """Whether a dataset of this name is one on which settings are chosen, by its card.

    Args:
        name: Of a dataset, of a folder or of a dataset on the Hub; one without a card is none.
    """
    folder = card_folders().get(name.rpartition("/")[2])
    if folder is None:
        return False
    # One line of text: a board asks this of every record, and YAML is slow.
    text = _text(folder / RECIPE, "part of a card", "a dataset card needs it")
    return _DEVELOPMENT.search(text) is not None


def validated(model: type[_Model], document: dict[str, Any], path: Path) -> _Model:
    """A part of a card as its model reads it.

    Raises:
        BadInput: Naming the file, and the field that is wrong.
    """
    from pydantic import ValidationError

    from fpbench.documents import told

    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "extra_forbidden":
            name = str(first["loc"][-1])
            parent = ".".join(str(part) for part in first["loc"][:-1])
            where = f" of {parent}" if parent else ""
            known = sorted(model.model_fields) if not parent else []
            hint = f" {suggest(name, known)}" if known else " Check its spelling, or remove it."
            raise BadInput(f"{path}: unknown key {name!r}{where}.{hint}") from error
        raise BadInput(f"{path}: field {told(error).rstrip('.')}.") from error


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

    document = _yaml(folder / file)
    if _WHOLE in document:
        raise BadInput(
            f"The dataset {folder.name!r} is read where it lies and is not built: "
            f"`fpbench run --method prnu --dataset {folder.name}`."
        )
    return validated(Recipe, document, folder / file)


def read_sources(folder: Path) -> dict[str, SourceEntry]:
    """The validated sources.yaml by source name; rows of the zoo are written out.

    Raises:
        BadInput: If sources.yaml is missing, is no YAML, or has unknown keys or wrong values.
    """
    from fpbench.datasets.entries import SourceEntry, ZooEntry, zoo_entry

    path = folder / SOURCES
    entries: dict[str, SourceEntry] = {}
    for name, entry in _yaml(path).items():
        if not isinstance(entry, dict):
            raise BadInput(f"{path}: field {name} must hold a mapping of fields, not {entry!r}.")
        try:
            if "zoo" in entry:
                short = validated(ZooEntry, entry, path)
                entries[name] = zoo_entry(short.zoo, short.summary)
            else:
                entries[name] = validated(SourceEntry, entry, path)
        except BadInput as error:
            message = str(error).removeprefix(f"{path}: ")
            raise BadInput(f"{path}: source {name!r}: {message}") from error.__cause__
    return entries


def write_sources(target: Path, entries: Mapping[str, SourceEntry]) -> None:
    """Write sources.yaml with everything that `entries` say, unless it says so already."""
    document = {
        name: entry.model_dump(by_alias=True, exclude_defaults=True)
        for name, entry in entries.items()
    }
    with contextlib.suppress(BadInput):
        if _yaml(target) == document:
            # The comments of whoever wrote it stay.
            return
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=98)
    write_text(target, text)


def read_manifest(folder: Path) -> Manifest:
    """The validated manifest of a built dataset.

    Raises:
        BadInput: If manifest.json is missing, is no JSON, or has unknown keys or wrong values.
    """
    from fpbench.datasets.schema import Manifest

    return validated(Manifest, _json(folder / MANIFEST), folder / MANIFEST)


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
            f"{folder / SOURCES} does not describe the source {', '.join(map(repr, missing))}; add "
            "its family, architecture and design."
        )
    found = tuple(as_source(name, entries[name]) for name in names)
    refuse_other_reals(found, folder / SOURCES)
    return found


def refuse_other_reals(sources: Sequence[Source], path: Path) -> None:
    """Refuse real images under another name, and another family for those named Real.

    Args:
        sources: The sources.
        path: The file that describes them, for the message.

    Raises:
        BadInput: Naming the source.
    """
    for source in sources:
        if source.is_real != (source.name == REAL):
            raise BadInput(
                f"{path}: source {source.name!r} has family {source.family}; the family Real "
                f"belongs to the source {REAL!r} alone."
            )


def read_front_matter(folder: Path) -> dict[str, Any]:
    """The YAML block at the head of README.md, which the Hub reads.

    Raises:
        BadInput: If README.md is missing, or does not begin with a YAML block.
    """
    path = folder / README
    text = _text(path, "card", "a dataset card needs it").replace("\r\n", "\n")
    parts = text.split("---\n", 2)
    if len(parts) < 3 or parts[0].strip():
        raise BadInput(f"{path} must begin with a YAML block between two lines of '---'.")
    return _parse_yaml(parts[1], path, "its YAML block")
