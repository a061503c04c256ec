"""Brings records of older schema versions to the present one, for every reader of records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from fpbench.distribution import renamed
from fpbench.errors import BadInput
from fpbench.runs.job import CLOSED_SET, TRANSFER, Limits
from fpbench.runs.renamed import under_present_name

SCHEMA_VERSION = 2
"""Whoever raises it adds the step from the version before to `MIGRATIONS`."""


def migrated(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of a record in the present schema, under the names of today.

    Args:
        content: The document.
        path: Its file, for messages.

    Raises:
        BadInput: If its version is missing, newer, or older than any migration reaches.
    """
    version = content.get("schema_version")
    if version is None:
        raise BadInput(f"{path} is not a record: it states no schema_version.")
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadInput(f"{path} has schema version {version!r}, which is no whole number.")
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{path} has schema version {version}, this fpbench reads up to {SCHEMA_VERSION}; "
            "update fpbench to read it."
        )
    while version < SCHEMA_VERSION:
        step = MIGRATIONS.get(version)
        if step is None:
            raise BadInput(
                f"{path} has schema version {version}, which cannot be brought to "
                f"{SCHEMA_VERSION}; run the job again to renew it."
            )
        try:
            content = step(content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{path} is not a valid record: it has schema version {version} but not its "
                f"fields ({_named(error)})."
            ) from error
        version += 1
        content = {**content, "schema_version": version}
    return under_present_name(content)


def _named(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _take(content: dict[str, Any], what: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The named fields of a part; any other one is an error."""
    unknown = sorted(set(content) - set(names))
    if unknown:
        raise ValueError(f"{what}.{unknown[0]}: there is no such field")
    return {name: content[name] for name in names if name in content}


_DIGESTS = {
    "5333d73759c286ce9ada2fcbe26c4d5545a418233fbda357e92c499151db8023": (
        "4c5d6f07592c13666021e55474cd6360463fdea3cb92b4656419050dc9a3da3e"
    ),
    "0d0514c0e025db8394d25d44da83a85f954d94b2336eeaba03dd99070ef3dcb4": (
        "e1bbea7b095ad138d6a7e8d94b52e088a00e4a9a3671616fcf9bf32f556fe403"
    ),
    "030e37f2faf6f1f7b5f7a7836b7d9cb231ef6f002f601a6d0f632c958dd4775c": (
        "5d0d80d0dca3a8f7e32c74b31e1e6216b7747ceae8e46e0e5be25aef31c810e4"
    ),
    "7109022d16c05512181d33e9a759fbc328b12320fc1bb176326cec41c741763a": (
        "78e12287b9453a95e0ba1e9fc090e50a496c9a8b9a13c9106eed75777f733135"
    ),
}
"""Content hash of gm-mini, gm-cifar10, gm-ffhq (recipe-two.yaml) and gm-ffhq-equal to how they were
described when version 1 was written."""


def _digest(dataset: dict[str, Any]) -> dict[str, str]:
    """The digest of a dataset that version 1 did not note, where it is known."""
    found = _DIGESTS.get(dataset["content_hash"])
    return {} if found is None else {"digest": found}


_TOP = ("key", "status", "reason", "created", "scores", "cost", "environment", "artifacts")


def _to_2(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had two kinds of records, each with its job flattened into it."""
    moved = _transfer_to_2(content) if content.get("kind") == TRANSFER else _closed_to_2(content)
    kept = {name: content[name] for name in _TOP[1:] if name in content}
    return {"key": content["job"], **kept, **moved}


def _method(content: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = ("name", "variant", "version", "params", "title", "package")
    method = _take(content["method"], "method", fields)
    job = {
        "method": method["name"],
        "variant": method["variant"],
        "method_version": method["version"],
        "params": method["params"],
    }
    return job, {"title": method["title"], "package": renamed(method["package"])}


_LIMITS = tuple(field.name for field in fields(Limits))
_PROTOCOL = (
    "budget", "seed", "fold", "folds", "unit", "control", "classifier", "embedding_dimension",
    "fdr_samples", "fdr_dimensions", "scoring", *_LIMITS,
)  # fmt: skip


def _closed_to_2(content: dict[str, Any]) -> dict[str, Any]:
    _take(content, "the record", ("schema_version", "job", *_TOP, "method", "dataset", "protocol"))
    job, method = _method(content)
    images = ("image_size", "reference", "sources", "shortcut")
    identity = ("name", "revision", "content_hash")
    dataset = _take(content["dataset"], "dataset", (*identity, *images))
    protocol = _take(content["protocol"], "protocol", _PROTOCOL)
    side = {name: dataset[name] for name in identity} | _digest(dataset)
    asked = ("budget", "seed", "fold", "folds", "control", "scoring")
    judged = ("unit", "classifier", "embedding_dimension", "fdr_samples", "fdr_dimensions")
    limits = {name: protocol[name] for name in _LIMITS if name in protocol}
    return {
        "job": {
            **job,
            **{name: protocol[name] for name in asked},
            "protocol": CLOSED_SET,
            "train": side,
            "test": side,
            "limits": limits,
        },
        "method": method,
        "test": {name: dataset[name] for name in images if name in dataset},
        "setup": {name: protocol[name] for name in judged},
    }


def _transfer_to_2(content: dict[str, Any]) -> dict[str, Any]:
    parts = ("method", "train", "test", "protocol", "labels")
    _take(content, "the record", ("schema_version", "kind", "job", *_TOP, *parts))
    job, method = _method(content)
    fields = ("budget", "seed", "reference", "resize", "size_rule", "judged_size", "classifier",
              "scoring")  # fmt: skip
    protocol = _take(content["protocol"], "protocol", fields)
    identity = ("name", "revision", "content_hash")
    sides: dict[str, Any] = {}
    images: dict[str, Any] = {}
    for name, split in (("train", "train"), ("test", "test")):
        side = _take(content[name], name, (*identity, "chosen", "image_size", "sources"))
        sides[name] = {key: side[key] for key in identity} | {"sources": side["chosen"]}
        sides[name] |= _digest(side)
        images[name] = {
            "image_size": side["image_size"],
            "sources": [
                {
                    split if key == "images" else key: value
                    for key, value in _take(
                        source, f"{name}.sources", ("name", "family", "architecture", "images")
                    ).items()
                }
                for source in side["sources"]
            ],
        }
    facts = {name: protocol[name] for name in ("size_rule", "judged_size")}
    return {
        "job": {
            **job,
            **{name: protocol[name] for name in ("budget", "seed", "scoring")},
            "protocol": TRANSFER,
            "settings": {name: protocol[name] for name in ("reference", "resize")},
            **sides,
        },
        "method": method,
        **images,
        "setup": {
            "classifier": protocol["classifier"],
            "facts": facts | content["labels"],
        },
    }


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _to_2}
"""From a schema version to the function that brings a record to the next one."""
