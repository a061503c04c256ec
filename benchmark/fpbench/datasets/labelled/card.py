"""Cards of datasets that are read where they lie: ``recipe.yaml`` says which columns are what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator, model_validator

from fpbench.datasets.card import read_labelled_yaml, read_sources, validated
from fpbench.datasets.labelled.dataset import LabelledDataset
from fpbench.datasets.labelled.spec import OTHERS, Labelled
from fpbench.datasets.layout import RECIPE, SOURCES
from fpbench.documents import Document
from fpbench.errors import BadInput
from fpbench.images import REAL

if TYPE_CHECKING:
    from fpbench.method import Progress


class Origin(Document):
    """What is known of the whole dataset that a card takes images from.

    Attributes:
        bytes: Size of all its files, or None where that is not known.
        images: Images in it, or None.
        seen: Where and when that was read, and what could not be checked.
    """

    bytes: int | None = Field(None, gt=0)
    images: int | None = Field(None, gt=0)
    seen: str = Field(min_length=10)


class LabelledCard(Document):
    """A labelled dataset by name; ``recipe.yaml``.

    Attributes:
        name: Name of the dataset and of its card's folder.
        title: One line for ``fpbench data list``.
        version: Raised whenever other images may be chosen.
        whole: What is known of the dataset that they are taken from.
        labelled: Where it is and which columns are what, or None.
        unavailable: Why it cannot be read from where it lies, and what to do instead, or None.
    """

    name: str
    title: str
    version: int = Field(ge=1)
    whole: Origin
    labelled: Labelled | None = None
    unavailable: str | None = Field(None, min_length=10)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        from fpbench.datasets.schema import plain_name

        return plain_name(name)

    @model_validator(mode="after")
    def _either(self) -> LabelledCard:
        if self.labelled is None and self.unavailable is None:
            raise ValueError("give `labelled`, or `unavailable` with the reason")
        return self


def read_card(folder: Path) -> LabelledCard:
    """The validated recipe of a labelled dataset's card; its sources are described.

    Raises:
        BadInput: If recipe.yaml or sources.yaml is missing or wrong, or they do not fit together.
    """
    card = validated(LabelledCard, read_labelled_yaml(folder), folder / RECIPE)
    if card.labelled is not None and card.labelled.sources is not None:
        described = read_sources(folder)
        named = {REAL, *card.labelled.sources} if card.labelled.real else {*card.labelled.sources}
        open_ended = any(OTHERS in own for own in card.labelled.sources.values())
        missing = [name for name in sorted(named) if name not in described and not open_ended]
        if missing:
            raise BadInput(
                f"{folder / SOURCES} does not describe the source {', '.join(map(repr, missing))} "
                f"of {RECIPE}; add its family and architecture."
            )
    return card


def open_card(folder: Path, *, offline: bool, progress: Progress | None) -> LabelledDataset:
    """The dataset that a card is of.

    Raises:
        BadInput: If the card says that it is not available, or it cannot.
    """
    card = read_card(folder)
    if card.labelled is None or card.unavailable is not None:
        raise BadInput(f"Dataset {card.name!r} cannot be read from where it lies: "
                       f"{card.unavailable}")  # fmt: skip
    return LabelledDataset(
        card.labelled,
        base=folder,
        offline=offline,
        progress=progress,
        name=card.name,
        entries=read_sources(folder),
    )
