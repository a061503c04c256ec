"""The record: everything about one finished job, as JSON."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fpbench.errors import BadInput

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodEntry(_Part):
    """Which method ran."""

    name: str = Field(description="Entry-point name.")
    variant: str = Field(description="Name of the variant.")
    version: str = Field(description="Version on the method's card.")
    params: dict[str, Any] = Field(description="Constructor arguments on top of the variant's.")
    title: str = Field(description="Title of the paper.")
    package: str = Field(description="Distribution that registers the method, with its version.")

    @property
    def label(self) -> str:
        """The method as it is asked for: ``manifpt:freq k=5``."""
        settings = "".join(f" {key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.name}:{self.variant}{settings}"


class SourceEntry(_Part):
    """One source of the dataset and how many of its images were used."""

    name: str = Field(description="Name, unique within the dataset.")
    family: str = Field(description="Real, VAE, GAN, Flow, Score or Synthetic.")
    architecture: str = Field(description="Architecture, whatever it was trained on.")
    train: int = Field(description="Training images.")
    validation: int = Field(description="Validation images.")
    test: int = Field(description="Test images.")


class DatasetEntry(_Part):
    """Which images were used."""

    name: str = Field(description="Name or folder of the dataset.")
    revision: str = Field(description="Revision on its card.")
    content_hash: str = Field(description="SHA-256 over decoded pixels and labels.")
    image_size: tuple[int, int] = Field(description="Height and width in pixels.")
    reference: int = Field(description="Reference images (real).")
    sources: list[SourceEntry] = Field(description="Sources, in the order of columns.")
    shortcut: float | None = Field(
        default=None, description="Balanced accuracy of the shortcut probe, where audited."
    )


class ProtocolEntry(_Part):
    """How the job was run and scored."""

    budget: Literal["smoke", "small", "full"] = Field(description="Training length.")
    seed: int = Field(description="Seed of the method and of scoring.")
    fold: int | None = Field(description="Test fold, counted from 0, or null for fixed splits.")
    folds: int | None = Field(description="Number of folds, or null.")
    unit: Literal["image", "bag"] = Field(description="What the method itself judges.")
    control: Literal["none", "shuffled-labels"] = Field(description="Null control.")
    classifier: Literal["own", "probe"] = Field(
        description="Whose probabilities were scored: the method's, or the common probe's."
    )
    embedding_dimension: int | None = Field(description="Dimension D of the embeddings.")
    fdr_samples: int = Field(description="Test images per source in FDR-v1 (n).")
    fdr_dimensions: int = Field(description="Dimension after PCA in FDR-v1 (d).")
    scoring: int = Field(description="Version of the scoring rules.")
    train_images: int | None = Field(
        default=None, description="Training images of each source given, or null for all."
    )
    reference_images: int | None = Field(
        default=None, description="Reference images given, or null for all."
    )
    bag_sizes: tuple[int, ...] | None = Field(
        default=None, description="Sizes of judged bags, or null for the usual ones."
    )
    fingerprint_bags: tuple[int, ...] | None = Field(
        default=None, description="Numbers of bags of each source that fingerprints are made from."
    )
    fingerprint_bag_size: int | None = Field(
        default=None, description="Images in each of those bags."
    )


class ScoreEntry(_Part):
    """One score with its uncertainty."""

    value: float | None = Field(description="The score, or null where it cannot be computed.")
    ci_low: float | None = Field(default=None, description="Lower end of the 95 % interval.")
    ci_high: float | None = Field(default=None, description="Upper end of the 95 % interval.")
    n: int = Field(description="Number of images or bags that it rests on.")
    chance: float | None = Field(default=None, description="Its value for a blind guess.")
    reason: str | None = Field(default=None, description="Why the value is null.")


class CostEntry(_Part):
    """What the job cost."""

    fit_seconds: float = Field(description="Time of fit, as if run alone.")
    inference_seconds: float = Field(
        description="Time of judging all test images, as if run alone."
    )
    images_per_second: float = Field(description="Test images per second of inference.")
    total_seconds: float = Field(description="Wall time of the job, scoring included.")
    peak_memory_bytes: int = Field(description="Peak resident memory of the process.")
    parameters: int | None = Field(description="Learned parameters, where the method says.")
    device: str = Field(description="Device, e.g. cpu (name of the processor).")


class EnvironmentEntry(_Part):
    """Where the job ran."""

    python: str = Field(description="Python version.")
    platform: str = Field(description="Operating system and machine.")
    cores: int = Field(description="Processor cores available.")
    threads: int | None = Field(
        default=None,
        description="Threads of torch: another number adds in another order, which training "
        "amplifies. Null in records of before it was noted, and of a job that needed no torch.",
    )
    packages: dict[str, str] = Field(description="Versions of the packages that matter.")
    git_commit: str | None = Field(description="Commit of fpbench's checkout, or null.")
    git_dirty: bool | None = Field(description="Whether that checkout had changes, or null.")


class ArtifactEntry(_Part):
    """A file beside the record."""

    file: str = Field(description="File name within the job's folder.")
    sha256: str = Field(description="SHA-256 of its bytes.")
    size: int = Field(description="Its size in bytes.")


class Record(_Part):
    """Everything about one finished job."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this format.")
    job: str = Field(description="Hash of the job's spec.")
    status: Literal["done", "failed", "declined"] = Field(description="How the job ended.")
    reason: str | None = Field(default=None, description="Why it failed or was declined.")
    created: datetime = Field(description="When it ended, with time zone.")
    method: MethodEntry
    dataset: DatasetEntry
    protocol: ProtocolEntry
    scores: dict[str, ScoreEntry] = Field(default_factory=dict)
    cost: CostEntry | None = None
    environment: EnvironmentEntry
    artifacts: dict[str, ArtifactEntry] = Field(default_factory=dict)


def read_record(path: Path) -> Record:
    """Read one record.

    Raises:
        BadInput: If the file cannot be read, is no record, or has another schema version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"Cannot read the record {path}: {error}.") from error
    try:
        record = Record.model_validate_json(text)
    except ValidationError as error:
        version = _schema_version(text)
        if version is not None and version != SCHEMA_VERSION:
            raise BadInput(_version_message(path, version)) from error
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadInput(f"{path} is not a valid record: {where}: {first['msg']}.") from error
    if record.schema_version != SCHEMA_VERSION:
        raise BadInput(_version_message(path, record.schema_version))
    return record


def _schema_version(text: str) -> int | None:
    import json

    try:
        content = json.loads(text)
    except ValueError:
        return None
    version = content.get("schema_version") if isinstance(content, dict) else None
    return version if isinstance(version, int) else None


def _version_message(path: Path, version: int) -> str:
    remedy = (
        "update fpbench to read it" if version > SCHEMA_VERSION else "run the job again to renew it"
    )
    return f"{path} has schema version {version}, this fpbench reads {SCHEMA_VERSION}; {remedy}."
