"""What one row of the zoo's table says. Imports no torch."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fpbench.distribution import install_command
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from fpbench.zoo.generative import Generative

DESIGN_KEYS = ("upsampling", "downsampling", "normalisation", "nonlinearity", "skip", "loss")
"""What every row says about its design; the network builders read their choices from it."""


@dataclass(frozen=True)
class Training:
    """How the one pipeline trains a row.

    Attributes:
        batch: Images per move of a player.
        rate: Adam's learning rate.
        rates: Learning rates of players that differ from `rate`.
        betas: Adam's decay rates.
        ema: Largest decay of the averaged weights that samples are drawn with.
        flip: Whether images are mirrored left to right at random.
        clip: Largest norm of a player's gradient, or None.
        minutes: Recommended training time on one CPU core for images of 32x32.
        bf16: Whether autocast to bfloat16 is used where the processor has matrix units for it.
        channels_last: Whether tensors keep their channels last in memory, which is faster but
            for group normalisation on the CPU.
    """

    batch: int = 64
    rate: float = 2e-4
    rates: Mapping[str, float] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.99)
    ema: float = 0.999
    flip: bool = True
    clip: float | None = None
    minutes: float = 5.0
    bf16: bool = True
    channels_last: bool = True


@dataclass(frozen=True)
class ZooModel:
    """One generative model of the zoo.

    Attributes:
        name: E.g. ``dcgan-small``; ``small`` because none has its paper's size.
        family: VAE, GAN, Flow or Score.
        architecture: What the model is called whatever its size, e.g. ``DCGAN``.
        summary: What was built here, and where it departs from the paper.
        citation: Authors, year, arXiv number.
        design: Design choices under `DESIGN_KEYS`, of the part that makes the image where parts
            differ; the network is built from them.
        network: ``module:function`` that returns the named networks.
        objective: ``module:class`` of the loss and sampler.
        network_options: Keyword arguments of `network`.
        objective_options: Keyword arguments of `objective`.
        training: Hyper-parameters of the pipeline.
    """

    name: str
    family: str
    architecture: str
    summary: str
    citation: str
    design: Mapping[str, str]
    network: str
    objective: str
    network_options: Mapping[str, Any] = field(default_factory=dict)
    objective_options: Mapping[str, Any] = field(default_factory=dict)
    training: Training = field(default_factory=Training)

    def build(self, size: int) -> Generative:
        """The untrained model for images of `size` x `size`; needs torch.

        Raises:
            BadInput: If the model cannot be built at this size or a package is missing.
        """
        try:
            parts = _load(self.network)(size, self.design, **self.network_options)
            built: Generative = _load(self.objective)(parts, size=size, **self.objective_options)
        except ValueError as error:
            raise BadInput(f"{self.name} cannot make {size}x{size} images: {error}.") from error
        except ModuleNotFoundError as error:
            raise BadInput(
                f"{self.name} needs the package {error.name}; "
                f"install it with: {install_command('zoo')}"
            ) from error
        return built

    def hyperparameters(self) -> dict[str, Any]:
        """Everything but the prose that makes this row what it is, as JSON values."""
        training = {
            key: dict(value) if isinstance(value, Mapping) else value
            for key, value in vars(self.training).items()
            if key not in ("minutes", "bf16", "channels_last")
        }
        values = {
            "network": self.network,
            "objective": self.objective,
            "network_options": dict(self.network_options),
            "objective_options": dict(self.objective_options),
            "design": dict(self.design),
            "training": training,
        }
        # Through JSON, so that tuples compare equal to what a checkpoint gives back.
        through: dict[str, Any] = json.loads(json.dumps(values))
        return through


def _load(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def design(
    *,
    up: str,
    down: str,
    norm: str,
    nonlinearity: str,
    loss: str,
    skip: str = "none",
) -> dict[str, str]:
    """Design choices under `DESIGN_KEYS`."""
    return dict(zip(DESIGN_KEYS, (up, down, norm, nonlinearity, skip, loss), strict=True))
