"""Published numbers: data with the status of each, shown apart and never ranked with measured."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fpbench.errors import BadInput

Status = Literal["read in text", "transcribed from an image", "third party", "code"]

STATUSES: dict[Status, str] = {
    "read in text": "read in the paper's own text",
    "transcribed from an image": "read by eye from an image of the table; check it in the paper",
    "third party": "from a survey, summary or page about the paper, not the paper itself",
    "code": "from the README or notebook output of the released code",
}
"""How each number came here, and how far to trust it."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The safe loader, the faster one where it is there, which keeps the digits of numbers."""


def _printed(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(loader.construct_scalar(node))


_Loader.add_constructor("tag:yaml.org,2002:float", _printed)
_Loader.add_constructor("tag:yaml.org,2002:int", _printed)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Measure(_Part):
    """One column of a published table."""

    key: str = Field(description="Name of the column within the table.")
    title: str = Field(description="Heading.")
    unit: str = Field(description="Unit of its values: fraction, %, NMI, ratio or none.")
    dataset: str = Field(description="Dataset as the paper names it.")
    compares_with: str | None = Field(
        default=None, description="Dataset of fpbench that is built after it, if any."
    )


class PublishedRow(_Part):
    """One line of a published table."""

    method: str = Field(description="Method, as the paper names it.")
    values: dict[str, Decimal | list[Decimal] | str | None] = Field(
        description="By column: a value, a value and what follows its ± sign, or a word; numbers "
        "as printed, with the zeros they end in."
    )


class PublishedTable(_Part):
    """One published table."""

    id: str = Field(pattern=r"^[a-z0-9-]+$", description="Short name, for links.")
    title: str = Field(description="What it shows.")
    paper: str = Field(description="The paper.")
    table: str = Field(description="Table, figure or section.")
    source: str = Field(description="Where fpbench has the numbers from.")
    url: str = Field(default="", description="Address of the paper or page.")
    status: Status = Field(description="How the numbers came here.")
    notes: list[str] = Field(default_factory=list, description="What a reader must know.")
    columns: list[Measure]
    rows: list[PublishedRow]


class Published(_Part):
    """What ``published.yaml`` holds."""

    tables: list[PublishedTable] = Field(default_factory=list)


@dataclass(frozen=True)
class PublishedNumber:
    """One published number with all that must stand beside it.

    Attributes:
        method: Method, as the paper names it.
        dataset: Dataset, as the paper names it.
        column: Heading of its column.
        value: The number, or a word where none could be found.
        plus_minus: What follows the ± sign, or None; what it means is seldom stated.
        unit: Unit.
        table: The table it is of.
    """

    method: str
    dataset: str
    column: str
    value: float | str
    plus_minus: float | None
    unit: str
    table: PublishedTable


def read_published(path: Path) -> Published:
    """Read ``published.yaml``; a folder without one has no published numbers.

    Raises:
        BadInput: If it cannot be read, has wrong fields, or a row has a value for no column.
    """
    if not path.exists():
        return Published()
    try:
        content = yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506  (a safe one)
        published = Published.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} cannot be read: {' '.join(str(error).split())}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadInput(f"{path} is not valid: {where}: {first['msg']}.") from error
    seen: set[str] = set()
    for table in published.tables:
        if table.id in seen:
            raise BadInput(f"{path} has two tables called {table.id!r}.")
        seen.add(table.id)
        keys = {column.key for column in table.columns}
        for row in table.rows:
            unknown = sorted(set(row.values) - keys)
            if unknown:
                raise BadInput(
                    f"{path}: table {table.id}, row {row.method!r} has a value for {unknown[0]!r}, "
                    f"which is no column of it."
                )
            for key, value in row.values.items():
                if isinstance(value, list) and len(value) != 2:
                    raise BadInput(
                        f"{path}: table {table.id}, row {row.method!r}: {key} must be a value, or "
                        "[value, what follows ±]."
                    )
    return published


def numbers(published: Published, dataset: str | None = None) -> list[PublishedNumber]:
    """All published numbers, or those on a dataset after which one of fpbench's is built.

    Args:
        published: The tables.
        dataset: Name of a dataset of fpbench, or None for all.
    """
    found = []
    for table in published.tables:
        for row in table.rows:
            for column in table.columns:
                value = row.values.get(column.key)
                if value is None or (dataset is not None and column.compares_with != dataset):
                    continue
                parts = value if isinstance(value, list) else [value]
                number, spread = (
                    float(part) if isinstance(part, Decimal) else part
                    for part in (*parts, None)[:2]
                )
                found.append(
                    PublishedNumber(
                        row.method, column.dataset, column.title, number, spread, column.unit, table
                    )
                )
    return found


def tables_about(published: Published, dataset: str) -> list[PublishedTable]:
    """Tables with a column that compares with a dataset of fpbench."""
    return [
        table
        for table in published.tables
        if any(column.compares_with == dataset for column in table.columns)
    ]


def value_text(value: Decimal | list[Decimal] | str | None, unit: str) -> str:
    """A published value as printed, e.g. ``0.392 ± 0.091`` or ``69.48 ± 1.08 %``.

    >>> value_text([Decimal("69.40"), Decimal("1.08")], "%"), value_text(None, "%")
    ('69.40 ± 1.08 %', '–')
    """
    if value is None:
        return "–"
    suffix = " %" if unit == "%" else ""
    if isinstance(value, list):
        return f"{value[0]} ± {value[1]}{suffix}"
    return value if isinstance(value, str) else f"{value}{suffix}"
