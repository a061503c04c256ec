"""The one pipeline that trains every row of the zoo's table."""

from __future__ import annotations

import copy
import hashlib
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fpbench.compute.device import has_bf16_units
from fpbench.errors import BadInput
from fpbench.zoo import checkpoint as checkpoints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.method import Progress
    from fpbench.zoo.generative import Generative
    from fpbench.zoo.table import ZooModel

SAVE_SECONDS = 30.0


class Diverged(BadInput):
    """A loss or a weight became infinite or no number; no checkpoint was written after that."""


@dataclass(frozen=True)
class TrainedModel:
    """A trained row of the table.

    Attributes:
        model: The row.
        net: The model with averaged weights, in evaluation mode.
        steps: Training steps done.
        minutes: Minutes of training, resumptions included.
        size: Height and width of the images in pixels.
        facts: What the checkpoint says about the training.
    """

    model: ZooModel
    net: Generative
    steps: int
    minutes: float
    size: int
    facts: dict[str, Any] = field(repr=False)

    def describe(self) -> dict[str, Any]:
        """Facts for the dataset's card, as JSON values."""
        return {
            "model": self.model.name,
            "size": self.size,
            "steps": self.steps,
            "minutes": round(self.minutes, 3),
            "images_seen": self.facts["images_seen"],
            "training_images": self.facts["training_images"],
            "training_images_sha256": self.facts["training_images_sha256"],
            "parameters": sum(p.numel() for p in self.net.parameters()),
            "seed": self.facts["seed"],
            "device": self.facts["device"],
            "precision": self.facts["precision"],
            "torch": self.facts["torch"],
        }


def derived_seed(seed: int, *path: int) -> int:
    """A 63-bit seed for one place of a computation, independent between places.

    Args:
        seed: The seed that the user chose.
        path: Integers that name the place, e.g. a step.
    """
    words = np.random.SeedSequence([seed, *path]).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])


