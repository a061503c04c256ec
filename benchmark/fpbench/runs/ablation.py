"""Ablations: one thing varied over ordinary jobs, read back as a table and a curve."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from fpbench import registry
from fpbench.datasets.dataset import GMDataset
from fpbench.documents import Document
from fpbench.errors import BadInput, suggest
from fpbench.files import write_text, writing_file
from fpbench.method import BUDGETS, Budget
from fpbench.metrics.runs import combine
from fpbench.metrics.score import Score
from fpbench.runs import fingerprintbags
from fpbench.runs.job import CLOSED_SET, Job, Limits
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.plugins import protocol_named
from fpbench.runs.record import Record
from fpbench.runs.rescoring import evidence_of, scoring_settings
from fpbench.runs.store import Store
from fpbench.scores.bags import bag_accuracy
from fpbench.scores.catalogue import bounds

SCHEMA_VERSION = 1

Varied = Literal["bag-size", "bags-per-source", "train-images", "reference-size", "k", "budget"]
VARIED: tuple[Varied, ...] = (
    "bag-size",
    "bags-per-source",
    "train-images",
    "reference-size",
    "k",
    "budget",
)

BAG_SIZES = (1, 5, 10, 25, 50, 100, 300)
_NEIGHBOURS = (1, 2, 5, 10, 20)
_LEAST_IMAGES = {"train-images": 10, "reference-size": 50}
BAG_ACCURACY = "accuracy_bag"
"""Key of the score of bags in an ablation of their size."""

_OF_THE_KIND = {
    BAG_ACCURACY: "accuracy",
    fingerprintbags.ACCURACY: "accuracy",
    fingerprintbags.AUC: "auc",
}
"""Scores that only ablations have, to the score whose range is theirs."""

_USUAL_SCORES = {
    "bag-size": (BAG_ACCURACY,),
    "bags-per-source": ("decorrelation_margin", fingerprintbags.ACCURACY),
}

MOST_VALUES = 100
"""Values of one ablation; a curve has no use for more."""

MOST_BAGS = 10_000
"""Bags of a source; each is embedded and kept while the job runs."""

_LONGEST = 60  # characters of a value in a message

Value = int | str


@dataclass(frozen=True)
class Point:
    """One value of what is varied.

    Attributes:
        value: The value.
        jobs: One job a seed. Sizes and numbers of bags share their jobs.
    """

    value: Value
    jobs: tuple[Job, ...]


class AblationRow(Document):
    """One score at one value of what is varied, over all seeds."""

    value: int | str = Field(description="Value of what is varied.")
    score: str = Field(description="Key of the score.")
    mean: float | None = Field(description="Mean over seeds, or null where there is none.")
    ci_low: float | None = Field(description="Lower end of the 95 % interval.")
    ci_high: float | None = Field(description="Upper end of the 95 % interval.")
    chance: float | None = Field(description="Its value for a blind guess.")
    n: int = Field(description="Distinct test images that it rests on.")
    images: int | None = Field(
        default=None,
        description="Distinct training images behind the fingerprint of a source, at the least; "
        "null unless numbers of bags are varied.",
    )
    seeds: int = Field(description="Seeds.")
    reason: str | None = Field(description="Why the mean is null.")
    jobs: list[str] = Field(description="Jobs that it was read from.")


class Ablation(Document):
    """A whole ablation."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this format.")
    method: str = Field(description="Method and variant.")
    dataset: str = Field(description="Name of the dataset.")
    content_hash: str = Field(description="Hash of its content.")
    varied: Varied = Field(description="What is varied.")
    budget: str = Field(description="Training length, where that is not what is varied.")
    bag_size: int | None = Field(
        default=None, description="Images in a bag, where numbers of bags are varied."
    )
    rows: list[AblationRow]


