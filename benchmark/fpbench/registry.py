"""Finds methods by entry point and datasets by card. Imports no method until it is asked for."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any

from fpbench.errors import BadInput, suggest
from fpbench.method import Method, MethodCard

_CONTRACT = {"builtins", "abc", "typing", Method.__module__}
METHOD_GROUP = "fpbench.methods"
CARDS_VARIABLE = "FPBENCH_CARDS"


@dataclass(frozen=True)
class BrokenMethod:
    """A plugin that cannot be used.

    Attributes:
        name: Its entry-point name.
        origin: The distribution that registers it.
        reason: Why it cannot be used.
    """

    name: str
    origin: str
    reason: str


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


@cache
def _method_entries() -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for entry in entry_points(group=METHOD_GROUP):
        # An editable install can list the same entry point twice; that is one method.
        found.setdefault(entry.name, {})[(_origin(entry), entry.value)] = entry
    return {name: tuple(entries.values()) for name, entries in sorted(found.items())}


def method_names() -> list[str]:
    """Entry-point names of all registered methods, sorted, whether they can be imported or not."""
    return list(_method_entries())


def method_origin(name: str) -> str:
    """Name of the distribution that registers the method `name`."""
    return _origin(_method_entries()[name][0])


def method_package(name: str) -> str:
    """The distribution that registers the method `name`, with its version."""
    origin = method_origin(name)
    try:
        return f"{origin} {version(origin)}"
    except PackageNotFoundError:
        return origin


def method_class(name: str) -> type[Method]:
    """The class of the method registered under `name`.

    Raises:
        BadInput: If there is no such method, two packages claim the name, or it cannot be
            imported.
    """
    entries = _method_entries().get(name)
    if entries is None:
        raise BadInput(f"There is no method {name!r}. {suggest(name, method_names())}")
    if len(entries) > 1:
        origins = " and ".join(sorted(_origin(entry) for entry in entries))
        raise BadInput(f"Method {name!r} is registered by {origins}; uninstall one of them.")
    entry = entries[0]
    try:
        loaded = entry.load()
    # A stranger's module can raise anything while it is imported; that is its failure, not ours.
    except (Exception, SystemExit) as error:
        raise BadInput(
            f"Method {name!r} of {_origin(entry)} cannot be imported from {entry.value}: "
            f"{_why(error)}"
        ) from error
    return _checked_class(loaded, f"Method {name!r} of {_origin(entry)}: {entry.value}")


def _why(error: BaseException) -> str:
    """What a module raised while it was imported, and what its author can do about an exit."""
    if isinstance(error, SystemExit):
        return (
            f"it ends the process by sys.exit({error.code!r}); keep command lines and checks that "
            'exit below `if __name__ == "__main__":`'
        )
    return f"{type(error).__name__}: {error}"


def _checked_class(loaded: object, what: str) -> type[Method]:
    if not (isinstance(loaded, type) and issubclass(loaded, Method)):
        raise BadInput(f"{what} is not a subclass of fpbench.method.Method.")
    if not isinstance(getattr(loaded, "card", None), MethodCard):
        raise BadInput(f"{what} has no MethodCard as `card`.")
    return loaded


def code_hash(cls: type[Method]) -> str | None:
    """SHA-256 of the source text of a method's modules, or None where there is none.

    It is of the modules of the class and of its bases, without those of the contract, so that a
    changed method can be told from another one of the same version.
    """
    names = {base.__module__ for base in cls.__mro__} - _CONTRACT
    content = hashlib.sha256()
    for name in sorted(names):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None:
            return None
        try:
            content.update(Path(file).read_bytes())
        except OSError:
            return None
    return content.hexdigest()


def method_at(import_path: str) -> type[Method]:
    """The class of a method that need not be registered, e.g. ``my_method:MyMethod``.

    Modules are also looked for in the working directory.

    Args:
        import_path: A module, a colon and the name of a class.

    Raises:
        BadInput: If it cannot be imported or is no method.
    """
    module, _, attribute = import_path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        loaded = getattr(importlib.import_module(module), attribute)
    # A stranger's module can raise anything while it is imported; that is its failure, not ours.
    except (Exception, SystemExit) as error:
        raise BadInput(
            f"{import_path} is no registered method and cannot be imported: "
            f"{_why(error)}. {suggest(module, method_names())}"
        ) from error
    return _checked_class(loaded, import_path)


def usable_methods() -> tuple[dict[str, type[Method]], list[BrokenMethod]]:
    """All methods that import, by name, and those that do not, with the reason."""
    usable: dict[str, type[Method]] = {}
    broken: list[BrokenMethod] = []
    for name in method_names():
        try:
            usable[name] = method_class(name)
        except BadInput as error:
            broken.append(BrokenMethod(name, method_origin(name), str(error)))
    return usable, broken


def split_variant(name: str) -> tuple[str, str | None]:
    """Split ``manifpt:freq`` into name and variant; the variant is None where none is given.

    >>> split_variant("manifpt:freq"), split_variant("prnu")
    (('manifpt', 'freq'), ('prnu', None))
    """
    base, colon, variant = name.partition(":")
    return base, variant if colon else None


def resolve_method(name: str) -> tuple[type[Method], str]:
    """The class and the variant's name that ``NAME[:VARIANT]`` stands for.

    The class is the variant's own where it names one.

    Raises:
        BadInput: If the method or the variant is unknown.
    """
    base, variant = split_variant(name)
    cls = method_class(base)
    if variant is None:
        variant = cls.card.default_variant
    if variant not in cls.card.variants:
        raise BadInput(
            f"Method {base!r} has no variant {variant!r}. {suggest(variant, cls.card.variants)}"
        )
    return cls.variant_class(variant), variant


def card_folders() -> dict[str, Path]:
    """Folders of all dataset cards by name: the shipped ones, then those under FPBENCH_CARDS.

    A folder is a card if it holds a ``recipe.yaml``. A further recipe ``recipe-OTHER.yaml`` that
    calls itself ``CARD-OTHER`` is a dataset of that name, whose card is the same folder.
    """
    package = Path(__file__).resolve().parent
    shipped = [package / "_cards", package.parents[1] / "datasets_cards"]
    roots = [next((root for root in shipped if root.is_dir()), shipped[0])]
    roots += [Path(part) for part in os.environ.get(CARDS_VARIABLE, "").split(os.pathsep) if part]
    folders: dict[str, Path] = {}
    for root in roots:
        if root.is_dir():
            for folder in sorted(root.iterdir()):
                if (folder / "recipe.yaml").is_file():
                    folders[folder.name] = folder
                    folders.update(dict.fromkeys(_further(folder), folder))
    return folders


def _further(folder: Path) -> Iterator[str]:
    """Names of the datasets that a card's further recipes make."""
    for path in sorted(folder.glob("recipe-*.yaml")):
        name = f"{folder.name}-{path.stem.removeprefix('recipe-')}"
        try:
            # Another name is that of an earlier revision of the same dataset.
            if f"name: {name}" in path.read_text("utf-8").splitlines()[:20]:
                yield name
        except (OSError, ValueError):
            continue


