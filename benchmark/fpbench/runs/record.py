"""The record: everything about one finished job, as JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from fpbench.documents import Document, parse_json, read_limited, told
from fpbench.errors import BadInput
from fpbench.images import Source
from fpbench.metrics.score import Score
from fpbench.runs.curve import TrainingEntry
from fpbench.runs.job import Job
from fpbench.runs.machine import EnvironmentEntry
from fpbench.runs.migrations import SCHEMA_VERSION, migrated

RECORD_FILE = "record.json"

_Count = Annotated[int, Field(ge=0, le=10**9)]
"""A number of images, bags or dimensions; no run has more than a thousand millions."""

_Side = Annotated[int, Field(ge=1, le=65_535)]
"""Height or width of images in pixels; the formats that are read end there."""

_Seconds = Annotated[float, Field(ge=0, le=10 * 365 * 86_400)]
"""A time; no run has taken ten years."""

_FIT_OUTLASTS_JOB = frozenset(
    {"09993779c282272a", "0d680147c6b5758f", "3eabaf0d5a28270a", "7f516a91565c037d",
     "82fd5fad273225d4"}
)  # fmt: skip
"""Keys, under version 3 of the scoring rules, of the published jobs whose fit outlasts the job.

All are of manifpt and took nearest neighbours that a job before them had found. Fit counted the
time of finding them, as if run alone, while the job's total was wall time; now both count it."""

_ROUNDING = 1e-9  # relative, of sums of seconds

_FIRST = datetime(2020, 1, 1, tzinfo=UTC)
"""Before the first record of any kind."""

Status = Literal["done", "failed", "declined"]


class MethodEntry(Document):
    """What the installation says of the method; what was asked of it stands in the job."""

    title: str = Field(description="Title of the paper.")
    package: str = Field(description="Distribution that registers the method, with its version.")

    code: str | None = Field(
        default=None,
        description="SHA-256 of the source text of its class and that class's bases outside "
        "fpbench's contract; null in records of before it was noted.",
    )
    weights: dict[str, str] = Field(
        default_factory=dict,
        description="SHA-256 of the files of trained weights that were read, by "
        "OWNER/NAME@COMMIT/FILE on the Hub or by name.",
    )

    @property
    def distribution(self) -> str:
        """The distribution without its version."""
        return self.package.partition(" ")[0]


class SourceEntry(Document):
    """One source of a dataset and how many of its images were used."""

    name: str = Field(description="Name, unique within the dataset.")
    family: str = Field(description="Real, VAE, GAN, Flow, Score or Synthetic.")
    architecture: str = Field(description="Architecture, whatever it was trained on.")
    train: _Count | None = Field(default=None, description="Training images, or null if not used.")
    validation: _Count | None = Field(default=None, description="Validation images, likewise.")
    test: _Count | None = Field(default=None, description="Test images, likewise.")

    @property
    def is_real(self) -> bool:
        """Whether this is the source of real images."""
        return self.family == "Real"


class SideEntry(Document):
    """The images of one side of the job, whose identity stands in the job."""

    image_size: tuple[_Side, _Side] = Field(description="Height and width as the dataset has them.")
    reference: _Count | None = Field(default=None, description="Reference images (real) given.")
    sources: list[SourceEntry] = Field(description="Sources used, in the order of labels.")
    shortcut: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Balanced accuracy of the metadata-only baseline, where audited.",
    )
    commit: str | None = Field(default=None, description="Hub commit it was fetched from, or null.")

    @property
    def as_sources(self) -> tuple[Source, ...]:
        """The sources as scores take them; their design choices are not in a record."""
        return tuple(Source(s.name, s.family, s.architecture) for s in self.sources)

    @property
    def generators(self) -> list[SourceEntry]:
        """All sources but Real."""
        return [source for source in self.sources if not source.is_real]


