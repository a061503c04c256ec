"""The page of a model folder: what was fitted, on what, and which files belong to it."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from fpbench.documents import Document, parse_json, read_limited, told
from fpbench.errors import BadInput
from fpbench.files import write_text
from fpbench.images import Source
from fpbench.method import Budget

PAGE = "model.json"
METHOD = "method"
PROBE = "probe.safetensors"
CALIBRATION = "calibration.safetensors"
KNOWN = "known.safetensors"
SPECTRA = "spectra.safetensors"

SCHEMA_VERSION = 1
"""Of model folders; raised when one of an older fpbench can no longer read what is written."""

_LARGEST = 16 << 20
_Count = Annotated[int, Field(ge=0, le=10**9)]
_Side = Annotated[int, Field(ge=1, le=65_535)]


class MethodPart(Document):
    """The method that was fitted."""

    name: str = Field(description="Entry-point name.")
    variant: str = Field(description="Name of the variant.")
    version: str = Field(description="Version on its card; another one may score otherwise.")
    params: dict[str, Any] = Field(description="Constructor arguments on top of the variant's.")
    files: dict[str, str] = Field(description="SHA-256 of files that parameters name.")
    package: str = Field(description="Distribution that registers it, with its version.")
    code: str | None = Field(description="SHA-256 of the source text of its modules.")
    title: str = Field(description="Title of its paper.")
    citation: str = Field(description="BibTeX entry of its paper.")
    licence: str = Field(description="Licence of the implementation.")
    classifier: Literal["own", "probe"] = Field(description="Whose probabilities are calibrated.")
    budget: Budget = Field(description="Training length.")
    seed: int = Field(description="Seed of the fit.")

    @property
    def label(self) -> str:
        """E.g. ``prnu:wavelet sigma=3``."""
        settings = "".join(f" {key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.name}:{self.variant}{settings}"


class DatasetPart(Document):
    """The dataset that it was fitted on."""

    name: str = Field(description="Its name.")
    revision: str = Field(description="Its revision.")
    content_hash: str = Field(description="SHA-256 over its images.")
    licences: list[str] = Field(description="Licences of its images; empty if nobody states any.")
    citations: list[str] = Field(description="Papers of its sources.")


class SourcePart(Document):
    """A source that an image can be attributed to, and its images."""

    name: str = Field(description="Name, unique within the model.")
    family: str = Field(description="Real, VAE, GAN, Flow, Score, Synthetic or Unknown.")
    architecture: str = Field(description="Architecture.")
    design: dict[str, str] = Field(description="Design choices, where known.")
    train: _Count = Field(description="Images it was learned from.")
    selection: _Count = Field(description="Validation images that choices were made on.")
    calibration: _Count = Field(description="Validation images that p-values are ranks among.")

    @property
    def source(self) -> Source:
        """The source as methods see it."""
        return Source(self.name, self.family, self.architecture, self.design)


class MeasuredScore(Document):
    """A score of this configuration on this dataset's board."""

    protocol: str = Field(description="What was asked: closed-set, open-set or robustness.")
    key: str = Field(description="Key of the score.")
    title: str = Field(description="What it is called.")
    value: float = Field(description="Over all runs.")
    low: float | None = Field(description="Lower end of the 95 % interval.")
    high: float | None = Field(description="Upper end.")
    chance: float | None = Field(description="What guessing scores.")
    better: Literal["higher", "lower", "neither"] = Field(description="Which way is better.")
    runs: int = Field(ge=1, description="Seeds, times rotations of an open set, it is from.")


class FilePart(Document):
    """A file of the folder."""

    size: _Count = Field(description="Its bytes.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of them.")


class ModelPage(Document):
    """``model.json``."""

    schema_version: int = Field(ge=1, description="Version of this page's schema.")
    created: datetime = Field(description="When the model was written, in UTC.")
    fpbench: str = Field(description="Version of fpbench that wrote it.")
    method: MethodPart
    dataset: DatasetPart
    sources: list[SourcePart] = Field(min_length=2, description="In the order of columns.")
    image_size: tuple[_Side, _Side] = Field(description="Height and width of its images.")
    reference: _Count = Field(description="Reference images given to the fit.")
    formats: dict[str, _Count] = Field(description="Training files by format.")
    tables: list[str] = Field(description="Hashes of the quantisation tables of training JPEGs.")
    grid: float | None = Field(
        description="Codec trace (see docs/attribution.md) that 99 in 100 training images stay "
        "below; null where the images are too small for one."
    )
    images_kept: _Count = Field(
        description="Images that the method's state holds as they are, e.g. reference images."
    )
    measured: list[MeasuredScore] = Field(description="Scores of the boards' records.")
    files: dict[str, FilePart] = Field(description="All other files of the folder.")
    digest: str = Field(description="SHA-256 of this page without this field.")

    @property
    def source_list(self) -> tuple[Source, ...]:
        """The sources as methods see them, in the order of columns."""
        return tuple(part.source for part in self.sources)

    @property
    def title(self) -> str:
        """E.g. ``prnu:wavelet on gm-mini``."""
        return f"{self.method.label} on {self.dataset.name}"

    @property
    def free(self) -> bool:
        """Whether the dataset's licences are stated and all let its images be shown and kept."""
        return bool(self.dataset.licences) and all(
            one.lower().startswith(_FREE) for one in self.dataset.licences
        )

    @classmethod
    def signed(cls, **fields: Any) -> Self:
        """A page with its digest."""
        page = cls(**fields, digest="")
        return page.model_copy(update={"digest": page._digest()})

    def _digest(self) -> str:
        content = self.model_dump(mode="json", exclude={"digest"})
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write the page into a model folder."""
        write_text(folder / PAGE, self.json_text())


# Licences of works that may be passed on and shown, whole or in part.
_FREE = ("cc0", "cc-by-2", "cc-by-3", "cc-by-4", "mit", "apache", "bsd", "pddl", "unlicense")


def read_page(folder: Path) -> ModelPage:
    """The page of a model folder.

    Raises:
        BadInput: If there is none, it is of a newer fpbench, was changed, or is no page.
    """
    path = folder / PAGE
    if not folder.is_dir():
        raise BadInput(f"There is no model folder {folder}; make one with `fpbench fit`.")
    if not path.is_file():
        raise BadInput(
            f"{folder} is no model folder: it has no {PAGE}. Make one with `fpbench fit`."
        )
    content = parse_json(read_limited(path, "model page", _LARGEST), path, "model page")
    version = content.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BadInput(
            f"{folder} was written by fpbench {content.get('fpbench')}, which is newer than this "
            f"one: schema version {version}, and {SCHEMA_VERSION} is the newest that is known "
            "here. Upgrade fpbench, or fit the model again."
        )
    try:
        page = ModelPage.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"{path}: {told(error)}. Fit the model again.") from error
    if page.digest != page._digest():
        raise BadInput(
            f"{path} was changed after it was written: its digest is not that of its content. "
            "Fetch the folder again, or fit the model again."
        )
    return page
