"""Adversarial losses: two players, and the terms that keep the discriminator in bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench.zoo.generative import Generative
from fpbench.zoo.nets.blocks import LatentNetwork


class GAN(Generative):
    """Two players with the non-saturating minimax loss (Goodfellow et al. 2014, section 3).

    Subclasses change `score_loss` (what the discriminator minimises), `fool_loss` (what the
    generator minimises) and `regulariser`.

    Args:
        parts: ``generator`` and ``discriminator``.
        size: Height and width of the images.
        critic_steps: Moves of the discriminator per move of the generator.
    """

    players = ("discriminator", "generator")
    generator: LatentNetwork
    discriminator: nn.Module

    def __init__(self, parts: Mapping[str, nn.Module], *, size: int, critic_steps: int = 1) -> None:
        super().__init__(parts, size=size)
        self.critic_steps = critic_steps

    def turns(self, step: int) -> Sequence[str]:
        """The discriminator `critic_steps` times, then the generator."""
        return ("discriminator",) * self.critic_steps + ("generator",)

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """Parameters of the network of that name."""
        return list(self.get_submodule(player).parameters())

    def judge(self, images: Tensor) -> Tensor:
        """The discriminator's scores: float32 of shape (B,) or (B, outputs)."""
        scores: Tensor = self.discriminator(images)
        return scores.float().squeeze(1)

    def score_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of the discriminator that gave these scores."""
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()

    def fool_loss(self, fake: Tensor) -> Tensor:
        """Loss of the generator whose images got these scores."""
        return functional.softplus(-fake).mean()

    def regulariser(self, real: Tensor, fake: Tensor) -> Tensor | float:
        """What is added to the discriminator's loss, from images of shape (B, 3, H, W)."""
        return 0.0

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Loss of either player; the generator's uses no real image but their number."""
        if player == "generator":
            return self.fool_loss(self.judge(self.draw(len(images))))
        with torch.no_grad():
            fake = self.draw(len(images)).float()
        scores = self.score_loss(self.judge(images), self.judge(fake))
        return scores + self.regulariser(images, fake)

    def draw(self, count: int) -> Tensor:
        """Images made from standard normal latents."""
        images: Tensor = self.generator(self.noise(count, self.generator.latent))
        return images
