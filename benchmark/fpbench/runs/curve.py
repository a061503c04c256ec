"""The curve of a training, as a record keeps it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fpbench.compute.training_log import TrainingLog, never_beat
from fpbench.documents import Document

_Count = Annotated[int, Field(ge=0, le=10**9)]
_Number = Annotated[float, Field(allow_inf_nan=False)]

_POINTS = 400
"""Epochs of a curve that a record keeps; of a longer one every second, third, ... and the best."""


class TrainingEntry(Document):
    """One training within the fit, as a curve over epochs."""

    what: str = Field(description="What was trained, as progress reports call it.")
    epochs: list[_Count] = Field(description="Epochs told of, from 1; of long trainings not all.")
    losses: list[_Number] = Field(description="Mean training loss of each.")
    validations: list[_Number] = Field(
        description="Validation loss after each; empty where nothing was held out."
    )
    rates: list[_Number] = Field(description="Learning rate of the first step of each.")
    best: _Count = Field(description="The epoch whose weights were kept, from 1.")
    guess: _Number | None = Field(
        default=None,
        description="Validation loss of one answer for every image, e.g. ln K; null where there is "
        "none.",
    )
    least: _Number | None = Field(default=None, description="Lowest validation loss of all epochs.")
    shown: int = Field(
        ge=0, le=10**15, description="Images (or bags' images) shown, each as often as it was."
    )
    statistics: _Count | None = Field(
        default=None,
        description="Training images on which statistics of batch normalisation were computed anew "
        "before each validation and at the end; null where running ones were kept.",
    )
    crop: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        default=None,
        description="Side in pixels of the random crops that were shown; null for whole images.",
    )

    precision: str | None = Field(
        default=None, description="Of forward and backward passes: fp32 or bf16."
    )

    @classmethod
    def of(cls, log: TrainingLog) -> TrainingEntry:
        """A training as a record holds it: six digits, at most some hundred epochs."""
        count = len(log.losses)
        step = -(-count // _POINTS) or 1
        kept = [k for k in range(count) if k % step == 0 or k in (count - 1, log.best_epoch)]

        def column(values: tuple[float, ...]) -> list[float]:
            return [float(f"{values[k]:.6g}") for k in kept] if values else []

        return cls(
            what=log.what,
            epochs=[k + 1 for k in kept],
            losses=column(log.losses),
            validations=column(log.held_out),
            rates=column(log.rates),
            best=log.best_epoch + 1,
            guess=log.guess,
            least=min(log.held_out, default=None),
            shown=log.shown,
            statistics=log.statistics,
            crop=log.crop,
            precision=log.precision,
        )

    @property
    def did_not_train(self) -> bool:
        """Whether no epoch's validation loss was below that of guessing."""
        return never_beat(self.guess, self.least)
