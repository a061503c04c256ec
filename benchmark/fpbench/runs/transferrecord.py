"""The record of a transfer job, as JSON."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fpbench.errors import BadInput
from fpbench.runs.record import (
    ArtifactEntry,
    CostEntry,
    EnvironmentEntry,
    MethodEntry,
    ScoreEntry,
)
from fpbench.runs.store import Store
from fpbench.runs.transferjob import Reference, TransferSpec

TRANSFER_FILE = "transfer.json"
SCHEMA_VERSION = 1

SizeRule = Literal["same", "native", "nearest"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SideSourceEntry(_Part):
    """One source of either dataset."""

    name: str = Field(description="Name, unique within its dataset.")
    family: str = Field(description="Real, VAE, GAN, Flow, Score or Synthetic.")
    architecture: str = Field(description="Architecture, by which the datasets are matched.")
    images: int = Field(description="Images used: for training, or for testing.")


class SideEntry(_Part):
    """The dataset trained on, or tested on."""

    name: str = Field(description="Name or folder of the dataset.")
    revision: str = Field(description="Revision on its card.")
    content_hash: str = Field(description="SHA-256 over decoded pixels and labels.")
    chosen: list[str] = Field(description="Generators asked for; empty for all.")
    image_size: tuple[int, int] = Field(description="Height and width as the dataset has them.")
    sources: list[SideSourceEntry] = Field(description="Sources used, in the order of labels.")


class TransferProtocolEntry(_Part):
    """How the job was run and scored."""

    budget: Literal["smoke", "small", "full"] = Field(description="Training length.")
    seed: int = Field(description="Seed of the method and of the bootstrap.")
    reference: Reference = Field(description="Whose reference images the method was given.")
    resize: bool = Field(description="Whether resizing was allowed.")
    size_rule: SizeRule = Field(
        description="`same`: both datasets have one size; `native`: each was taken as it is; "
        "`nearest`: the smaller was enlarged by nearest neighbour, which is a trace of its own, so "
        "that the scores are confounded."
    )
    judged_size: tuple[int, int] = Field(description="Size at which test images were judged.")
    classifier: Literal["own", "probe"] = Field(description="Whose probabilities were scored.")
    scoring: int = Field(description="Version of the scoring rules.")


class LabelsEntry(_Part):
    """How the two label spaces fit together; Real is left out of architectures."""

    shared_architectures: list[str] = Field(description="In both datasets.")
    new_architectures: list[str] = Field(description="Tested, not trained on.")
    shared_families: list[str] = Field(description="In both datasets, Real included.")
    cap: float = Field(
        description="Highest accuracy that naming the model can reach on all tested models: the "
        "share of them that was trained on."
    )
    cap_with_real: float = Field(description="The same, Real counting as one more model.")
    left_out: int = Field(
        description="Test images left out, because the same pixels are in the training, "
        "validation or reference images."
    )


class TransferRecord(_Part):
    """Everything about one finished transfer job."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this format.")
    kind: Literal["transfer"] = "transfer"
    job: str = Field(description="Hash of the job's spec.")
    status: Literal["done", "failed", "declined"] = Field(description="How the job ended.")
    reason: str | None = Field(default=None, description="Why it failed or was declined.")
    created: datetime = Field(description="When it ended, with time zone.")
    method: MethodEntry
    train: SideEntry
    test: SideEntry
    protocol: TransferProtocolEntry
    labels: LabelsEntry
    scores: dict[str, ScoreEntry] = Field(default_factory=dict)
    cost: CostEntry | None = None
    environment: EnvironmentEntry
    artifacts: dict[str, ArtifactEntry] = Field(default_factory=dict)


def read_transfer(path: Path) -> TransferRecord:
    """Read one transfer record.

    Raises:
        BadInput: If the file cannot be read, is no such record, or has another schema version.
    """
    try:
        record = TransferRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"Cannot read the record {path}: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadInput(f"{path} is no valid transfer record: {where}: {first['msg']}.") from error
    if record.schema_version != SCHEMA_VERSION:
        raise BadInput(
            f"{path} has schema version {record.schema_version}, this fpbench reads "
            f"{SCHEMA_VERSION}; run the job again to renew it."
        )
    return record


def find_transfer(store: Store, spec: TransferSpec) -> TransferRecord | None:
    """The record of a finished transfer job, or None if it has to be run (again)."""
    path = store.folder(spec) / TRANSFER_FILE
    if not path.is_file():
        return None
    try:
        record = read_transfer(path)
    except BadInput:
        # As for other jobs, one whose record cannot be read counts as not run.
        return None
    return record if record.job == spec.key and record.status == "done" else None
