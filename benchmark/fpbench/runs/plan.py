"""From what was asked for to a list of independent jobs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

from fpbench import registry
from fpbench.datasets.dataset import DatasetIdentity
from fpbench.errors import BadInput, suggest
from fpbench.files import file_sha256
from fpbench.images import Source
from fpbench.method import BUDGETS, Budget, Method
from fpbench.runs.job import (
    ALL_EPOCHS,
    BLOCKS,
    CLOSED_SET,
    EPOCHS,
    FOLDING,
    Control,
    Job,
    Limits,
    Side,
)
from fpbench.runs.plugins import protocol_named

EVERYTHING = "all"

MOST_JOBS = 100_000
"""Jobs of one plan; a slip of the keyboard must not plan millions."""

LARGEST_SEED = 2**32 - 1
"""NumPy's generators and torch's both take seeds up to here."""


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


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Several ``key=value``.

    Raises:
        BadInput: If one is not of that form, or a key is given twice.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, value = parse_setting(text)
        if key in found:
            raise BadInput(f"--set gives {key!r} twice; give each parameter once.")
        found[key] = value
    return found


def expand_methods(names: Sequence[str]) -> list[str]:
    """The methods asked for, ``all`` standing for every registered one; each once, in order."""
    expanded = itertools.chain.from_iterable(
        registry.method_names() if name == EVERYTHING else [name] for name in names
    )
    return list(dict.fromkeys(expanded))


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
    sides: Sequence[tuple[Side, Side]],
    *,
    protocol: str = CLOSED_SET,
    settings: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    folds: int | None = None,
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    control: Control = "none",
    limits: Limits | None = None,
    offline: bool = False,
) -> list[Job]:
    """All jobs of methods × sides × folds × seeds, pair of sides by pair.

    A protocol may make several jobs of one, e.g. a rotation each (`Protocol.expand`).

    Args:
        methods: ``NAME`` or ``NAME:VARIANT`` each.
        sides: What to train on and what to test on; the same side twice where it is one dataset.
        protocol: Name of the protocol.
        settings: Of the protocol.
        seeds: Seeds.
        folds: Number of folds, or None for the datasets' own splits.
        budget: Training length.
        params: Constructor arguments for every method.
        control: Null control.
        limits: What is taken away or varied.
        offline: Whether to keep from asking the Hub what sources a dataset has.

    Raises:
        BadInput: If a method, variant, parameter, protocol, budget or control is unknown, the
            protocol refuses settings, limits or sources, or seeds or folds cannot be or are more
            than `MOST_JOBS`.
    """
    check_asked(seeds, folds, budget, control)
    jobs = len(methods) * len(sides) * len(seeds) * (folds or 1)
    if jobs > MOST_JOBS:
        raise BadInput(f"That would be {jobs} jobs; a plan has at most {MOST_JOBS}.")
    asked = protocol_named(protocol)
    complete = asked.complete(settings or {})
    if folds is not None:
        complete[FOLDING] = BLOCKS
    if control != "none":
        complete[EPOCHS] = ALL_EPOCHS
    asked.check_limits(limits or Limits())
    resolved = [resolve(name, params or {}) for name in methods]
    fold_numbers: Sequence[int | None] = range(folds) if folds is not None else (None,)
    plan = [
        Job(
            method=method.name,
            variant=method.variant,
            method_version=method.version,
            train=train,
            test=test,
            protocol=protocol,
            settings=complete,
            params=method.params,
            files=method.files,
            budget=budget,
            seed=seed,
            fold=fold,
            folds=folds,
            control=control,
            limits=limits or Limits(),
        )
        for train, test in sides
        for method in resolved
        for fold in fold_numbers
        for seed in seeds
    ]
    describe = partial(sources_of_side, offline=offline)
    return list({job.key: job for one in plan for job in asked.expand(one, describe)}.values())


def check_asked(seeds: Sequence[int], folds: int | None, budget: str, control: str) -> None:
    """Refuse what the command line would, for whoever calls from Python.

    Args:
        seeds: Seeds.
        folds: Number of folds, or None.
        budget: Training length.
        control: Null control.

    Raises:
        BadInput: If one is unknown or cannot be.
    """
    if folds is not None and (type(folds) is not int or folds < 3):
        raise BadInput(
            f"--folds {folds!r} is not possible; use 3 or more (train, validation, test)."
        )
    if budget not in BUDGETS:
        raise BadInput(f"There is no budget {budget!r}. {suggest(str(budget), BUDGETS)}")
    if control not in get_args(Control):
        known = get_args(Control)
        raise BadInput(f"There is no control {control!r}. {suggest(str(control), known)}")
    if len(seeds) == 0:
        raise BadInput("No seed is given, so there is nothing to run; give at least one.")
    for seed in seeds[:MOST_JOBS]:
        if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
            raise BadInput(
                f"{seed!r} is no seed; seeds are whole numbers from 0 to {LARGEST_SEED}."
            )


def sources_of_side(side: Side, *, offline: bool = False) -> tuple[Source, ...]:
    """The sources of a dataset; each dataset is asked once.

    Args:
        side: The dataset.
        offline: Whether to keep from asking the Hub.

    Raises:
        BadInput: If the dataset is not available.
    """
    return _sources(side.reference, side.content_hash, offline)


@lru_cache(maxsize=64)
def _sources(reference: str, content_hash: str, offline: bool) -> tuple[Source, ...]:
    from fpbench.datasets import resolve as datasets

    return datasets.resolve(reference, offline=offline).description.sources


@dataclass(frozen=True)
class Configuration:
    """A method as a plan asks for it, its parameters checked."""

    name: str
    variant: str
    version: str
    params: dict[str, Any]
    files: dict[str, str]


def resolve(name: str, params: Mapping[str, Any]) -> Configuration:
    """The configuration that ``NAME[:VARIANT]`` and parameters stand for.

    Raises:
        BadInput: If the method, the variant or a parameter is unknown.
    """
    cls, variant = registry.resolve_method(name)
    base, _ = registry.split_variant(name)
    read = check_params(base, cls, params, variant)
    files = hashes_of_files(cls, variant, read)
    return Configuration(base, variant, cls.card.version, read, files)


def hashes_of_files(cls: type[Method], variant: str, params: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of the files that a configuration's parameters name, by parameter.

    Args:
        cls: The method, or its variant's class.
        variant: Its variant.
        params: What is set beyond the variant.

    Raises:
        BadInput: If one is not there, no plain file, or cannot be read.
    """
    given = {**cls.card.variants[variant].params, **params}
    return {
        name: _hash_of_file(name, Path(given[name]))
        for name in cls.variant_class(variant).file_parameters()
        if given.get(name) is not None
    }


def _hash_of_file(parameter: str, path: Path) -> str:
    try:
        if not path.is_file():
            raise BadInput(
                f"--set {parameter}={path}: there is no such plain file; name one that is here."
            )
        return file_sha256(path)
    except OSError as error:
        raise BadInput(
            f"--set {parameter}={path} cannot be read: {error.strerror or error}."
        ) from error


def one_side(reference: str, identity: DatasetIdentity, sources: Sequence[str] = ()) -> Side:
    """A dataset as a side of jobs.

    Args:
        reference: What it is loaded by.
        identity: Its identity.
        sources: Generators used; empty for all.
    """
    location = "" if reference == identity.name else reference
    chosen = tuple(sorted(set(sources)))
    return Side(
        identity.name,
        identity.revision,
        identity.content_hash,
        chosen,
        location,
        identity.digest,
    )