class SetupEntry(Document):
    """How the job was judged and scored, beside what it was asked."""

    unit: Literal["image", "bag"] | None = Field(
        default=None, description="What the method itself judges; null where not noted."
    )
    classifier: Literal["own", "probe"] = Field(
        description="Whose probabilities were scored: the method's, or the common probe's."
    )
    embedding_dimension: _Count | None = Field(
        default=None, description="Dimension D of the embeddings."
    )
    fdr_samples: _Count | None = Field(
        default=None, description="Test images per source in FDR-v1 (n)."
    )
    fdr_dimensions: _Count | None = Field(
        default=None, description="Dimension after PCA in FDR-v1 (d)."
    )
    families: list[str] | None = Field(
        default=None, description="Families of scores that were computed, or null for all."
    )
    facts: dict[str, Any] = Field(
        default_factory=dict, description="What the protocol found out in preparing the images."
    )


class ScoreEntry(Document):
    """One score with its uncertainty."""

    value: float | None = Field(description="The score, or null where it cannot be computed.")
    ci_low: float | None = Field(default=None, description="Lower end of the 95 % interval.")
    ci_high: float | None = Field(default=None, description="Upper end of the 95 % interval.")
    n: _Count = Field(description="Number of images or bags that it rests on.")
    chance: float | None = Field(default=None, description="Its value for a blind guess.")
    reason: str | None = Field(default=None, description="Why the value is null.")

    @classmethod
    def of(cls, score: Score) -> ScoreEntry:
        """A score as a record holds it."""
        return cls(
            value=score.value,
            ci_low=score.ci_low,
            ci_high=score.ci_high,
            n=score.n,
            chance=score.chance,
            reason=score.reason,
        )

    @property
    def score(self) -> Score:
        """The score that the entry holds.

        Raises:
            ValueError: If it is none that can be, e.g. of a reversed interval.
        """
        return Score(self.value, self.ci_low, self.ci_high, self.n, self.chance, self.reason)


class CostEntry(Document):
    """What the job cost."""

    fit_seconds: _Seconds = Field(description="Time of fit, as if run alone.")
    inference_seconds: _Seconds = Field(
        description="Time of judging all test images, as if run alone."
    )
    images_per_second: float = Field(ge=0, description="Test images per second of inference.")
    total_seconds: _Seconds = Field(
        description="Time of the job, scoring included, as if run alone; wall time alone in older "
        "records, where reused_seconds is null."
    )
    reused_seconds: _Seconds | None = Field(
        default=None,
        description="What these times count for values that were computed before and not again; "
        "the job's wall time is the total less this. Null in records of before it was noted.",
    )
    peak_memory_bytes: int = Field(
        ge=0, le=1 << 50, description="Peak resident memory of the process."
    )
    parameters: int | None = Field(
        ge=0, le=10**15, description="Learned parameters, where the method says."
    )
    device: str = Field(description="Device, e.g. cpu (name of the processor).")


class ArtifactEntry(Document):
    """A file beside the record."""

    file: str = Field(description="File name within the job's folder.")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of its bytes.")
    size: int = Field(ge=0, le=1 << 40, description="Its size in bytes.")

    @classmethod
    def of(cls, path: Path) -> ArtifactEntry:
        """Name, hash and size of a file."""
        from fpbench.files import file_sha256

        return cls(file=path.name, sha256=file_sha256(path), size=path.stat().st_size)


class Record(Document):
    """Everything about one finished job."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this format.")
    key: str = Field(description="Name of the job: the hash of its content.")
    status: Status = Field(description="How the job ended.")
    reason: str | None = Field(default=None, description="Why it failed or was not evaluated.")
    created: datetime = Field(description="When it ended, with time zone.")
    job: Job = Field(description="Everything that the result depends on.")
    method: MethodEntry
    train: SideEntry | None = Field(
        default=None, description="The side trained on, or null where both sides are one."
    )
    test: SideEntry = Field(description="The side tested on.")
    setup: SetupEntry
    scores: dict[str, ScoreEntry] = Field(default_factory=dict)
    training: list[TrainingEntry] = Field(
        default_factory=list,
        description="Trainings within the fit; empty where nothing is trained step by step, and in "
        "records of before they were noted.",
    )
    did_not_train: bool = Field(
        default=False,
        description="Whether a training's validation loss never was below that of guessing: the "
        "scores are then no result of the method.",
    )
    cost: CostEntry | None = None
    environment: EnvironmentEntry
    artifacts: dict[str, ArtifactEntry] = Field(default_factory=dict)
    notes: list[str] = Field(
        default_factory=list, description="What went wrong beside the scores, e.g. a figure."
    )

    @property
    def trained(self) -> SideEntry:
        """The side trained on."""
        return self.test if self.train is None else self.train

    @property
    def score_values(self) -> dict[str, Score]:
        """The scores by key.

        Raises:
            ValueError: If one is none that can be.
        """
        return {key: entry.score for key, entry in self.scores.items()}

    @property
    def headline(self) -> Score | None:
        """The first score of the job's protocol, if it has a value."""
        return None if not self.scores else next(iter(self.scores.values())).score

    def with_scores(self, scores: dict[str, Score]) -> Record:
        """The same record with other scores."""
        return self.model_copy(update={"scores": {k: ScoreEntry.of(s) for k, s in scores.items()}})


