"""``robustness``: fitted once on clean images, judged on perturbed ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpbench.compute.perturbations import (
    PERTURBATIONS,
    SMALLEST,
    TABLE,
    VERSION,
    Strength,
    perturb_at_random,
)
from fpbench.datasets.cache import cached_array
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import FitContext
from fpbench.runs.figures import draw_each
from fpbench.runs.job import Job
from fpbench.runs.judge import Fitted, NullControl, Stopwatch, answering, shown_order
from fpbench.runs.protocols.base import Drawable, Load, Prepared, Protocol, describe_dataset
from fpbench.runs.record import Record
from fpbench.runs.splits import limit_splits, splits_of_job
from fpbench.scores.attribution import ACCURACY
from fpbench.scores.catalogue import FAMILIES
from fpbench.scores.evidence import Outcome, ScoringSettings
from fpbench.scores.robustness import AT_STRENGTH, PERTURBED

KEPT = 8 << 30
"""Bytes of perturbed images of one test set that are kept for other jobs; of a larger one each job
makes its own, some at a time."""

_BATCH = 256 << 20  # bytes of images that a method is shown at a time


class Robustness(Protocol):
    """Is the source still named once an image was compressed, resized, blurred, posted again?

    Test images, real ones too, are perturbed by every strength of
    `fpbench.compute.perturbations.TABLE`; nothing is fitted again. With the limit ``augment``
    training and validation images are perturbed at random by the same table.
    """

    name = "robustness"
    families = (FAMILIES["robustness"],)
    limits = frozenset({"train_images", "reference_images", "augment"})

    def prepare(self, job: Job, load: Load) -> Prepared:
        """The dataset's own splits or those of one fold; training images augmented if asked.

        Raises:
            BadInput: If images are too small to be cropped and resized.
        """
        dataset = load(job.test)
        splits = limit_splits(
            splits_of_job(dataset, job),
            job.limits.train_images,
            job.limits.reference_images,
            job.seed,
        )
        height, width = splits.test.size
        if min(height, width) < SMALLEST:
            raise BadInput(
                f"{job.test.title} has images of {height}x{width}; robustness needs at least "
                f"{SMALLEST} pixels a side, as crops and resizes leave nothing of smaller ones."
            )
        if job.limits.augment:
            splits = replace(
                splits,
                train=_augmented(splits.train, job),
                validation=_augmented(splits.validation, job),
            )
        return Prepared(
            splits,
            ScoringSettings(job.seed),
            None,
            describe_dataset(dataset, splits),
        )

    def judge(self, fitted: Fitted, prepared: Prepared, context: FitContext, job: Job) -> Outcome:
        """Ask for probabilities of the clean test images, and at every strength."""
        splits, method = prepared.splits, fitted.method
        test = splits.test
        ask = answering(fitted, splits, context, null=NullControl.of(job))
        classes = len(splits.train.sources)
        parts = list(_parts(test, context.seed))
        stopwatch = Stopwatch()
        clean = np.empty((len(test), classes), np.float32)
        for part in parts:
            clean[part] = ask(ImageSet(test.pixels[part]))
        seconds = stopwatch.lap()
        perturbed = np.empty((len(TABLE), len(test), classes), np.float32)
        for index, strength in enumerate(TABLE):
            context.progress("perturbed images", index, len(TABLE))
            kept = _kept(test, strength, job)
            for part in parts:
                pixels = strength.apply(test.pixels[part]) if kept is None else kept[part]
                perturbed[index, part] = ask(ImageSet(pixels))
        context.progress("perturbed images", len(TABLE), len(TABLE))
        nothing = np.empty((0, 0), np.float32)
        return Outcome(
            proba=clean,
            probe_proba=clean,
            own_classifier=method.implements("predict_proba"),
            test_embeddings=nothing,
            train_embeddings=nothing,
            train_labels=splits.train.labels,
            fit_seconds=fitted.seconds,
            inference_seconds=seconds,
            parameters=method.parameter_count(),
            arrays={PERTURBED: perturbed},
        )

    def remarks(self, record: Record) -> list[str]:
        """Accuracy at each strength, one line a perturbation, and what is left of the clean one."""
        clean = record.scores[ACCURACY.key].value
        values = [record.scores[score.key].value for score in AT_STRENGTH]
        if clean is None or any(value is None for value in values):
            return []
        lines = ["accuracy at each strength, weak to strong; mean, and its share of the clean one"]
        for name, own in PERTURBATIONS.items():
            cells = [f"{TABLE[k].strength:>4} {values[k]:.3f}" for k in own]
            mean = float(np.mean([values[k] for k in own]))
            left = f"{mean / clean:.0%}" if clean else ""
            lines.append(f"{name:<8}{'  '.join(cells):<60}mean {mean:.3f} {left:>5}")
        return lines

    def draw(self, folder: Path, drawable: Drawable) -> list[str]:
        """Curves of accuracy against strength with bands, one panel a perturbation."""
        from fpbench.plots.curve import Curve, plot_panels

        scores = drawable.scores
        panels = {}
        for name, own in PERTURBATIONS.items():
            found = [scores[ACCURACY.key], *(scores[AT_STRENGTH[k].key] for k in own)]
            panels[name] = Curve(
                ["clean", *(TABLE[k].strength or name for k in own)],
                [score.value for score in found],
                [score.ci_low for score in found],
                [score.ci_high for score in found],
                [score.chance for score in found],
            )
        title = f"Accuracy of perturbed images, 95 % intervals\n{drawable.job.title}"
        return draw_each(
            folder, {"robustness": lambda path: plot_panels(path, panels, title, "accuracy")}
        )


def _parts(test: ImageSet, seed: int) -> Iterator[NDArray[np.int64]]:
    """Positions of test images in the order in which they are shown, some at a time."""
    order = shown_order(len(test), seed)
    each = max(1, _BATCH // max(1, test.pixels[:1].nbytes))
    for start in range(0, len(order), each):
        yield order[start : start + each]


def _kept(test: ImageSet, strength: Strength, job: Job) -> NDArray[np.uint8] | None:
    """The test images at one strength, made once for all jobs; None where that takes much room."""
    if test.pixels.nbytes * len(TABLE) > KEPT:
        return None
    return cached_array(
        _place(test, job, strength.key), test.pixels.shape, lambda: strength.apply(test.pixels)
    )


def _augmented(images: ImageSet, job: Job) -> ImageSet:
    """The same images, each perturbed with probability ½, as the job's seed draws it."""
    pixels = cached_array(
        _place(images, job, f"augmented-{job.seed}"),
        images.pixels.shape,
        lambda: perturb_at_random(images.pixels, job.seed),
    )
    return ImageSet(pixels, images.sources, images.labels, images.ids.tolist())


def _place(images: ImageSet, job: Job, name: str) -> Path:
    """Where images lie in the cache: by all that their pixels depend on."""
    from PIL import __version__ as pillow

    whole = f"{job.test.content_hash} {VERSION} {pillow} {images.pixels.shape}"
    digest = hashlib.sha256(whole.encode() + images.ids.tobytes()).hexdigest()[:32]
    return Path("perturbed") / digest / f"{name}.npy"
