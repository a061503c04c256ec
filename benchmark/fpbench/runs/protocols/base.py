"""A protocol: which images a method is given, what it is asked, which scores that yields."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fpbench.datasets.dataset import GMDataset
from fpbench.errors import BadInput, suggest
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, Method
from fpbench.metrics.score import Score
from fpbench.runs.job import Job, Limits, Side
from fpbench.runs.judge import Fitted, NullControl, check_size, judge
from fpbench.runs.record import ArtifactEntry, Record, SideEntry, SourceEntry
from fpbench.runs.splits import Splits
from fpbench.scores.bags import BAG_SIZES
from fpbench.scores.definition import ScoreDefinition
from fpbench.scores.evidence import Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import ScoreFamily

Load = Callable[[Side], GMDataset]
"""Loads a side of a job; each dataset of a plan once."""

Describe = Callable[[Side], tuple[Source, ...]]
"""The sources of a side of a job, had without decoding an image."""


@dataclass(frozen=True)
class Prepared:
    """The images of one job, and what a record says of them.

    Attributes:
        splits: The four image sets; labels of `train` and `validation` index the columns of
            probabilities, those of `test` the sources tested.
        scoring: What scoring must know.
        train: What the record says of the side trained on, or None where it is the one tested.
        test: What the record says of the side tested on.
        facts: What was found out in preparing, for the record.
    """

    splits: Splits
    scoring: ScoringSettings
    train: SideEntry | None
    test: SideEntry
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> Labels:
        """Who made which test image, and which sources the columns are."""
        test = self.splits.test
        return Labels(test.ids, test.labels, test.sources, self.splits.train.sources)


@dataclass(frozen=True)
class Finished:
    """A job that has been judged, for what is written beside its scores.

    Attributes:
        job: The job.
        method: The fitted method.
        prepared: Its images.
        outcome: What the method gave.
        evidence: What its scores follow from.
        scores: The scores.
    """

    job: Job
    method: Method
    prepared: Prepared
    outcome: Outcome
    evidence: Evidence
    scores: Mapping[str, Score]

    @property
    def drawable(self) -> Drawable:
        """What its figures are drawn from."""
        embedded = self.outcome.test_embeddings
        return Drawable(
            self.job,
            self.prepared.labels,
            self.evidence,
            self.scores,
            embedded if embedded.size else None,
            self.method.implements("residual"),
            self.method,
            self.prepared.splits.test,
        )


@dataclass(frozen=True)
class Drawable:
    """What the figures of a job are drawn from: stored beside its record, but for the last two.

    Attributes:
        job: The job.
        labels: Who made which test image.
        evidence: What its scores follow from.
        scores: The scores.
        embeddings: float32 of shape (N, D), of the test images, or None where there are none.
        has_residual: Whether the method has residuals to show.
        method: The fitted method, or None where the job ended before.
        test: The test images, or None likewise.
    """

    job: Job
    labels: Labels
    evidence: Evidence
    scores: Mapping[str, Score]
    embeddings: NDArray[np.float32] | None
    has_residual: bool
    method: Method | None = None
    test: ImageSet | None = None


class Protocol(ABC):
    """What is asked of a method.

    Subclasses are registered under the entry-point group ``fpbench.protocols``. One file says
    everything of a protocol; planning, running, storing and checking are the same for all.
    """

    name: ClassVar[str]
    families: ClassVar[tuple[ScoreFamily, ...]]
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Its settings and their usual values; every job of the protocol states all of them."""
    limits: ClassVar[frozenset[str]] = frozenset()
    """Which of `Limits` it knows; a plan refuses the others, which it would pass over."""

    def complete(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings asked for, with the usual values of the others.

        Raises:
            BadInput: If there is no such setting.
        """
        for name in settings:
            if name not in self.defaults:
                raise BadInput(
                    f"The protocol {self.name!r} has no setting {name!r}. "
                    f"{suggest(name, self.defaults)}"
                )
        return {**self.defaults, **settings}

    def check_limits(self, limits: Limits) -> None:
        """Refuse limits that the protocol does not know.

        Raises:
            BadInput: With the limit.
        """
        for name in limits.stated:
            if name not in self.limits:
                raise BadInput(
                    f"The protocol {self.name!r} knows no limit {name.replace('_', ' ')!r}. "
                    f"{suggest(name, self.limits)}"
                )

    def expand(self, job: Job, describe: Describe) -> list[Job]:
        """The jobs that one asked for stands for; by default that job alone.

        Args:
            job: The job as it was asked for.
            describe: Tells the sources of its sides.

        Raises:
            BadInput: If the sources do not allow it.
        """
        return [job]

    @abstractmethod
    def prepare(self, job: Job, load: Load) -> Prepared:
        """The images of a job.

        Args:
            job: The job.
            load: Loads its sides.

        Raises:
            BadInput: If the datasets do not allow it.
        """

    def judge(self, fitted: Fitted, prepared: Prepared, context: FitContext, job: Job) -> Outcome:
        """Ask the fitted method; by default about each test image, and about bags of them.

        Args:
            fitted: The method, fitted on the prepared training images.
            prepared: The images.
            context: The circumstances.
            job: For control and limits.

        Raises:
            InvalidOutput: If what the method returns breaks its contract.
            MethodDeclined: If it cannot be asked this here.
        """
        return judge(
            fitted,
            prepared.splits,
            context,
            null=NullControl.of(job),
            bag_sizes=job.limits.bag_sizes or BAG_SIZES,
        )

    def check(self, cls: type[Method], job: Job, prepared: Prepared) -> None:
        """Refuse, before anything is trained, what the method cannot do.

        Raises:
            MethodDeclined: With the reason.
        """
        check_size(cls, job.method, prepared.splits.train, prepared.splits.test)

    def write_beside(self, folder: Path, finished: Finished) -> dict[str, ArtifactEntry]:
        """Write what is kept beside predictions and evidence; by default nothing.

        Args:
            folder: The job's folder.
            finished: The job.

        Returns:
            Entries of the record by name.
        """
        return {}

    def draw(self, folder: Path, drawable: Drawable) -> list[str]:
        """Draw the job's figures; by default none.

        Args:
            folder: An existing folder for PNG files, within the job's folder.
            drawable: The job; a figure that needs a fitted method which is not there is named in
                a note.

        Returns:
            Notes for the record: which figure could not be drawn, and why.
        """
        return []

    def remarks(self, record: Record) -> list[str]:
        """Lines that people need beside the table of scores; by default none.

        Args:
            record: Of a finished job.
        """
        return []

    def scoring_of(self, record: Record) -> ScoringSettings:
        """What scoring must know, as a record states it."""
        return ScoringSettings(
            record.job.seed, record.setup.fdr_samples or 0, record.setup.fdr_dimensions or 1
        )

    @property
    def definitions(self) -> tuple[ScoreDefinition, ...]:
        """All scores that it yields, the one that rows are ordered by first."""
        return tuple(score for family in self.families for score in family.scores)


def describe_dataset(dataset: GMDataset, splits: Splits) -> SideEntry:
    """What a record says of a dataset that is trained and tested on, all its sources used."""
    return describe_side(
        dataset,
        splits.test.size,
        dataset.sources,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        reference=splits.reference,
    )


def describe_side(
    dataset: GMDataset,
    image_size: tuple[int, int],
    sources: Sequence[Source],
    *,
    train: ImageSet | None = None,
    validation: ImageSet | None = None,
    test: ImageSet | None = None,
    reference: ImageSet | None = None,
) -> SideEntry:
    """What a record says of the images used of a dataset.

    Args:
        dataset: The dataset.
        image_size: Height and width as the dataset has them.
        sources: Those used, in the order of labels.
        train: The training images, where they are of this dataset; likewise the others.
        validation: Validation images.
        test: Test images.
        reference: Reference images.
    """
    counts = [
        None if part is None else np.bincount(part.labels, minlength=len(sources))
        for part in (train, validation, test)
    ]
    trained, validated, tested = counts
    return SideEntry(
        image_size=image_size,
        reference=None if reference is None else len(reference),
        sources=[
            SourceEntry(
                name=source.name,
                family=source.family,
                architecture=source.architecture,
                train=None if trained is None else int(trained[k]),
                validation=None if validated is None else int(validated[k]),
                test=None if tested is None else int(tested[k]),
            )
            for k, source in enumerate(sources)
        ],
        shortcut=dataset.shortcut,
        commit=dataset.identity.commit,
    )
