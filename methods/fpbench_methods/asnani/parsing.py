"""Training the parsing network: which design choices made an image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fpbench.compute.inference import ArrayOnDevice, predict
from fpbench.compute.training import train
from fpbench.compute.training_plan import TrainingPlan
from fpbench.images import ImageSet
from fpbench.method import FitContext
from fpbench_methods.asnani.design import UNKNOWN, DesignTable
from fpbench_methods.asnani.estimation import PARSING_WEIGHTS, constraints
from fpbench_methods.asnani.heads import ParsingPair
from fpbench_methods.asnani.preparation import standardised
from fpbench_methods.bases.crops import random_crops, tiled

if TYPE_CHECKING:
    from numpy.typing import NDArray


def balanced_weights(targets: NDArray[np.int64], classes: int) -> Tensor:
    """Weights ``n / (C n_c)`` of classes, so that all weigh the same; 0 for one without images.

    >>> balanced_weights(np.array([0, 0, 0, 1, -1]), 2).tolist()
    [0.6666666865348816, 2.0]
    """
    counts = np.bincount(targets[targets != UNKNOWN], minlength=classes)
    weights = counts.sum() / (classes * np.maximum(counts, 1)) * (counts > 0)
    return torch.tensor(weights, dtype=torch.float32)


def parsing_loss(logits: Tensor, targets: Tensor, weights: list[Tensor]) -> Tensor:
    """Sum over attributes of the class-weighted cross-entropy; unknown values count nothing.

    Args:
        logits: Of all attributes side by side, (B, sum of classes).
        targets: Classes (B, A), -1 where unknown.
        weights: A vectors of class weights, whose lengths are the numbers of classes.
    """
    total = logits.new_zeros((), dtype=torch.float32)
    start = 0
    for column, weight in enumerate(weights):
        part = logits[:, start : start + len(weight)].float()
        start += len(weight)
        known = targets[:, column] != UNKNOWN
        if bool(known.any()):
            total = total + functional.cross_entropy(
                part[known], targets[known, column], weight=weight.to(part.device)
            )
    return total


def train_parser(
    pair: ParsingPair,
    plan: TrainingPlan,
    table: DesignTable,
    images: ImageSet,
    validation: ImageSet,
    context: FitContext,
    *,
    batch_max: bool,
    fixed_window: bool,
    crop: int | None = None,
) -> None:
    """Train estimation and parsing networks end to end, in place.

    Images of sources that state no design choice, e.g. real ones, take no part.

    Args:
        pair: The networks.
        plan: How long and how.
        table: The classes.
        images: Labelled training images.
        validation: Labelled images that choose the best epoch.
        context: Seed, device and progress.
        batch_max: See `fpbench_methods.asnani.estimation.constraints`.
        fixed_window: See there.
        crop: Side of the random crops that are shown, and of four of each validation image; None
            for whole images.
    """
    order = pair.head.order
    targets = table.classes_of(images.sources, order)[images.labels]
    kept = np.flatnonzero((targets != UNKNOWN).any(axis=1))
    weights = [
        balanced_weights(targets[:, column], table.classes[attribute])
        for column, attribute in enumerate(order)
    ]
    stored = ArrayOnDevice(images.pixels[kept], context.device)
    truth = torch.from_numpy(targets[kept]).to(context.device)

    def loss(batch: Tensor) -> Tensor:
        shown = stored[batch] if crop is None else random_crops(stored[batch], crop)
        fingerprints = pair.estimation(standardised(shown))
        task = parsing_loss(pair.head(fingerprints), truth[batch.to(context.device)], weights)
        terms = constraints(fingerprints, batch_max=batch_max, fixed_window=fixed_window)
        return PARSING_WEIGHTS.task * task + terms.weighted(PARSING_WEIGHTS)

    held_targets = table.classes_of(validation.sources, order)[validation.labels]
    held = np.flatnonzero((held_targets != UNKNOWN).any(axis=1))
    held_truth = torch.from_numpy(held_targets[held])
    held_pixels = validation.pixels[held]
    if crop is not None and len(held):
        held_pixels, corners = tiled(held_pixels, crop, 2)
        held_truth = held_truth.repeat_interleave(len(corners), dim=0)

    def validate() -> float:
        logits = predict(pair, held_pixels, prepare=standardised, device=context.device)
        return float(parsing_loss(torch.from_numpy(logits), held_truth, weights))

    train(
        pair,
        plan,
        loss,
        examples=len(kept),
        validate=validate if len(held) else None,
        crop=crop,
        guess=sum(math.log(len(weight)) for weight in weights),
        seed=context.seed,
        device=context.device,
        what="train asnani:parsing",
        progress=context.progress,
    )


def split_attributes(
    logits: NDArray[np.float32], order: list[str], classes: Mapping[str, int]
) -> dict[str, NDArray[np.float32]]:
    """Logits of all attributes side by side, taken apart by attribute."""
    ends = np.cumsum([classes[attribute] for attribute in order])
    return dict(zip(order, np.split(logits, ends[:-1], axis=1), strict=True))
