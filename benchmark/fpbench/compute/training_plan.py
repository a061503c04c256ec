"""How a network is trained: what a record can state in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fpbench.compute.device import Precision


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how a network is trained.

    Attributes:
        epochs: Most passes over the training examples.
        batch: Examples of one step.
        optimiser: ``adam``, ``adamw`` or ``sgd``.
        lr: Learning rate at the start.
        weight_decay: Weight decay, as the optimiser understands it.
        betas: Decay rates of Adam's moments.
        momentum: Momentum of SGD.
        schedule: ``constant``; ``cosine`` from `lr` to `min_lr` over all steps; ``milestones``
            (times `gamma` at each); ``exponential`` (times `gamma` after each epoch);
            ``plateau`` (times `gamma` after `plateau` epochs without a better validation).
        milestones: Epochs after which ``milestones`` multiplies.
        gamma: What a schedule multiplies by.
        plateau: Epochs that ``plateau`` waits.
        min_lr: Where ``cosine`` ends, and what ``plateau`` and ``exponential`` stay above.
        patience: Epochs without a better validation before training stops, or None for never.
        clip: Largest norm of the gradient, or None.
        average: Decay d of a running average of the weights, or None. After each step the
            average moves by 1 - min(d, (1 + steps) / (10 + steps)) of the way to the weights,
            faster early on as in TensorFlow's rule; validation and the result use it. Buffers,
            e.g. the statistics of normalisation, are not averaged.
        precision: ``fp32``, ``bf16`` or ``auto``, see `device.chosen_precision`.
        statistics: Training examples on which the statistics of batch normalisation are computed
            anew before each validation and at the end, or None to keep the running ones.

    Raises:
        ValueError: If a value is out of range.
    """

    epochs: int
    batch: int = 128
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.0
    schedule: Literal["constant", "cosine", "milestones", "exponential", "plateau"] = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    plateau: int = 5
    min_lr: float = 0.0
    patience: int | None = None
    clip: float | None = None
    average: float | None = None
    precision: Precision = "auto"
    statistics: int | None = 1024

    def __post_init__(self) -> None:
        choices = {
            "optimiser": ("adam", "adamw", "sgd"),
            "schedule": ("constant", "cosine", "milestones", "exponential", "plateau"),
            "precision": ("fp32", "bf16", "auto"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is one of {', '.join(allowed)}, not {getattr(self, name)!r}"
                )
        for name in ("epochs", "batch", "lr", "gamma", "plateau"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be positive or None, not {self.patience}")
        if self.statistics is not None and self.statistics < 1:
            raise ValueError(f"statistics must be positive or None, not {self.statistics}")
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"average must lie between 0 and 1 or be None, not {self.average}")
