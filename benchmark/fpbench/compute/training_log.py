"""What a training did, and how a record comes to know of it. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingLog:
    """What a training did.

    Attributes:
        losses: Mean training loss of each epoch.
        validations: What stopping watched after each epoch; empty without it.
        best_epoch: Epoch (from 0) whose weights the network has now.
        stopped_early: Whether patience ran out before the epochs did.
        steps: Optimiser steps taken.
        seconds: Wall-clock seconds, those before a resumption included.
        precision: ``fp32`` or ``bf16``.
        what: What the training was called.
        held_out: Validation loss after each epoch; that of `validations` unless something else,
            e.g. a share of errors, is watched.
        rates: Learning rate of each epoch's first step.
        guess: The validation loss of an answer that is the same for every input, e.g. ln K, or
            None where there is no such loss.
        shown: Examples shown, each as often as it was.
        statistics: Examples that statistics of normalisation were computed on anew, or None.
        crop: Side in pixels of random crops that were shown instead of whole images, or None.
    """

    losses: tuple[float, ...]
    validations: tuple[float, ...]
    best_epoch: int
    stopped_early: bool
    steps: int
    seconds: float
    precision: str
    what: str = "training"
    held_out: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    guess: float | None = None
    shown: int = 0
    statistics: int | None = None
    crop: int | None = None

    @property
    def did_not_train(self) -> bool:
        """Whether no epoch's validation loss was below that of guessing."""
        return never_beat(self.guess, min(self.held_out, default=None))


def never_beat(guess: float | None, least: float | None) -> bool:
    """Whether the lowest validation loss is not below that of guessing, to a thousandth of a nat.

    False where one of the two is not known.
    """
    return guess is not None and least is not None and least > guess - _MARGIN


_MARGIN = 1e-3  # a network that answers always the same ends a rounding below guessing

_NOTED: ContextVar[list[TrainingLog] | None] = ContextVar("trainings", default=None)


@contextmanager
def trainings_noted() -> Iterator[list[TrainingLog]]:
    """The trainings that end inside the block, in their order."""
    noted: list[TrainingLog] = []
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def note_training(log: TrainingLog) -> None:
    """Note a training that has ended."""
    noted = _NOTED.get()
    if noted is not None:
        noted.append(log)