def to_unit_range(images: NDArray[np.uint8]) -> Tensor:
    """uint8 images of shape (N, H, W, 3) to float32 of shape (N, 3, H, W) in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return tensor.float() / 127.5 - 1


def train(
    model: ZooModel,
    images: NDArray[np.uint8],
    *,
    checkpoint: Path,
    seed: int = 0,
    device: str = "cpu",
    minutes: float | None = None,
    steps: int | None = None,
    progress: Progress | None = None,
    precision: str = "auto",
) -> TrainedModel:
    """Train a row on images, or go on where `checkpoint` stopped.

    Every step is seeded by `seed` and its number, so on one machine an interrupted training of a
    given number of steps ends in the same weights as an uninterrupted one.

    Args:
        model: A row of `fpbench.zoo.table`.
        images: uint8 of shape (N, S, S, 3).
        checkpoint: The safetensors file to resume from and to write to, about every 30 seconds
            and at the end.
        seed: Everything random derives from it.
        device: A torch device.
        minutes: Training time at most, summed over resumptions; the row's recommendation if
            neither this nor `steps` is given.
        steps: Number of steps at most.
        progress: Called as ``progress(what, done, total)``, in steps or in seconds.
        precision: ``fp32``, ``bf16`` (autocast), or ``auto``: bf16 where the row allows it and
            the processor has matrix units for it.

    Returns:
        The trained model with averaged weights.

    Raises:
        BadInput: If images or limits make no sense, or the checkpoint is of another training.
        Diverged: If the loss became infinite or no number.
    """
    size = _checked(images, minutes, steps)
    if minutes is None and steps is None:
        minutes = model.training.minutes
    session = _Session(model, images, size, seed, torch.device(device), precision)
    if checkpoint.exists():
        session.restore(checkpoint)
    with torch.random.fork_rng(devices=_devices(session.device)):
        session.run(checkpoint, minutes, steps, progress)
    return session.result()


def load(model: ZooModel, checkpoint: Path, *, device: str = "cpu") -> TrainedModel:
    """The trained model in a checkpoint, as it is.

    Raises:
        BadInput: If the file is no checkpoint of this row.
    """
    tensors, facts = checkpoints.read(checkpoint)
    _same_row(model, facts, checkpoint)
    net = model.build(facts["size"])
    checkpoints.unpack_module("average", net, tensors)
    net.to(device, memory_format=_layout(model))  # type: ignore[call-overload]
    net.eval().requires_grad_(False)
    return TrainedModel(model, net, facts["steps"], facts["seconds"] / 60, facts["size"], facts)


def _checked(images: NDArray[np.uint8], minutes: float | None, steps: int | None) -> int:
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise BadInput(
            "Training images must be uint8 of shape (N, H, W, 3), "
            f"not {images.dtype} of shape {images.shape}."
        )
    if len(images) == 0 or images.shape[1] != images.shape[2]:
        raise BadInput(
            "The zoo trains on at least one square image, not on "
            f"{len(images)} of {images.shape[1]}x{images.shape[2]}; crop the images first."
        )
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise BadInput(f"Training minutes must be positive, not {minutes}.")
    if steps is not None and steps < 1:
        raise BadInput(f"Training steps must be positive, not {steps}.")
    return int(images.shape[1])


def _layout(model: ZooModel) -> torch.memory_format:
    # Sums round differently in another layout, and one level of an image can hang on that.
    return torch.channels_last if model.training.channels_last else torch.contiguous_format


def _devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _same_row(model: ZooModel, facts: dict[str, Any], path: Path) -> None:
    if facts["model"] != model.name:
        raise BadInput(
            f"{path} is a checkpoint of {facts['model']}, not of {model.name}; "
            "choose another path or delete it to train anew."
        )
    if facts["hyperparameters"] != model.hyperparameters():
        raise BadInput(
            f"{path} was trained with other hyper-parameters of {model.name} than the table has "
            "now; choose another path or delete it to train anew."
        )


class _Session:
    """One model while it is trained."""

    def __init__(
        self,
        model: ZooModel,
        images: NDArray[np.uint8],
        size: int,
        seed: int,
        device: torch.device,
        precision: str,
    ) -> None:
        if precision not in ("auto", "fp32", "bf16"):
            raise BadInput(f"Precision must be auto, fp32 or bf16, not {precision!r}.")
        if precision == "auto":
            units = model.training.bf16 and has_bf16_units(str(device))
            precision = "bf16" if units else "fp32"
        self.model, self.images, self.size, self.seed = model, images, size, seed
        self.device, self.precision = device, precision
        self.steps, self.seconds, self.images_seen = 0, 0.0, 0
        with torch.random.fork_rng(devices=_devices(device)):
            torch.manual_seed(derived_seed(seed, 0))
            self.net = model.build(size)
        self.layout = _layout(model)
        self.net.to(device, memory_format=self.layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.net).requires_grad_(False)
        recipe = model.training
        self.owned = {player: self.net.parameters_of(player) for player in self.net.players}
        self.optimisers = {
            player: torch.optim.Adam(
                owned, lr=recipe.rates.get(player, recipe.rate), betas=recipe.betas, foreach=True
            )
            for player, owned in self.owned.items()
        }
        digest = hashlib.sha256(repr(images.shape).encode())
        for start in range(0, len(images), 4096):
            digest.update(np.ascontiguousarray(images[start : start + 4096]).data)
        self.digest = digest.hexdigest()

    def facts(self) -> dict[str, Any]:
        return {
            "model": self.model.name,
            "hyperparameters": self.model.hyperparameters(),
            "size": self.size,
            "seed": self.seed,
            "steps": self.steps,
            "seconds": self.seconds,
            "images_seen": self.images_seen,
            "training_images": len(self.images),
            "training_images_sha256": self.digest,
            "device": self.device.type,
            "precision": self.precision,
            "torch": torch.__version__,
        }

    def restore(self, path: Path) -> None:
        tensors, facts = checkpoints.read(path)
        _same_row(self.model, facts, path)
        for key, mine, what in (
            ("size", self.size, "image size"),
            ("seed", self.seed, "seed"),
            ("training_images_sha256", self.digest, "training images with SHA-256"),
        ):
            if facts[key] != mine:
                raise BadInput(
                    f"{path} was trained with {what} {facts[key]}, not {mine}; "
                    "choose another path or delete it to train anew."
                )
        checkpoints.unpack_module("net", self.net, tensors)
        checkpoints.unpack_module("average", self.average, tensors)
        for player, optimiser in self.optimisers.items():
            checkpoints.unpack_optimiser(f"optimiser.{player}", optimiser, tensors)
        self.steps, self.seconds = facts["steps"], facts["seconds"]
        self.images_seen = facts["images_seen"]

    def save(self, path: Path) -> None:
        for name, parameter in self.net.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise self.diverged(f"weight {name}")
        tensors = checkpoints.pack_module("net", self.net)
        tensors |= checkpoints.pack_module("average", self.average)
        for player, optimiser in self.optimisers.items():
            tensors |= checkpoints.pack_optimiser(f"optimiser.{player}", optimiser)
        checkpoints.write(path, tensors, self.facts())

    def diverged(self, what: str) -> Diverged:
        return Diverged(
            f"Training {self.model.name} diverged at step {self.steps}: the {what} is no finite "
            "number. Use another seed, or train it with precision fp32."
        )

    def run(
        self, path: Path, minutes: float | None, steps: int | None, progress: Progress | None
    ) -> None:
        begun = saved = time.monotonic()
        before, what = self.seconds, f"training {self.model.name}"
        resumed_at = self.steps
        self.net.train()
        while not self.finished(minutes, steps):
            self.net.fraction = self.share(minutes, steps)
            self.step()
            now = time.monotonic()
            self.seconds = before + now - begun
            if progress is not None:
                if steps is not None:
                    progress(what, self.steps, steps)
                elif minutes is not None:
                    progress(what, min(int(self.seconds), int(minutes * 60)), int(minutes * 60))
            if now - saved >= SAVE_SECONDS:
                self.save(path)
                saved = time.monotonic()
        if self.steps > resumed_at:
            self.save(path)

    def share(self, minutes: float | None, steps: int | None) -> float:
        shares = [self.steps / steps] if steps else []
        shares += [self.seconds / 60 / minutes] if minutes else []
        return min(1.0, max(shares))

    def finished(self, minutes: float | None, steps: int | None) -> bool:
        return self.share(minutes, steps) >= 1

    def step(self) -> None:
        torch.manual_seed(derived_seed(self.seed, 1, self.steps))
        if self.steps == 0:
            with torch.no_grad():
                self.net.initialise(self.batch())
            self.average.load_state_dict(self.net.state_dict())
        for player in self.net.turns(self.steps):
            self.move(player, self.batch())
        self.steps += 1
        self.follow()

    def batch(self) -> Tensor:
        recipe = self.model.training
        chosen = torch.randint(len(self.images), (recipe.batch,)).numpy()
        batch = to_unit_range(self.images[chosen])
        if recipe.flip:
            mirrored = torch.rand(recipe.batch) < 0.5
            batch[mirrored] = batch[mirrored].flip(-1)
        self.images_seen += recipe.batch
        return batch.to(self.device, memory_format=self.layout)

    def move(self, player: str, batch: Tensor) -> None:
        owned = self.owned[player]
        self.net.requires_grad_(False)
        for parameter in owned:
            parameter.requires_grad_(True)
        with torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        ):
            loss = self.net.loss(player, batch)
        if not math.isfinite(loss.item()):
            raise self.diverged(f"loss of the {player}")
        optimiser = self.optimisers[player]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.model.training.clip is not None:
            torch.nn.utils.clip_grad_norm_(owned, self.model.training.clip)
        optimiser.step()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the averaged weights; early on they follow faster, as in the TensorFlow rule."""
        decay = min(self.model.training.ema, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.net.parameters()), 1 - decay
        )
        own = dict(self.net.named_buffers())
        for name, buffer in self.average.named_buffers():
            # Statistics of batch normalisation belong to the weights they were measured with.
            if name.endswith(("running_mean", "running_var")):
                buffer.lerp_(own[name], 1 - decay)
            else:
                buffer.copy_(own[name])

    def result(self) -> TrainedModel:
        return TrainedModel(
            self.model,
            self.average.eval(),
            self.steps,
            self.seconds / 60,
            self.size,
            self.facts(),
        )