def default_values(varied: Varied, dataset: GMDataset) -> tuple[Value, ...]:
    """Values that suit a dataset: those of the papers, or doublings up to all images there are.

    Args:
        varied: What is varied.
        dataset: The dataset.
    """
    if varied == "bag-size":
        fewest = int(np.bincount(dataset.test.labels).min())
        return tuple(size for size in BAG_SIZES if size <= fewest)
    if varied == "bags-per-source":
        return fingerprintbags.BAG_NUMBERS
    if varied == "k":
        return _NEIGHBOURS
    if varied == "budget":
        return BUDGETS[:2]
    available = available_images(varied, dataset)
    steps: list[Value] = []
    size = _LEAST_IMAGES[varied]
    while size < available:
        steps.append(size)
        size *= 2
    return (*steps, available)


def available_images(varied: Varied, dataset: GMDataset) -> int:
    """Reference images, or training images of the source with the fewest."""
    if varied == "reference-size":
        return len(dataset.reference)
    return int(np.bincount(dataset.train.labels, minlength=len(dataset.sources)).min())


def usual_scores(varied: Varied) -> tuple[str, ...]:
    """Scores to follow where none is named.

    >>> usual_scores("k"), usual_scores("bag-size")
    (('accuracy',), ('accuracy_bag',))
    """
    return _USUAL_SCORES.get(varied, ("accuracy",))


def range_of(key: str) -> tuple[float, float]:
    """Range of a score that an ablation can follow.

    >>> range_of("accuracy_bag"), range_of("fdr")
    ((0.0, 1.0), (0.0, inf))
    """
    return bounds(_OF_THE_KIND.get(key, key))


def check_scores(varied: Varied, keys: Sequence[str]) -> None:
    """Check the keys asked for, before any job runs.

    Raises:
        BadInput: If one is no score that the ablation can follow, with those that it can.
    """
    known: tuple[str, ...] = _USUAL_SCORES["bag-size"]
    if varied == "bags-per-source":
        known = fingerprintbags.SCORES
    elif varied != "bag-size":
        known = tuple(score.key for score in protocol_named(CLOSED_SET).definitions)
    for key in keys:
        if key not in known:
            raise BadInput(f"--vary {varied} has no score {key!r}. {suggest(key, known)}")


def parse_values(varied: Varied, text: str) -> tuple[Value, ...]:
    """Values written as ``1,5,10``, in ascending order, each once.

    Raises:
        BadInput: If one is no positive integer, no budget or too large, or there are too many.

    >>> parse_values("bag-size", "10, 1,10"), parse_values("budget", "small,smoke")
    ((1, 10), ('smoke', 'small'))
    """
    words = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if varied == "budget":
        check_values(varied, words or [""])
        return tuple(budget for budget in BUDGETS if budget in words)
    if not words or not all(w.isascii() and w.isdecimal() and len(w) < 8 for w in words):
        raise BadInput(f"--values {_shown(text)} must be positive integers such as 1,5,10.")
    values = tuple(sorted({int(word) for word in words}))
    check_values(varied, values)
    return values


