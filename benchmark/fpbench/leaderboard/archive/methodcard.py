"""A method's card as a file, so that a board can cite a method that is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fpbench.distribution import renamed
from fpbench.errors import BadInput
from fpbench.method import MethodCard

_LARGEST = 256 << 10
_Line = Annotated[str, Field(max_length=500)]
_Text = Annotated[str, Field(max_length=5000)]


class PublishedCard(BaseModel):
    """What ``card.yaml`` holds: who made a method, and where it departs from its paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Line = Field(description="Entry-point name.")
    package: _Line = Field(description="Distribution that registers the method.")
    version: _Line = Field(description="Version on the method's card.")
    title: _Line = Field(description="Title of the paper; what a baseline is.")
    authors: _Line = Field(description="Its authors.")
    year: int = Field(ge=1900, le=2200, description="Year of publication.")
    licence: _Line = Field(description="Licence of the implementation.")
    url: _Line = Field(default="", description="Where to read more.")
    unit: _Line = Field(default="image", description="What one decision is made from.")
    baseline: bool = Field(
        default=False, description="Whether it claims no fingerprint and is no paper's method."
    )
    citation: _Text = Field(description="A BibTeX entry.")
    variants: dict[_Line, _Line] = Field(default_factory=dict, description="Name to summary.")
    deterministic: list[_Line] = Field(
        default_factory=list, description="Variants that every seed gives the same predictions."
    )
    remarks: dict[_Line, _Line] = Field(
        default_factory=dict, description="What boards say beside a variant's rows, by its name."
    )
    faithful: list[_Text] = Field(default_factory=list, description="Where it follows the paper.")
    different: list[_Text] = Field(default_factory=list, description="Where it does not.")
    needs: list[_Line] = Field(default_factory=list, description="Extras, packages, weights.")


def published_card(card: MethodCard, package: str) -> PublishedCard:
    """The card of an installed method, ready to be written.

    Args:
        card: The method's card.
        package: Distribution that registers it.

    Raises:
        BadInput: If a field is too long to print.
    """
    try:
        return PublishedCard(
            name=card.name,
            package=package,
            version=card.version,
            title=card.title,
            authors=card.authors,
            year=card.year,
            licence=card.licence,
            url=card.url,
            unit=card.unit,
            baseline=card.baseline,
            citation=card.citation.strip(),
            variants={name: variant.summary for name, variant in card.variants.items()},
            deterministic=[name for name, v in card.variants.items() if v.deterministic],
            remarks={name: v.remark for name, v in card.variants.items() if v.remark},
            faithful=list(card.faithful),
            different=list(card.different),
            needs=list(card.needs),
        )
    except ValidationError as error:
        raise BadInput(
            f"The card of method {card.name!r} cannot be published: {_first(error)}."
        ) from error


def remarks_on(card: PublishedCard | None, variant: str) -> tuple[str, ...]:
    """What a board says beside the rows of a variant, by its method's card if there is one."""
    if card is None:
        return ()
    told = ("baseline" if card.baseline else "", card.remarks.get(variant, ""))
    return tuple(text for text in told if text)


def card_text(card: PublishedCard) -> str:
    """The card as YAML."""
    text: str = yaml.safe_dump(
        card.model_dump(), sort_keys=False, allow_unicode=True, width=100, default_flow_style=False
    )
    return text


def read_card(path: Path) -> PublishedCard:
    """Read ``card.yaml``.

    Raises:
        BadInput: If it is missing, too large, no YAML, or has wrong fields.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"{path} has more than {_LARGEST >> 10} KiB; no card is that large.")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        # The C loader is the safe loader too, only faster.
        content = yaml.load(path.read_text("utf-8"), Loader=loader)  # noqa: S506
    except FileNotFoundError as error:
        raise BadInput(f"{path} is missing; `fpbench submit` writes it.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadInput(f"{path} cannot be read: {' '.join(str(error).split())}.") from error
    try:
        card = PublishedCard.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"{path} is not a method's card: {_first(error)}.") from error
    return card.model_copy(update={"package": renamed(card.package)})


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{where}: {first['msg']}"
