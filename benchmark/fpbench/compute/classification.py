"""Training a network to name the class of each row."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpbench.compute.inference import ArrayOnDevice, predict, unit_range
from fpbench.compute.training import TrainingLog, Validation, train
from fpbench.compute.training_plan import TrainingPlan
from fpbench.method import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray


def train_classifier(
    network: nn.Module,
    plan: TrainingPlan,
    array: NDArray[Any],
    labels: NDArray[np.int64],
    *,
    validation: tuple[NDArray[Any], NDArray[np.int64]] | None = None,
    prepare: Callable[[Tensor], Tensor] = unit_range,
    augment: Callable[[Tensor], Tensor] | None = None,
    penalty: Callable[[], Tensor] | None = None,
    objective: Callable[[Tensor, Tensor], Tensor] | None = None,
    watch: Literal["cross_entropy", "error"] = "cross_entropy",
    crop: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    what: str = "training",
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> TrainingLog:
    """Train a network whose outputs are logits (B, K), with cross-entropy unless told otherwise.

    Args:
        network: Trained in place, left in evaluation mode with its best weights.
        plan: How long and how.
        array: Shape (N, ...); images as uint8 (N, H, W, C), which reach `augment` as
            (B, C, H, W).
        labels: Integers of shape (N,) from 0 to K - 1.
        validation: Rows and labels that early stopping watches, or None.
        prepare: From a batch as stored to the network's input.
        augment: Applied to stored training batches before `prepare`; its randomness must come
            from torch's global generator.
        penalty: A term added to the loss, e.g. an L1 norm of weights.
        objective: Instead of the cross-entropy of the network's outputs, from prepared inputs
            (B, ...) and labels (B,) to a scalar loss, e.g. one with terms for inner layers or
            a second player. The validation stays that of `watch`.
        watch: What is compared between epochs: the validation's cross-entropy or its share of
            wrongly named rows.
        crop: Side of the random crops that `augment` takes, for the record.
        seed: Everything random derives from it.
        device: A torch device string.
        what: What to call this training in progress reports and messages.
        progress: Called as ``progress(what, done, total)`` in units of steps.
        checkpoint: A file to write after each epoch and to resume from, or None.

    Returns:
        What happened.

    Raises:
        TrainingDiverged: If the loss becomes infinite or not a number.
        ValueError: If rows and labels do not fit together.
        BadInput: If `checkpoint` is of another training.
    """
    _check_labels("training", array, labels)
    if validation is not None:
        _check_labels("validation", *validation)
    inputs = ArrayOnDevice(array, device)
    targets = torch.from_numpy(np.array(labels, np.int64)).to(device)

    def loss(batch: Tensor) -> Tensor:
        stored = inputs[batch]
        if augment is not None:
            stored = augment(stored)
        inputs_here, labels_here = prepare(stored), targets[batch.to(device)]
        if objective is not None:
            value = objective(inputs_here, labels_here)
        else:
            value = F.cross_entropy(network(inputs_here).float(), labels_here)
        return value if penalty is None else value + penalty()

    def forward(batch: Tensor) -> Tensor:
        stored = inputs[batch]
        logits: Tensor = network(prepare(stored if augment is None else augment(stored)))
        return logits

    validate: Callable[[], float | Validation] | None = None
    guess: float | None = None
    if validation is not None:
        held_out = ArrayOnDevice(validation[0], device)
        truth = torch.from_numpy(np.array(validation[1], np.int64))

        guess = math.log(max(1, len(np.unique(labels))))

        def validate() -> float | Validation:
            logits = torch.from_numpy(
                predict(
                    network,
                    held_out,
                    batch=_judged_at_once(max(plan.batch, 64), validation[0]),
                    prepare=prepare,
                    device=device,
                    precision=plan.precision,
                )
            )
            loss = float(F.cross_entropy(logits, truth))
            if watch == "error":
                return Validation(float((logits.argmax(1) != truth).float().mean()), loss)
            return loss

    return train(
        network,
        plan,
        loss,
        examples=len(array),
        validate=validate,
        forward=forward,
        guess=guess,
        crop=crop,
        seed=seed,
        device=device,
        what=what,
        progress=progress,
        checkpoint=checkpoint,
    )


def _judged_at_once(batch: int, rows: NDArray[Any]) -> int:
    """So many rows at a time, fewer where they are larger than 64×64 images."""
    if rows.ndim < 4:
        return batch
    area = int(rows.shape[1]) * int(rows.shape[2])
    return max(1, min(batch, batch * 64 * 64 // area))


def _check_labels(which: str, rows: NDArray[Any], labels: NDArray[np.int64]) -> None:
    integers = np.issubdtype(np.asarray(labels).dtype, np.integer)
    if np.shape(labels) != (len(rows),) or not integers:
        raise ValueError(
            f"{len(rows)} {which} rows need as many integer labels, "
            f"not {np.asarray(labels).dtype} of shape {np.shape(labels)}"
        )