def check_values(varied: Varied, values: Sequence[Value]) -> None:
    """Check values of what is varied, before any job runs.

    Raises:
        BadInput: If there are none or too many, or one is no positive integer, no budget or too
            large.
    """
    if not 1 <= len(values) <= MOST_VALUES:
        raise BadInput(f"{len(values)} values are given; from 1 to {MOST_VALUES} can be varied.")
    for value in values:
        if varied == "budget":
            if value not in BUDGETS:
                raise BadInput(f"{value!r} is no budget; use {', '.join(BUDGETS)}.")
        elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise BadInput(f"{value!r} must be a positive integer such as 1, 5 or 10.")
        elif varied == "bags-per-source" and value > MOST_BAGS:
            raise BadInput(f"{value}: at most {MOST_BAGS} bags of a source are made.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def plan_ablation(
    method: str,
    location: str,
    dataset: GMDataset,
    varied: Varied,
    values: Sequence[Value],
    *,
    seeds: Sequence[int] = (0,),
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    bag_size: int = fingerprintbags.BAG_SIZE,
) -> list[Point]:
    """The jobs of an ablation: ordinary ones, found again by any other run of the same store.

    A value that limits nothing gives the job that `fpbench run` makes. Bags of all sizes are
    made from one job a seed; of a method that judges bags itself, that job judges them all.
    Fingerprints of all numbers of bags come from one job a seed, too.

    Args:
        method: ``NAME`` or ``NAME:VARIANT``.
        location: What the dataset is loaded by.
        dataset: The dataset.
        varied: What is varied.
        values: Its values.
        seeds: Seeds.
        budget: Training length, unless that is varied.
        params: Constructor arguments of the method.
        bag_size: Images in a bag, where numbers of bags are varied.

    Raises:
        BadInput: If the method or a parameter is unknown, a value is none that can be varied, or
            there are too few images.
    """
    check_values(varied, values)
    cls, _ = registry.resolve_method(method)
    base, _ = registry.split_variant(method)
    if varied == "k" and "k" not in cls.parameters():
        known = ", ".join(cls.parameters()) or "none"
        raise BadInput(f"Method {base!r} has no parameter 'k' to vary; its parameters: {known}.")

    side = one_side(location, dataset.identity)

    def jobs(length: Budget = budget, limits: Limits | None = None, **more: Any) -> tuple[Job, ...]:
        chosen = {**(params or {}), **more}
        return tuple(
            make_plan(
                [method],
                [(side, side)],
                seeds=seeds,
                budget=length,
                params=chosen,
                limits=limits,
            )
        )

    if varied == "bag-size":
        sizes = tuple(int(value) for value in values)
        judges = cls.implements("predict_proba_bags")
        shared = jobs(limits=Limits(bag_sizes=sizes) if judges else None)
        return [Point(value, shared) for value in values]
    if varied == "bags-per-source":
        fewest = available_images("train-images", dataset)
        if not 1 <= bag_size <= fewest:
            raise BadInput(
                f"Bags of {bag_size} training images are not possible on "
                f"{dataset.identity.name}; there are {fewest} of a source."
            )
        numbers = tuple(int(value) for value in values)
        shared = jobs(limits=Limits(fingerprint_bags=numbers, fingerprint_bag_size=bag_size))
        return [Point(value, shared) for value in values]
    if varied == "k":
        return [Point(value, jobs(k=value)) for value in values]
    if varied == "budget":
        return [Point(value, jobs(_as_budget(value))) for value in values]
    available = available_images(varied, dataset)
    points = []
    for value in values:
        if int(value) > available:
            raise BadInput(
                f"--vary {varied} cannot reach {value} on {dataset.identity.name}; there are "
                f"{available}."
            )
        limit = None if int(value) == available else int(value)
        limits = (
            Limits(train_images=limit)
            if varied == "train-images"
            else Limits(reference_images=limit)
        )
        points.append(Point(value, jobs(limits=limits)))
    return points


def collect_ablation(
    points: Sequence[Point], varied: Varied, store: Store, scores: Sequence[str]
) -> list[AblationRow]:
    """Rows of an ablation from finished jobs of the store.

    Args:
        points: Of `plan_ablation`.
        varied: What is varied.
        store: Where the jobs lie.
        scores: Keys to read, or none for `usual_scores`; of bag sizes the score is that of
            bags, of numbers of bags those of `fingerprintbags.SCORES`.

    Raises:
        BadInput: If a job is not finished, or a key is unknown.
    """
    if varied == "bag-size" or not scores:
        scores = usual_scores(varied)
    records: dict[str, Record] = {}
    for spec in {spec.key: spec for point in points for spec in point.jobs}.values():
        record = store.find(spec)
        if record is None:
            raise BadInput(f"The job {spec.title} is not finished, so there is no curve.")
        records[spec.key] = record
    rows = []
    for point in points:
        images, parts = None, []
        for spec in point.jobs:
            if varied == "bag-size":
                parts.append({BAG_ACCURACY: _of_bags(records[spec.key], int(point.value), store)})
            elif varied == "bags-per-source":
                of_bags = fingerprintbags.read_fingerprint_bags(
                    store.folder(spec), int(point.value)
                )
                images = min(of_bags.images, images or of_bags.images)
                parts.append(fingerprintbags.fingerprint_scores(of_bags, spec.seed))
            else:
                parts.append(records[spec.key].score_values)
        for key in scores:
            found = [_chosen(part, key) for part in parts]
            lower, upper = range_of(key)
            both = combine([found], lower=lower, upper=upper)
            rows.append(
                AblationRow(
                    value=point.value,
                    score=key,
                    mean=both.value,
                    ci_low=both.ci_low,
                    ci_high=both.ci_high,
                    chance=both.chance,
                    n=both.n,
                    images=images,
                    seeds=len(point.jobs),
                    reason=both.reason,
                    jobs=[spec.key for spec in point.jobs],
                )
            )
    return rows


