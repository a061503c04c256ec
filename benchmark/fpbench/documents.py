"""Documents with a schema: strict models, and what is wrong with a document in one sentence.

Importing this room imports pydantic (0.1 s); rooms that quick commands import do so late.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from fpbench.errors import BadInput

LARGEST = 4 << 20
"""Bytes of the largest document that is read; none of ours comes near."""


class Document(BaseModel):
    """A document, or a part of one: unknown fields are refused, nothing is changed once read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def json_text(self) -> str:
        """The document as it is written to a file."""
        return self.model_dump_json(indent=2) + "\n"


def told(error: ValidationError) -> str:
    """The first thing that is wrong, as ``field: message``, and how many more there are.

    >>> from pydantic import create_model
    >>> try:
    ...     create_model("M", a=(int, ...))(a="x")
    ... except ValidationError as error:
    ...     told(error)
    'a: Input should be a valid integer, unable to parse string as an integer'
    """
    found = error.errors()
    first = found[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    more = len(found) - 1
    others = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
    return f"{where}: {first['msg']}{others}"


def read_limited(path: Path, what: str, largest: int = LARGEST) -> str:
    """The text of a plain file, if it is not larger than `largest` bytes.

    Args:
        path: The file; devices and pipes, which never end, are refused.
        what: What it is, for messages, e.g. ``record``.
        largest: Bytes read at most.

    Raises:
        BadInput: If it is not there, no plain file, too large, or not UTF-8.
    """
    try:
        if not path.exists():
            raise BadInput(f"There is no {what} {path}.")
        if not path.is_file():
            raise BadInput(f"{path} is no plain file, so it cannot be a {what}.")
        if path.stat().st_size > largest:
            raise BadInput(
                f"{path} has more than {largest / 2**20:g} MiB; no {what} is that large."
            )
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"Cannot read the {what} {path}: {reason}.") from error


def parse_json(text: str, path: Path, what: str) -> dict[str, Any]:
    """The object that a JSON text holds; numbers that are not finite are refused.

    Raises:
        BadInput: If it is no JSON, or not an object.
    """
    try:
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} is not a {what}: it holds a {type(content).__name__}.")
    return content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number that a document may hold")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
