"""Where a training stands, and how it is written down and taken up again."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from fpbench.compute.optimisers import Optimiser
from fpbench.compute.training_plan import TrainingPlan
from fpbench.errors import BadInput
from fpbench.files import write_bytes


class Validated(Protocol):
    """What a validation found: what is compared between epochs, and the loss."""

    @property
    def watched(self) -> float:
        """Lower is better."""

    @property
    def loss(self) -> float:
        """The validation loss."""


class TrainingState:
    """Where a training stands: everything that must survive an interruption."""

    def __init__(
        self,
        network: nn.Module,
        optimiser: Optimiser,
        plan: TrainingPlan,
        seed: int,
    ) -> None:
        self._network = network
        self._optimiser = optimiser
        self._plan = plan
        self._identity = {"plan": dataclasses.asdict(plan), "seed": seed}
        self._rates = [float(group["lr"]) for group in optimiser.param_groups]
        self._best: dict[str, Tensor] | None = None
        self._average: dict[str, Tensor] = {}
        if plan.average is not None:
            self._average = {k: p.detach().clone() for k, p in network.named_parameters()}
        self.losses: list[float] = []
        self.validations: list[float] = []
        self.held_out: list[float] = []
        self.rates: list[float] = []
        self.shown = 0
        self.renewed = 0
        self.best_epoch = -1
        self.steps = 0
        self.seconds = 0.0
        self.factor = 1.0
        self.since_drop = 0

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.losses)

    @property
    def _patience_out(self) -> bool:
        patience = self._plan.patience
        return patience is not None and self.epoch - 1 - self.best_epoch >= patience

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or patience ran out."""
        return self.epoch >= self._plan.epochs or self._patience_out

    def set_rates(self, step: int, steps: int) -> None:
        """Set the learning rates of a step of the current epoch."""
        plan = self._plan
        factor = self.factor
        if plan.schedule == "cosine":
            done = (self.epoch + step / steps) / plan.epochs
            least = plan.min_lr / plan.lr
            factor = least + (1 - least) * 0.5 * (1 + math.cos(math.pi * done))
        elif plan.schedule == "milestones":
            factor = plan.gamma ** sum(self.epoch >= at for at in plan.milestones)
        elif plan.schedule == "exponential":
            factor = max(plan.gamma**self.epoch, plan.min_lr / plan.lr)
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        if step == 0:
            self.rates.append(self._rates[0] * factor)

    def follow(self, step: int) -> None:
        """Move the averaged weights towards those after a step of the current epoch."""
        if self._plan.average is None:
            return
        done = self.steps + step
        decay = min(self._plan.average, (1 + done) / (10 + done))
        current = dict(self._network.named_parameters())
        with torch.no_grad():
            for name, value in self._average.items():
                value.lerp_(current[name], 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the network the averaged weights inside the block, if there are any."""
        self._swap_average()
        try:
            yield
        finally:
            self._swap_average()

    def _swap_average(self) -> None:
        for name, parameter in self._network.named_parameters():
            if name in self._average:
                self._average[name], parameter.data = parameter.data, self._average[name]

    def close_epoch(
        self,
        loss: float,
        validation: Validated | None,
        batches: Sequence[Tensor],
        seconds: float,
    ) -> None:
        """Enter an epoch's outcome and keep its weights if they are the best."""
        better = validation is None or validation.watched < min(self.validations, default=math.inf)
        self.losses.append(loss)
        self.steps += len(batches)
        self.shown += sum(batch.numel() for batch in batches)
        self.seconds += seconds
        if validation is not None:
            self.validations.append(validation.watched)
            self.held_out.append(validation.loss)
        if better:
            self.best_epoch = self.epoch - 1
            if validation is not None:
                self._best = {k: v.detach().clone() for k, v in self._network.state_dict().items()}
        self.since_drop = 0 if better else self.since_drop + 1
        if self._plan.schedule == "plateau" and self.since_drop >= self._plan.plateau:
            self.factor = max(self.factor * self._plan.gamma, self._plan.min_lr / self._plan.lr)
            self.since_drop = 0

    def restore_best(self) -> None:
        """Give the network the weights of its best epoch; without validation, of its last."""
        if self._best is not None:
            self._network.load_state_dict(self._best)
        else:
            self._swap_average()

    def write(self, path: Path) -> None:
        """Write everything into one safetensors file, its numbers as JSON in the header.

        Raises:
            CannotWrite: If the disk is full or the folder cannot be written to.
        """
        from safetensors.torch import save

        tensors = {f"network/{k}": v for k, v in self._network.state_dict().items()}
        tensors |= {f"best/{k}": v for k, v in (self._best or {}).items()}
        tensors |= {f"average/{k}": v for k, v in self._average.items()}
        for index, slots in self._optimiser.state_dict().items():
            for name, value in slots.items():
                tensors[f"optimiser/{index}/{name}"] = value
        # Tied weights share memory, which safetensors refuses; each name gets its own copy.
        tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
        numbers = {
            "identity": self._identity,
            "losses": self.losses,
            "validations": self.validations,
            "held_out": self.held_out,
            "rates": self.rates,
            "shown": self.shown,
            "renewed": self.renewed,
            "best_epoch": self.best_epoch,
            "steps": self.steps,
            "seconds": self.seconds,
            "factor": self.factor,
            "since_drop": self.since_drop,
        }
        write_bytes(path, save(tensors, {"fpbench.training": json.dumps(numbers)}))

    def read(self, path: Path) -> None:
        """Continue from what `write` wrote."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                numbers = json.loads((file.metadata() or {})["fpbench.training"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}
        except (SafetensorError, KeyError, ValueError) as error:
            raise BadInput(
                f"{path} is no checkpoint of a training ({error}); delete it to start over."
            ) from error
        if numbers["identity"] != json.loads(json.dumps(self._identity)):
            raise BadInput(
                f"{path} is the checkpoint of another training (other plan or seed); "
                "delete it to start over, or choose another file."
            )
        try:
            self._network.load_state_dict(_under("network/", tensors))
        except RuntimeError as error:
            raise BadInput(
                f"{path} is the checkpoint of another network; delete it to start over."
            ) from error
        best = _under("best/", tensors)
        if best:
            current = self._network.state_dict()
            self._best = {k: v.to(current[k].device) for k, v in best.items()}
        for key, value in _under("average/", tensors).items():
            self._average[key].copy_(value)
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in _under("optimiser/", tensors).items():
            index, _, name = key.partition("/")
            slots.setdefault(int(index), {})[name] = value
        self._optimiser.load_state_dict(slots)
        for name in ("losses", "validations", "held_out", "rates"):
            setattr(self, name, list(numbers[name]))
        for name in ("best_epoch", "steps", "shown", "renewed", "seconds", "factor", "since_drop"):
            setattr(self, name, numbers[name])


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