def recipe_file(name: str) -> str:
    """The file in its card's folder that says how a dataset is built.

    Args:
        name: As of `card_folders`; the folder of a card has its ``recipe.yaml``.
    """
    folder = card_folders().get(name)
    if folder is None or folder.name == name:
        return "recipe.yaml"
    return f"recipe-{name.removeprefix(f'{folder.name}-')}.yaml"


def plugin_names(group: str) -> list[str]:
    """Entry-point names of all plugins of a group, sorted, whether they can be imported or not."""
    return sorted({entry.name for entry in entry_points(group=group)})


def plugin_class(group: str, name: str, base: type, what: str) -> Any:
    """The class that is registered under `name` in an entry-point group.

    Args:
        group: E.g. ``fpbench.protocols``.
        name: Entry-point name.
        base: What it must be a subclass of.
        what: What it is, for messages.

    Raises:
        BadInput: If there is none of that name, two packages claim it, it cannot be imported, or
            it is something else.
    """
    entries = {(_origin(e), e.value): e for e in entry_points(group=group) if e.name == name}
    if not entries:
        raise BadInput(f"There is no {what} {name!r}. {suggest(name, plugin_names(group))}")
    if len(entries) > 1:
        origins = " and ".join(sorted(origin for origin, _ in entries))
        raise BadInput(f"The {what} {name!r} is registered by {origins}; uninstall one of them.")
    (entry,) = entries.values()
    told = f"The {what} {name!r} of {_origin(entry)}"
    try:
        loaded = entry.load()
    # A stranger's module can raise anything while it is imported; that is its failure, not ours.
    except (Exception, SystemExit) as error:
        raise BadInput(
            f"{told} cannot be imported from {entry.value}: {type(error).__name__}: {error}"
        ) from error
    if not (isinstance(loaded, type) and issubclass(loaded, base)):
        raise BadInput(
            f"{told}: {entry.value} is not a subclass of {base.__module__}.{base.__qualname__}."
        )
    return loaded
