"""Documents with a schema: strict models, and what is wrong with a document in one sentence.

Importing this room imports pydantic (0.1 s); rooms that quick commands import do so late.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

from fpbench.files import LARGEST as LARGEST
from fpbench.files import parse_json as parse_json
from fpbench.files import read_limited as read_limited


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
    return f"{where}: {first['msg'].removeprefix('Value error, ')}{others}"
