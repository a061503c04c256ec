"""Reads records of any schema version that can be brought to the present one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from fpbench.errors import BadInput
from fpbench.runs.record import SCHEMA_VERSION, Record

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From a schema version to the function that brings a record to the next one.

Whoever raises `fpbench.runs.record.SCHEMA_VERSION` adds the step from the old version here, or
records of it are refused.
"""

_LARGEST = 4 << 20


def load_record(path: Path) -> Record:
    """Read a record, migrating it if it is older.

    Raises:
        BadInput: If the file cannot be read, is no record, holds numbers that are not finite,
            contradicts itself, or has a schema version that is newer or cannot be migrated.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"{path} has more than {_LARGEST >> 20} MiB; no record is that large.")
        content = json.loads(
            path.read_text(encoding="utf-8"), parse_constant=_refuse, parse_float=_finite
        )
    except FileNotFoundError as error:
        raise BadInput(f"There is no record {path}.") from error
    except OSError as error:
        raise BadInput(f"Cannot read the record {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"Cannot read the record {path}: {error}.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} is not a record: it holds a {type(content).__name__}.")
    try:
        record = Record.model_validate(migrated(content, path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadInput(f"{path} is not a valid record: {where}: {first['msg']}.") from error
    wrong = _contradiction(record)
    if wrong is not None:
        raise BadInput(f"{path} is not a valid record: {wrong}.")
    return record


def _contradiction(record: Record) -> str | None:
    """What no run can have written, though every field is of its type."""
    sources, protocol = record.dataset.sources, record.protocol
    names = [source.name for source in sources]
    if record.created.tzinfo is None:
        return f"created: {record.created.isoformat()} has no time zone"
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        return f"dataset.sources: {twice!r} is there twice"
    if sum(source.family == "Real" for source in sources) > 1:
        return "dataset.sources: more than one is of the family Real"
    if all(source.family == "Real" for source in sources):
        return "dataset.sources: there is no generator"
    if any(min(source.train, source.validation, source.test) < 0 for source in sources):
        return "dataset.sources: a number of images is negative"
    if (protocol.fold is None) != (protocol.folds is None) or (
        protocol.fold is not None
        and protocol.folds is not None
        and not 0 <= protocol.fold < protocol.folds
    ):
        return f"protocol.fold: there is no fold {protocol.fold} of {protocol.folds}"
    return None


def migrated(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of a record in the present schema.

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
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{path} has schema version {version} but not its fields ({error!r}); it cannot "
                "be migrated."
            ) from error
        version += 1
        content = {**content, "schema_version": version}
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number that a record may hold")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
