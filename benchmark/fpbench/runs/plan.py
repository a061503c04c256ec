"""From what was asked for to a list of independent jobs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from fpbench import registry
from fpbench.datasets.load import DatasetIdentity
from fpbench.errors import BadInput
from fpbench.method import Budget, Method
from fpbench.runs.job import Control, JobSpec

EVERYTHING = "all"


def parse_setting(text: str) -> tuple[str, Any]:
    """Split ``key=value``; the value is read as JSON where it is JSON, else as text.

    >>> parse_setting("k=5"), parse_setting("nn=rgb")
    (('k', 5), ('nn', 'rgb'))

    Raises:
        BadInput: If there is no ``=`` or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise BadInput(f"--set {text!r} is not of the form key=value.")
    try:
        return key.strip(), json.loads(value)
    except ValueError:
        return key.strip(), value


def expand_methods(names: Sequence[str]) -> list[str]:
    """The methods asked for, ``all`` standing for every registered one; each once, in order."""
    expanded = itertools.chain.from_iterable(
        registry.method_names() if name == EVERYTHING else [name] for name in names
    )
    return list(dict.fromkeys(expanded))


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """All ``key=value`` by key, see `parse_setting`.

    Raises:
        BadInput: If one has no ``=`` or no key, or a key is given twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, value = parse_setting(text)
        if key in found:
            raise BadInput(f"--set gives {key!r} twice; give each parameter once.")
        found[key] = value
    return found


def check_params(
    name: str, cls: type[Method], params: Mapping[str, Any], variant: str | None = None
) -> dict[str, Any]:
    """Check that a method takes these parameters, each and together.

    Args:
        name: What the method is called in messages.
        cls: Its class.
        params: Texts or JSON values.
        variant: Its variant, or None for the default one.

    Returns:
        What they set beyond the variant and the defaults (see `Method.read_parameters`).

    Raises:
        BadInput: If one is unknown, of another type or out of range, or if the constructor
            refuses what they are together.
    """
    read = cls.read_parameters(params, variant)
    if read:
        try:
            cls.make(variant, read)
        except BadInput:
            raise
        except (ValueError, TypeError) as error:
            raise BadInput(f"Method {name!r}: {error}") from error
        # A constructor may decline, and a plugin's may raise anything: the job's record tells it.
        except (Exception, SystemExit):  # noqa: S110
            pass
    return read


def make_plan(
    methods: Sequence[str],
    datasets: Mapping[str, DatasetIdentity],
    *,
    seeds: Sequence[int] = (0,),
    folds: int | None = None,
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    control: Control = "none",
) -> list[JobSpec]:
    """All jobs of methods × datasets × folds × seeds, dataset by dataset.

    Args:
        methods: ``NAME`` or ``NAME:VARIANT`` each.
        datasets: What each dataset is loaded by, and its identity (see
            `fpbench.datasets.load.identify`).
        seeds: Seeds.
        folds: Number of folds, or None for the datasets' own splits.
        budget: Training length.
        params: Constructor arguments for every method.
        control: Null control.

    Raises:
        BadInput: If a method, variant or parameter is unknown, a parameter is of another type or
            out of range, or `folds` is below 3.
    """
    if folds is not None and folds < 3:
        raise BadInput(f"--folds {folds} is not possible; use 3 or more (train, validation, test).")
    chosen = dict(params or {})
    resolved: list[tuple[str, str, type[Method], dict[str, Any]]] = []
    for name in methods:
        cls, variant = registry.resolve_method(name)
        base, _ = registry.split_variant(name)
        read = check_params(base, cls, chosen, variant)
        resolved.append((base, variant, cls, read))
    fold_numbers: Sequence[int | None] = range(folds) if folds is not None else (None,)
    plan = [
        JobSpec(
            method=base,
            variant=variant,
            dataset=identity.name,
            revision=identity.revision,
            content_hash=identity.content_hash,
            method_version=cls.card.version,
            params=read,
            budget=budget,
            seed=seed,
            fold=fold,
            folds=folds,
            control=control,
            location=location,
        )
        for location, identity in datasets.items()
        for base, variant, cls, read in resolved
        for fold in fold_numbers
        for seed in seeds
    ]
    return list({spec.key: spec for spec in plan}.values())