def ablation_of(
    points: Sequence[Point], varied: Varied, store: Store, scores: Sequence[str], bag_size: int
) -> Ablation:
    """The whole ablation from finished jobs, with its table and curve written beside them.

    Args:
        points: Of `plan_ablation`.
        varied: What is varied.
        store: Where the jobs lie.
        scores: As for `collect_ablation`.
        bag_size: Images in a bag, where numbers of bags are varied.

    Raises:
        BadInput: As `collect_ablation`.
    """
    first = points[0].jobs[0]
    ablation = Ablation(
        method=f"{first.method}:{first.variant}",
        dataset=first.test.name,
        content_hash=first.test.content_hash,
        varied=varied,
        budget=first.budget,
        bag_size=bag_size if varied == "bags-per-source" else None,
        rows=collect_ablation(points, varied, store, scores),
    )
    write_ablation(ablation_folder(store, points, varied), ablation)
    return ablation


def write_ablation(folder: Path, ablation: Ablation) -> tuple[Path, Path, Path]:
    """Write ``ablation.json``, ``ablation.csv`` and ``curve.png`` into a folder.

    Returns:
        Their paths.
    """
    from fpbench.plots.curve import Curve, plot_curves

    table = io.StringIO()
    names = [name for name in AblationRow.model_fields if name != "jobs"]
    writer = csv.DictWriter(table, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump() for row in ablation.rows)
    curves = {}
    for key in dict.fromkeys(row.score for row in ablation.rows):
        rows = [row for row in ablation.rows if row.score == key]
        curves[key] = Curve(
            [row.value for row in rows],
            [row.mean for row in rows],
            [row.ci_low for row in rows],
            [row.ci_high for row in rows],
            [row.chance for row in rows],
        )
    document = ablation.json_text()
    paths = folder / "ablation.json", folder / "ablation.csv", folder / "curve.png"
    write_text(paths[0], document)
    write_text(paths[1], table.getvalue())
    with writing_file(paths[2]) as path:
        plot_curves(
            path, curves, f"{ablation.method} on {ablation.dataset}, 95 % intervals",
            ablation.varied, "score",
        )  # fmt: skip
    return paths


def ablation_folder(store: Store, points: Sequence[Point], varied: Varied) -> Path:
    """Where the table goes: beside the jobs' folders, never mistaken for one of them."""
    spec = points[0].jobs[0]
    name = f"{spec.method}-{spec.variant}-{varied}"
    if varied != "budget" and spec.budget != "small":
        name += f"-{spec.budget}"
    size = spec.limits.fingerprint_bag_size
    if size is not None and size != fingerprintbags.BAG_SIZE:
        name += f"-of-{size}"
    return store.root / "ablations" / store.folder(spec).parents[1].name / name


def _as_budget(value: Value) -> Budget:
    return next(budget for budget in BUDGETS if budget == value)


def _chosen(scores: Mapping[str, Score], key: str) -> Score:
    if key not in scores:
        raise BadInput(f"There is no score {key!r}; there are {', '.join(scores)}.")
    return scores[key]


def _of_bags(record: Record, size: int, store: Store) -> Score:
    """Accuracy on bags of one size, by the method's own judgement where it makes one."""
    evidence, labels = evidence_of(record, store.folder(record.job))
    cls = registry.method_class(record.job.method).variant_class(record.job.variant)
    judges = cls.implements("predict_proba_bags")
    return bag_accuracy(evidence, labels, scoring_settings(record), size, judges_bags=judges)