def parse_record(text: str, path: Path) -> Record:
    """The record that a text holds, migrated if it is of an older schema.

    Args:
        text: A JSON document.
        path: Its file, for messages.

    Raises:
        BadInput: If it is no record, holds numbers that are not finite, contradicts itself, or
            has a schema version that is newer or cannot be migrated.
    """
    content = migrated(parse_json(text, path, "record"), path)
    try:
        record = Record.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"{path} is not a valid record: {told(error)}.") from error
    wrong = _contradiction(record)
    if wrong is not None:
        raise BadInput(f"{path} is not a valid record: {wrong}.")
    return record


def _contradiction(record: Record) -> str | None:
    """What no run can have written, though every field is of its type."""
    fold, folds = record.job.fold, record.job.folds
    wrong = _impossible_times(record)
    if wrong is not None:
        return wrong
    if record.did_not_train != any(entry.did_not_train for entry in record.training):
        return f"did_not_train: {record.did_not_train} does not follow from the curves of training"
    if record.created.tzinfo is None:
        return f"created: {record.created.isoformat()} has no time zone"
    if not _FIRST <= record.created <= datetime.now(UTC) + timedelta(days=2):
        return f"created: {record.created.isoformat()} is not a time at which a run can have ended"
    for name, side in (("train", record.train), ("test", record.test)):
        wrong = None if side is None else _wrong_sources(side.sources)
        if wrong is not None:
            return f"{name}.sources: {wrong}"
    if (fold is None) != (folds is None) or (
        fold is not None and folds is not None and not 0 <= fold < folds
    ):
        return f"job.fold: there is no fold {fold} of {folds}"
    return None


def _impossible_times(record: Record) -> str | None:
    """Parts of the job that take longer than the whole."""
    cost = record.cost
    if cost is None:
        return None
    most = cost.total_seconds * (1 + _ROUNDING)
    if cost.reused_seconds is not None:
        both = cost.fit_seconds + cost.inference_seconds
        if cost.reused_seconds > most:
            return (
                f"cost.reused_seconds: {cost.reused_seconds:g} s are more than the whole job's "
                f"{cost.total_seconds:g} s, which count them"
            )
        if both > most:
            return (
                f"cost.total_seconds: fit and inference take {both:g} s, the whole job only "
                f"{cost.total_seconds:g} s"
            )
    elif cost.fit_seconds > most and _as_first_published(record) not in _FIT_OUTLASTS_JOB:
        return (
            f"cost.fit_seconds: {cost.fit_seconds:g} s are more than the whole job's "
            f"{cost.total_seconds:g} s"
        )
    return None


def _as_first_published(record: Record) -> str:
    """The key that a record had before later scoring rules gave it another."""
    return replace(record.job, scoring=3).key


def _wrong_sources(sources: list[SourceEntry]) -> str | None:
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        return f"{twice!r} is there twice"
    if sum(source.is_real for source in sources) > 1:
        return "more than one is of the family Real"
    if all(source.is_real for source in sources):
        return "there is no generator"
    return None


def read_record(path: Path) -> Record:
    """Read one record, of any schema version that can be brought to the present one.

    Args:
        path: Its file, or the folder of a run.

    Raises:
        BadInput: If there is none, it cannot be read, or `parse_record` refuses it.
    """
    try:
        path = path / RECORD_FILE if path.is_dir() else path
    except OSError as error:  # e.g. a name that is too long
        raise BadInput(f"Cannot read the record {path}: {error.strerror}.") from error
    return parse_record(read_limited(path, "record"), path)
