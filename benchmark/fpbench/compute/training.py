"""The one training loop of all learned methods."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fpbench.compute.device import (
    autocast,
    chosen_precision,
    derive_seed,
    torch_generator,
)
from fpbench.compute.normalisation import renew_statistics
from fpbench.compute.optimisers import SGD, Adam, Optimiser
from fpbench.compute.training_log import TrainingLog, note_training
from fpbench.compute.training_plan import TrainingPlan
from fpbench.compute.training_state import TrainingState
from fpbench.method import Progress

__all__ = [
    "Loss",
    "Progress",
    "Sampler",
    "TrainingDiverged",
    "TrainingLog",
    "TrainingPlan",
    "Validation",
    "shuffled_batches",
    "train",
]

Loss = Callable[[Tensor], Tensor]
"""Indices of one batch of training examples (int64, on the CPU) to a scalar loss."""

Sampler = Callable[[int, torch.Generator], Iterable[Tensor]]
"""Epoch and generator to the batches of that epoch."""

_EACH = 50  # steps between looks at the loss on a GPU, where each look waits for the device


class TrainingDiverged(Exception):
    """The loss became infinite or not a number; the message says when and what to try."""


@dataclass(frozen=True)
class Validation:
    """What a validation found, where stopping watches something else than the loss.

    Attributes:
        watched: What is compared between epochs; lower is better.
        loss: The loss.
    """

    watched: float
    loss: float


def shuffled_batches(examples: int, batch: int) -> Sampler:
    """Every example once an epoch, in an order that depends on seed and epoch only.

    A last batch of a single example joins the one before it: batch normalisation has no
    variance of one.
    """

    def sample(epoch: int, generator: torch.Generator) -> Iterator[Tensor]:
        order = torch.randperm(examples, generator=generator)
        stops = list(range(batch, examples, batch))
        if batch > 1 and stops and examples - stops[-1] == 1:
            stops.pop()
        yield from torch.tensor_split(order, stops)

    return sample


def train(
    network: nn.Module,
    plan: TrainingPlan,
    loss: Loss,
    *,
    examples: int | None = None,
    sampler: Sampler | None = None,
    validate: Callable[[], float | Validation] | None = None,
    forward: Callable[[Tensor], object] | None = None,
    guess: float | None = None,
    crop: int | None = None,
    groups: Sequence[dict[str, Any]] | None = None,
    seed: int = 0,
    device: str = "cpu",
    what: str = "training",
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> TrainingLog:
    """Train a network in place, and leave it in evaluation mode with its best weights.

    The loop owns order, precision, schedule, stopping, resuming and the statistics of batch
    normalisation; what a batch means is up to `loss`, which is given the indices of one batch. On
    a CPU the result depends on the seed (and the number of threads) alone, also when training was
    interrupted and resumed. Randomness inside `loss` must come from torch's global generator,
    which is seeded anew for each epoch and restored afterwards.

    Args:
        network: The module to train; it is moved to `device`, convolutions to channels-last.
        plan: How long and how.
        loss: Indices of a batch to its scalar loss, computed with `network`.
        examples: Number of training examples, sampled by `shuffled_batches`.
        sampler: Instead of `examples`, what yields the batches of an epoch, e.g. of bags.
        validate: What early stopping watches, lower is better; called after each epoch in
            evaluation mode without gradients. Without it the last weights are kept.
        forward: Shows the network a batch of indices, for the statistics of its normalisation;
            None calls `loss` for that.
        guess: Loss of a blind answer in the validation, e.g. ln K; a training that never gets
            below it is noted as one that did not train.
        crop: Side of the random crops that `loss` takes of images, for the record.
        groups: Parameter groups for the optimiser, with rates of their own, or None for all
            parameters of `network`. Parameters must belong to `network`.
        seed: Everything random derives from it.
        device: A torch device string.
        what: What to call this training in progress reports and messages.
        progress: Called as ``progress(what, done, total)`` in units of steps.
        checkpoint: A file to write after each epoch and to resume from, or None.

    Returns:
        What happened.

    Raises:
        TrainingDiverged: If the loss or the validation is infinite or not a number.
        ValueError: If not exactly one of `examples` and `sampler` is given, or one of them
            yields nothing, or patience or plateau has nothing to watch.
        BadInput: If `checkpoint` is of another training, or cannot be read.
    """
    if (examples is None) == (sampler is None):
        raise ValueError("give either examples or a sampler")
    if validate is None and (plan.patience is not None or plan.schedule == "plateau"):
        raise ValueError("patience and the plateau schedule need something to validate")
    if sampler is None:
        if not examples:
            raise ValueError(f"{what} has no training examples")
        sampler = shuffled_batches(examples, plan.batch)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = _optimiser(network, plan, groups)
    state = TrainingState(network, optimiser, plan, seed)
    if checkpoint is not None and checkpoint.exists():
        state.read(checkpoint)
    rng_devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=rng_devices):
        while not state.finished:
            began = time.perf_counter()
            epoch = state.epoch
            torch.manual_seed(derive_seed(seed, "epoch", epoch))
            order = torch_generator(seed, "order", epoch)
            batches = list(sampler(epoch, order))
            if not batches:
                raise ValueError(f"the sampler of {what} yielded no batch in epoch {epoch}")
            network.train()
            mean = _epoch(network, optimiser, plan, loss, batches, state, device, what, progress)
            value: Validation | None = None
            last = epoch + 1 == plan.epochs
            with state.averaged():
                if plan.statistics is not None and (validate is not None or last):
                    torch.manual_seed(derive_seed(seed, "statistics", epoch))
                    state.renewed = renew_statistics(
                        network, _seen(forward or loss, plan, device), batches, plan.statistics
                    )
                if validate is not None:
                    network.eval()
                    with torch.no_grad():
                        value = _validation(validate())
                    if not math.isfinite(value.watched):
                        advice = _advice(what, epoch, "validation", value.watched, plan)
                        raise TrainingDiverged(advice)
                state.close_epoch(mean, value, batches, time.perf_counter() - began)
            if checkpoint is not None:
                state.write(checkpoint)
    state.restore_best()
    network.eval()
    if progress is not None:
        whole = max(1, plan.epochs * state.steps // max(1, state.epoch))
        progress(what, whole, whole)
    log = TrainingLog(
        losses=tuple(state.losses),
        validations=tuple(state.validations),
        best_epoch=state.best_epoch,
        stopped_early=state.epoch < plan.epochs,
        steps=state.steps,
        seconds=state.seconds,
        precision=chosen_precision(plan.precision, device),
        what=what,
        held_out=tuple(state.held_out),
        rates=tuple(state.rates),
        guess=guess,
        shown=state.shown,
        statistics=state.renewed or None,
        crop=crop,
    )
    note_training(log)
    return log


def _validation(found: float | Validation) -> Validation:
    return found if isinstance(found, Validation) else Validation(float(found), float(found))


def _seen(
    forward: Callable[[Tensor], object], plan: TrainingPlan, device: str
) -> Callable[[Tensor], object]:
    """A forward pass at the precision of training."""

    def see(batch: Tensor) -> object:
        with autocast(plan.precision, device):
            return forward(batch)

    return see


def _epoch(
    network: nn.Module,
    optimiser: Optimiser,
    plan: TrainingPlan,
    loss: Loss,
    batches: Sequence[Tensor],
    state: TrainingState,
    device: str,
    what: str,
    progress: Progress | None,
) -> float:
    """One pass over the batches; the mean loss over examples."""
    look = _EACH if device.startswith("cuda") else 1
    total = torch.zeros((), device=device)
    count = 0
    for number, batch in enumerate(batches):
        state.set_rates(number, len(batches))
        optimiser.zero_grad()
        with autocast(plan.precision, device):
            value = loss(batch)
        value.backward()  # type: ignore[no-untyped-call]
        if plan.clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
        optimiser.step()
        state.follow(number)
        total += value.detach().float() * len(batch)
        count += len(batch)
        if (number + 1) % look == 0 or number + 1 == len(batches):
            if not torch.isfinite(total):
                raise TrainingDiverged(
                    _advice(what, state.epoch, "loss", float(value.detach()), plan)
                )
            if progress is not None:
                done = state.epoch * len(batches) + number + 1
                progress(what, done, plan.epochs * len(batches))
    return float(total) / count


def _advice(what: str, epoch: int, of: str, value: float, plan: TrainingPlan) -> str:
    return (
        f"{what} diverged: the {of} became {value} in epoch {epoch + 1} of {plan.epochs}; "
        f"try a learning rate below {plan.lr:g}, clipped gradients, or check the inputs for NaN."
    )


def _optimiser(
    network: nn.Module, plan: TrainingPlan, groups: Sequence[dict[str, Any]] | None
) -> Optimiser:
    parameters: Any = groups
    if groups is None:
        parameters = [p for p in network.parameters() if p.requires_grad]
    if plan.optimiser == "sgd":
        return SGD(parameters, plan.lr, plan.momentum, plan.weight_decay)
    return Adam(
        parameters,
        plan.lr,
        plan.betas,
        weight_decay=plan.weight_decay,
        decoupled=plan.optimiser == "adamw",
    )
