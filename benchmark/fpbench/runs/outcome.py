"""What a method gives for one job: run it, check what it returns, keep the arrays."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpbench.compute.shared import SHARED
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method
from fpbench.metrics.bags import draw_bags
from fpbench.metrics.score import NotComputable
from fpbench.runs.folds import Splits

BAG_SIZES = (10, 100)
BAGS_PER_SOURCE = 100


class InvalidOutput(Exception):
    """A method returned something that breaks its contract."""


@dataclass(frozen=True)
class BagOutput:
    """Judgements of a method that reads bags.

    Attributes:
        size: Images per bag.
        members: int64 of shape (B, size), indices of test images.
        labels: int64 of shape (B,), the source of each bag.
        proba: float32 of shape (B, K).
    """

    size: int
    members: NDArray[np.int64]
    labels: NDArray[np.int64]
    proba: NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """The arrays one job yields, in the order of the test set.

    Attributes:
        proba: float32 of shape (N, K), the scored probabilities.
        probe_proba: float32 of shape (N, K), those of the common probe on the embeddings.
        own_classifier: Whether `proba` are the method's own; else they are the probe's.
        test_embeddings: float32 of shape (N, D).
        train_embeddings: float32 of shape (M, D).
        bags: Judgements of bags, for methods that make them.
        fit_seconds: Time of fit, as if the job had run alone: wall time plus what other jobs'
            shared values have saved.
        inference_seconds: Time of judging the test images, likewise.
        parameters: Learned parameters, where the method says.
    """

    proba: NDArray[np.float32]
    probe_proba: NDArray[np.float32]
    own_classifier: bool
    test_embeddings: NDArray[np.float32]
    train_embeddings: NDArray[np.float32]
    fit_seconds: float
    inference_seconds: float
    parameters: int | None
    bags: Sequence[BagOutput] = field(default=())


def build_method(cls: type[Method], variant: str, params: Mapping[str, Any]) -> Method:
    """An unfitted method: the variant's parameters, then the user's on top."""
    return cls.make(variant, params)


def shuffled(images: ImageSet, seed: int) -> ImageSet:
    """The same images under shuffled labels: the null control."""
    return images.with_labels(np.random.default_rng(seed).permutation(images.labels))


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


class _Stopwatch:
    """Wall time of laps, with the time added that values shared with other jobs have saved."""

    def __init__(self) -> None:
        SHARED.take_saved()
        self._started = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap began; begins the next one."""
        now = time.perf_counter()
        seconds = now - self._started + SHARED.take_saved()
        self._started = now
        return seconds


def run_method(
    method: Method,
    splits: Splits,
    context: FitContext,
    *,
    shuffle_labels: bool = False,
    bag_sizes: Sequence[int] = BAG_SIZES,
) -> Outcome:
    """Fit a method and let it judge the test images.

    The test images are shown without labels, ids or order, so nothing but their pixels can tell
    their source.

    Raises:
        InvalidOutput: If what the method returns breaks its contract.
        MethodDeclined: If the method cannot be had here.
    """
    from fpbench.compute.probe import Probe

    train, validation = splits.train, splits.validation
    if shuffle_labels:
        train, validation = shuffled(train, context.seed), shuffled(validation, context.seed + 1)
    stopwatch = _Stopwatch()
    method.fit(train, reference=splits.reference, validation=validation, context=context)
    fit_seconds = stopwatch.lap()

    test = splits.test
    classes = len(train.sources)
    order = np.random.default_rng(context.seed).permutation(len(test))
    back = np.argsort(order)
    shown = test.select(order).unlabelled()

    context.progress("embed", 0, 3)
    stopwatch.lap()
    embedded = check_embeddings("embed", method.embed(shown), len(shown))[back]
    embed_seconds = stopwatch.lap()
    context.progress("embed", 1, 3)
    train_embedded = check_embeddings("embed", method.embed(train.unlabelled()), len(train))
    context.progress("embed", 2, 3)
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

    probe = Probe().fit(
        train_embedded,
        train.labels,
        validation_embedded,
        validation.labels,
        classes=classes,
        seed=context.seed,
        device=context.device,
    )
    stopwatch.lap()
    probe_proba = check_proba("the probe", probe.predict_proba(embedded), len(test), classes)
    inference_seconds = embed_seconds + stopwatch.lap()

    proba = probe_proba
    own = method.implements("predict_proba")
    if own:
        given = check_proba("predict_proba", method.predict_proba(shown), len(shown), classes)
        inference_seconds = stopwatch.lap()
        proba = given[back]

    bags: list[BagOutput] = []
    if method.implements("predict_proba_bags"):
        for size in bag_sizes:
            rng = np.random.default_rng(context.seed)
            try:
                members = draw_bags(test.labels, size, BAGS_PER_SOURCE, rng)
            except NotComputable:
                # A source has fewer images than a bag holds; the score says so.
                continue
            owners = test.labels[members[:, 0]]
            judged = check_proba(
                "predict_proba_bags",
                method.predict_proba_bags(shown, list(back[members])),
                len(members),
                classes,
            )
            bags.append(BagOutput(size, members, owners, judged))
    return Outcome(
        proba=proba,
        probe_proba=probe_proba,
        own_classifier=own,
        test_embeddings=embedded,
        train_embeddings=train_embedded,
        fit_seconds=fit_seconds,
        inference_seconds=inference_seconds,
        parameters=method.parameter_count(),
        bags=tuple(bags),
    )
