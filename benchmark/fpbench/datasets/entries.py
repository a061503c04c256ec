"""What ``sources.yaml`` says of a source: family, architecture, design choices."""

from __future__ import annotations

from pydantic import Field, field_validator

from fpbench.documents import Document
from fpbench.images import FAMILIES


class Fact(Document):
    """One design choice of a source.

    Attributes:
        value: What was chosen.
        origin: Where that is written: paper, section, or file of the code.
    """

    value: str
    origin: str = Field(alias="from")


class ZooEntry(Document):
    """A source in ``sources.yaml`` that is what a row of the zoo's table says.

    Attributes:
        zoo: Name of the row; a built dataset has its content instead.
        summary: A sentence added to the row's own.
    """

    zoo: str
    summary: str = ""


class SourceEntry(Document):
    """One source in ``sources.yaml``.

    Attributes:
        family: Real, VAE, GAN, Flow, Score, or Synthetic.
        architecture: E.g. StyleGAN2.
        summary: One sentence, e.g. on what and for how long it was trained.
        citation: The paper that introduces it.
        design: Design choices by name: upsampling, downsampling, normalisation, nonlinearity,
            skip, loss.
    """

    family: str
    architecture: str
    summary: str = ""
    citation: str = ""
    design: dict[str, Fact] = Field(default_factory=dict)

    @field_validator("family")
    @classmethod
    def _known(cls, family: str) -> str:
        if family not in FAMILIES:
            raise ValueError(f"{family!r} is no family; use one of {', '.join(FAMILIES)}")
        return family


def zoo_entry(row: str, summary: str = "") -> SourceEntry:
    """What ``sources.yaml`` says of a row of the zoo's table.

    Args:
        row: Its name.
        summary: A sentence added to the row's own.

    Raises:
        BadInput: If there is no such row.
    """
    from fpbench.zoo.table import model

    found = model(row)
    origin = f"fpbench.zoo.table, row {row}"
    return SourceEntry(
        family=found.family,
        architecture=found.architecture,
        summary=f"{found.summary} {summary}".strip(),
        citation=found.citation,
        design={key: Fact(value=value, **{"from": origin}) for key, value in found.design.items()},
    )
