"""Normalising flows: exact likelihood of dequantised images."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fpbench.zoo.generative import Generative
from fpbench.zoo.nets.flow import MultiscaleFlow

BIN = 2 / 255
"""Distance between neighbouring levels of an 8-bit image in [-1, 1]."""


class FlowLikelihood(Generative):
    """Maximum likelihood of uniformly dequantised images (Kingma & Dhariwal 2018, section 2).

    Args:
        parts: ``flow``, a `fpbench.zoo.nets.flow.MultiscaleFlow`.
        size: Height and width of the images.
        temperature: Standard deviation of the latents that samples are made from.
    """

    flow: MultiscaleFlow

    def __init__(
        self, parts: Mapping[str, nn.Module], *, size: int, temperature: float = 1.0
    ) -> None:
        super().__init__(parts, size=size)
        self.temperature = temperature

    def initialise(self, images: Tensor) -> None:
        """Set the activation normalisations from one batch."""
        self.flow.initialise(self.dequantise(images))

    def dequantise(self, images: Tensor) -> Tensor:
        """Images plus uniform noise of one level's width, centred."""
        return images + (torch.rand_like(images) - 0.5) * BIN

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Bits per dimension of 8-bit images, an upper bound of the discrete likelihood's."""
        log_likelihood: Tensor = self.flow.log_prob(self.dequantise(images))
        nats = -log_likelihood.mean() / images[0].numel() - math.log(BIN)
        return nats / math.log(2)

    def draw(self, count: int) -> Tensor:
        """Inverted draws from the prior at `temperature`."""
        images: Tensor = self.flow.sample(count, self.temperature)
        return images
