"""The table of generative models: one row per architecture, loss and design. Imports no torch."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fpbench.errors import BadInput, suggest

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
                "install it with: pip install 'fpbench[zoo]'"
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


def _design(
    upsampling: str, downsampling: str, norm: str, nonlinearity: str, skip: str, loss: str
) -> dict[str, str]:
    values = (upsampling, downsampling, norm, nonlinearity, skip, loss)
    return dict(zip(DESIGN_KEYS, values, strict=True))


_AUTOENCODER = "fpbench.zoo.nets.convolutional:autoencoder"
_ADVERSARIES = "fpbench.zoo.nets.convolutional:adversaries"
_VAE = "fpbench.zoo.objectives.vae"
_GAN = "fpbench.zoo.objectives.gan"
_SCORE = "fpbench.zoo.objectives.score"

_ROWS = (
    ZooModel(
        name="beta-vae-small",
        family="VAE",
        architecture="β-VAE",
        summary="Convolutional VAE; Gaussian likelihood of fixed scale, β weighs the divergence; "
        "samples are the likelihood's mean.",
        citation="Higgins et al. 2017, ICLR (OpenReview Sy2fzU9gl)",
        design=_design(
            "transposed convolution", "strided convolution", "none", "relu", "none", "β-ELBO"
        ),
        network=_AUTOENCODER,
        objective=f"{_VAE}:BetaVAE",
        network_options={"latent": 64, "width": 32},
        objective_options={"beta": 2.0, "sigma": 0.2},
        training=Training(rate=1e-3),
    ),
    ZooModel(
        name="dcgan-small",
        family="GAN",
        architecture="DCGAN",
        summary="Transposed convolutions with batch normalisation against a strided "
        "convolutional discriminator, as in the paper but narrower.",
        citation="Radford et al. 2015, arXiv:1511.06434",
        design=_design(
            "transposed convolution",
            "strided convolution",
            "batch",
            "relu",
            "none",
            "non-saturating minimax",
        ),
        network=_ADVERSARIES,
        objective=f"{_GAN}:GAN",
        network_options={"latent": 64, "width": 32, "critic_width": 32, "critic_norm": "batch"},
        training=Training(rate=2e-4, betas=(0.5, 0.999)),
    ),
    ZooModel(
        name="glow-small",
        family="Flow",
        architecture="Glow",
        summary="Activation normalisation, invertible 1x1 convolution and affine coupling on "
        "three scales, log-scales bounded; sampled at temperature 0.8.",
        citation="Kingma & Dhariwal 2018, arXiv:1807.03039",
        design=_design("depth to space", "space to depth", "act", "relu", "none", "likelihood"),
        network="fpbench.zoo.nets.flow:glow",
        objective="fpbench.zoo.objectives.flow:FlowLikelihood",
        network_options={"levels": 3, "depth": 4, "width": 48},
        objective_options={"temperature": 0.8},
        training=Training(rate=1e-3, clip=50.0),
    ),
    ZooModel(
        name="ddpm-small",
        family="Score",
        architecture="DDPM",
        summary="diffusers' UNet2DModel without attention, linear schedule of 1,000 times, "
        "noise prediction; sampled by DDIM in 25 steps.",
        citation="Ho et al. 2020, arXiv:2006.11239",
        design=_design(
            "nearest", "strided convolution", "group", "silu", "concatenation", "noise prediction"
        ),
        network="fpbench.zoo.nets.unet:ddpm_unet",
        objective=f"{_SCORE}:Diffusion",
        network_options={"widths": (16, 32, 64), "layers": 1},
        objective_options={"schedule": "linear", "predicts": "noise", "sampling_steps": 25},
        training=Training(batch=32, rate=1e-3, ema=0.995, clip=1.0, channels_last=False),
    ),
)


def models() -> dict[str, ZooModel]:
    """All rows of the table by name, families together."""
    return {row.name: row for row in _ROWS}


def model(name: str) -> ZooModel:
    """The row called `name`.

    Raises:
        BadInput: If there is none.
    """
    rows = models()
    if name not in rows:
        raise BadInput(f"The zoo has no model {name!r}. {suggest(name, rows)}")
    return rows[name]
