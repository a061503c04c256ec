"""Has a method judge images: fit it, show it test images, check what it returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from fpbench.compute.shared import SHARED
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodDeclined
from fpbench.metrics.bags import draw_bags
from fpbench.metrics.score import NotComputable
from fpbench.runs.job import ALL_EPOCHS, EPOCHS, Job
from fpbench.runs.splits import Splits
from fpbench.scores.bags import BAG_SIZES
from fpbench.scores.evidence import BagOutput, BagVectors, Outcome

if TYPE_CHECKING:
    from fpbench.compute.probe import Probe

BAGS_PER_SOURCE = 100


class InvalidOutput(Exception):
    """A method returned something that breaks its contract."""


def sentence_of(error: BaseException) -> str:
    """What a record gives as the reason for an exception of a method."""
    if isinstance(error, InvalidOutput):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}), which a method must not"
    return f"{type(error).__name__}: {error}"


def build_method(cls: type[Method], variant: str, params: Mapping[str, Any]) -> Method:
    """An unfitted method: the variant's parameters, then the user's on top."""
    return cls.make(variant, params)


def shuffled(images: ImageSet, seed: int) -> ImageSet:
    """The same images under shuffled labels: the null control."""
    return images.with_labels(np.random.default_rng(seed).permutation(images.labels))


@dataclass(frozen=True)
class NullControl:
    """How far a job is one: what it is trained on tells nothing of the sources.

    Attributes:
        shuffle: Whether training and validation labels are shuffled.
        all_epochs: Whether nothing is chosen on validation images, so that every training goes to
            its last epoch. With shuffled labels the best epoch on validation images is one that
            has learned nothing and gives all images one answer, which tests nothing. Controls of
            before did choose.
    """

    shuffle: bool = False
    all_epochs: bool = False

    @classmethod
    def of(cls, job: Job) -> Self:
        """As a job asks."""
        return cls(job.control != "none", job.settings.get(EPOCHS) == ALL_EPOCHS)

    def labelled(self, splits: Splits, seed: int) -> tuple[ImageSet, ImageSet]:
        """Training and validation images under the labels that are trained on."""
        if not self.shuffle:
            return splits.train, splits.validation
        return shuffled(splits.train, seed), shuffled(splits.validation, seed + 1)


NO_CONTROL = NullControl()


def check_embeddings(name: str, values: Any, count: int) -> NDArray[np.float32]:
    """Check what `Method.embed` returned.

    Raises:
        InvalidOutput: Unless it is a finite float32 array of shape (count, D).
    """
    array = np.asarray(values)
    if array.ndim != 2 or len(array) != count:
        raise InvalidOutput(
            f"{name} returned shape {array.shape} for {count} images; it must be ({count}, D)"
        )
    if array.dtype != np.float32:
        raise InvalidOutput(f"{name} returned {array.dtype}; it must be float32")
    broken = int((~np.isfinite(array)).any(axis=1).sum())
    if broken:
        raise InvalidOutput(f"{name} returned NaN or infinity for {broken} of {count} images")
    return array


def check_proba(name: str, values: Any, count: int, classes: int) -> NDArray[np.float32]:
    """Check what `Method.predict_proba` returned.

    Raises:
        InvalidOutput: Unless rows are probabilities: shape (count, classes), finite, not
            negative, summing to 1 within 1e-3.
    """
    array = check_embeddings(name, values, count)
    if array.shape[1] != classes:
        raise InvalidOutput(f"{name} returned {array.shape[1]} columns for {classes} sources")
    if (array < 0).any() or np.abs(array.sum(axis=1) - 1).max(initial=0) > 1e-3:
        raise InvalidOutput(f"{name} returned rows that are no probabilities (sum to 1, none < 0)")
    return array


def check_unknown_scores(values: Any, count: int) -> NDArray[np.float32]:
    """Check what `Method.unknown_score` returned.

    Raises:
        InvalidOutput: Unless it is a finite float32 array of shape (count,).
    """
    array = np.asarray(values)
    if array.shape != (count,):
        raise InvalidOutput(
            f"unknown_score returned shape {array.shape} for {count} images; it must be ({count},)"
        )
    return check_embeddings("unknown_score", array[:, None], count)[:, 0]


class Stopwatch:
    """Wall time of laps, with the time added that values computed before have saved."""

    def __init__(self) -> None:
        self._began = self._started = time.perf_counter()
        self._first_saved = self._saved = SHARED.saved

    def lap(self) -> float:
        """Seconds since the last lap began; begins the next one."""
        now, saved = time.perf_counter(), SHARED.saved
        seconds = now - self._started + saved - self._saved
        self._started, self._saved = now, saved
        return seconds

    @property
    def reused(self) -> float:
        """Seconds that values computed before have saved since the start, over all laps."""
        return SHARED.saved - self._first_saved

    @property
    def total(self) -> float:
        """Seconds since the start as `lap` counts them: no sum of laps is longer."""
        return time.perf_counter() - self._began + self.reused


@dataclass(frozen=True)
class Fitted:
    """A fitted method and what its fit took."""

    method: Method
    seconds: float


def fit(
    method: Method, splits: Splits, context: FitContext, *, null: NullControl = NO_CONTROL
) -> Fitted:
    """Fit a method.

    Args:
        method: An unfitted one.
        splits: Its image sets.
        context: The circumstances.
        null: Whether it is a null control.

    Raises:
        MethodDeclined: If the method is not available here.
    """
    train, validation = null.labelled(splits, context.seed)
    if null.all_epochs:
        validation = validation.select(np.empty(0, np.int64))
    stopwatch = Stopwatch()
    method.fit(train, reference=splits.reference, validation=validation, context=context)
    return Fitted(method, stopwatch.lap())


@dataclass(frozen=True)
class Shown:
    """Test images as a method sees them: nothing but their pixels can tell their source.

    Attributes:
        images: Without labels or ids, in random order.
        back: int64 of shape (N,); ``answers[back]`` are in the order of the test set.
    """

    images: ImageSet
    back: NDArray[np.int64]


def shown_order(count: int, seed: int) -> NDArray[np.int64]:
    """The order in which test images are shown, so that their place tells nothing."""
    return np.random.default_rng(seed).permutation(count)


def show(test: ImageSet, seed: int) -> Shown:
    """Test images without labels, ids or order.

    Args:
        test: The images.
        seed: Seed of the order.
    """
    order = shown_order(len(test), seed)
    return Shown(test.select(order).unlabelled(), np.argsort(order))


def fit_probe(
    splits: Splits,
    embedded: NDArray[np.float32],
    validation_embedded: NDArray[np.float32],
    context: FitContext,
    *,
    null: NullControl = NO_CONTROL,
) -> Probe:
    """The common probe on a method's embeddings.

    Args:
        splits: For the labels.
        embedded: Embeddings of the training images, shape (M, D).
        validation_embedded: Of the validation images.
        context: For seed and device.
        null: Whether it is a null control, trained under the shuffled labels of `fit`; then,
            where nothing may be chosen on validation images, the training images decide when it
            has learned.
    """
    from fpbench.compute.probe import Probe

    train, validation = null.labelled(splits, context.seed)
    if null.all_epochs:
        validation, validation_embedded = train, embedded
    return Probe().fit(
        embedded,
        train.labels,
        validation_embedded,
        validation.labels,
        classes=len(splits.train.sources),
        seed=context.seed,
        device=context.device,
    )


Answer = Callable[[ImageSet], NDArray[np.float32]]
"""From images to checked probabilities of shape (N, K)."""


def answering(
    fitted: Fitted, splits: Splits, context: FitContext, *, null: NullControl = NO_CONTROL
) -> Answer:
    """Who answers for a method: its own probabilities, else the common probe on its embeddings.

    Args:
        fitted: The method.
        splits: Its image sets; a probe is trained on its embeddings of them.
        context: The circumstances.
        null: Whether it is a null control.

    Raises:
        InvalidOutput: If what the method returns breaks its contract; the answer raises it too.
    """
    method, classes = fitted.method, len(splits.train.sources)

    def embed(images: ImageSet) -> NDArray[np.float32]:
        return check_embeddings("embed", method.embed(images), len(images))

    if method.implements("predict_proba"):
        return lambda images: check_proba(
            "predict_proba", method.predict_proba(images), len(images), classes
        )
    trained, validated = embed(splits.train.unlabelled()), embed(splits.validation.unlabelled())
    probe = fit_probe(splits, trained, validated, context, null=null)
    return lambda images: check_proba(
        "the probe", probe.predict_proba(embed(images)), len(images), classes
    )


def judge(
    fitted: Fitted,
    splits: Splits,
    context: FitContext,
    *,
    null: NullControl = NO_CONTROL,
    bag_sizes: Sequence[int] = BAG_SIZES,
    need_probe: bool = True,
) -> Outcome:
    """Let a fitted method judge the test images, which are shown to it as `Shown`.

    Args:
        fitted: The method.
        splits: Its image sets.
        context: The circumstances.
        null: Whether it is a null control.
        bag_sizes: Sizes of the bags that a set-level classifier judges.
        need_probe: Whether the common probe is asked for, where the method has probabilities of
            its own; without it the outcome's `probe_proba` are the scored probabilities.

    Raises:
        InvalidOutput: If what the method returns breaks its contract.
    """
    method = fitted.method
    train, validation, test = splits.train, splits.validation, splits.test
    classes = len(train.sources)
    hidden = show(test, context.seed)
    shown, back = hidden.images, hidden.back

    context.progress("embed", 0, 3)
    stopwatch = Stopwatch()
    embedded = check_embeddings("embed", method.embed(shown), len(shown))[back]
    embed_seconds = stopwatch.lap()
    context.progress("embed", 1, 3)
    train_embedded = check_embeddings("embed", method.embed(train.unlabelled()), len(train))
    context.progress("embed", 2, 3)
    own = method.implements("predict_proba")
    probed = need_probe or not own
    validation_embedded = train_embedded[:0]
    if probed:
        validation_embedded = check_embeddings(
            "embed", method.embed(validation.unlabelled()), len(validation)
        )
    context.progress("embed", 3, 3)
    for name, values in (("training", train_embedded), ("validation", validation_embedded)):
        if values.shape[1] != embedded.shape[1]:
            raise InvalidOutput(
                f"embed returned {embedded.shape[1]} dimensions for test images but "
                f"{values.shape[1]} for {name} images"
            )
    probe_proba, inference_seconds = None, embed_seconds
    if probed:
        probe = fit_probe(splits, train_embedded, validation_embedded, context, null=null)
        stopwatch.lap()
        probe_proba = check_proba("the probe", probe.predict_proba(embedded), len(test), classes)
        inference_seconds += stopwatch.lap()
    proba = probe_proba
    if own:
        answered = check_proba("predict_proba", method.predict_proba(shown), len(shown), classes)
        inference_seconds = stopwatch.lap()
        proba = answered[back]
    assert proba is not None  # noqa: S101  (the probe answers where the method does not)
    return Outcome(
        proba=proba,
        probe_proba=proba if probe_proba is None else probe_proba,
        own_classifier=own,
        test_embeddings=embedded,
        train_embeddings=train_embedded,
        train_labels=train.labels,
        fit_seconds=fitted.seconds,
        inference_seconds=inference_seconds,
        parameters=method.parameter_count(),
        bags=_bags(method, test, shown, back, classes, context.seed, bag_sizes),
        bag_vectors=_bag_vectors(method, train, test, hidden, context.seed),
    )


def _bags(
    method: Method,
    test: ImageSet,
    shown: ImageSet,
    back: NDArray[np.int64],
    classes: int,
    seed: int,
    sizes: Sequence[int],
) -> tuple[BagOutput, ...]:
    """What a method that judges sets says of bags of test images, none for any other."""
    if not method.implements("predict_proba_bags"):
        return ()
    bags = []
    for size in sizes:
        rng = np.random.default_rng(seed)
        try:
            members = draw_bags(test.labels, size, BAGS_PER_SOURCE, rng)
        except NotComputable:
            # A source has fewer images than a bag holds; the score says so.
            continue
        judged = check_proba(
            "predict_proba_bags",
            method.predict_proba_bags(shown, list(back[members])),
            len(members),
            classes,
        )
        bags.append(BagOutput(size, members, test.labels[members[:, 0]], judged))
    return tuple(bags)


def _bag_vectors(
    method: Method, train: ImageSet, test: ImageSet, hidden: Shown, seed: int
) -> BagVectors | None:
    """Fingerprints of disjoint bags, or None of a method that reads images, or of fewer images.

    Every source has as many bags, so that each weighs the same.
    """
    if not method.implements("embed_bags"):
        return None
    size = BAG_SIZES[0]
    vectors: list[NDArray[np.float32]] = []
    owners: list[NDArray[np.int64]] = []
    for labels, images, place in (
        (test.labels, hidden.images, hidden.back),
        (train.labels, train.unlabelled(), np.arange(len(train))),
    ):
        number = int(np.unique(labels, return_counts=True)[1].min(initial=len(labels))) // size
        if number < 1:
            return None
        members = draw_bags(labels, size, number, np.random.default_rng([seed, 3]))
        found = method.embed_bags(images, list(place[members]))
        vectors.append(check_embeddings("embed_bags", found, len(members)))
        owners.append(labels[members[:, 0]])
    return BagVectors(size, vectors[0], owners[0], vectors[1], owners[1])


def check_size(cls: type[Method], name: str, *sets: ImageSet) -> None:
    """Refuse images that are smaller than a method can take.

    Raises:
        MethodDeclined: With the smallest side.
    """
    smallest = min(min(images.size) for images in sets)
    if smallest < cls.card.min_size:
        raise MethodDeclined(
            f"{name} needs images of at least {cls.card.min_size} pixels a side; some of these "
            f"have {smallest}."
        )
