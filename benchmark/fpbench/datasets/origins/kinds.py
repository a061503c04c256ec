"""All kinds of origins by the word that a recipe says for them: `kind` of an origin."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from fpbench.datasets.origins.diffusers import DiffusersOrigin
from fpbench.datasets.origins.files import ManifestOrigin
from fpbench.datasets.origins.folder import FolderOrigin
from fpbench.datasets.origins.labelled import LabelledOrigin
from fpbench.datasets.origins.origin import Origin, kind_of
from fpbench.datasets.origins.parquet import ParquetOrigin
from fpbench.datasets.origins.photographs import PhotographsOrigin
from fpbench.datasets.origins.unavailable import UnavailableOrigin
from fpbench.datasets.origins.zoo import ZooOrigin

KINDS: dict[str, type[Origin]] = {
    kind_of(origin): origin
    for origin in (
        ZooOrigin,
        PhotographsOrigin,
        ParquetOrigin,
        FolderOrigin,
        ManifestOrigin,
        LabelledOrigin,
        DiffusersOrigin,
        UnavailableOrigin,
    )
}
"""Another kind is a file beside these and a word here."""

if TYPE_CHECKING:
    AnyOrigin = Origin
else:
    AnyOrigin = Annotated[reduce(or_, KINDS.values()), Field(discriminator="kind")]
    """An origin as a recipe writes it, told apart by its field `kind`."""
