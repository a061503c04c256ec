"""Variational autoencoders: one evidence bound, with the changes that name each variant."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fpbench.zoo.generative import Generative
from fpbench.zoo.nets.blocks import LatentNetwork


def gaussian_kl(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)) in nats, summed over all but the batch: shape (B,)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(1)


class BetaVAE(Generative):
    """β-VAE: reconstruction error plus β times the divergence from the prior.

    Higgins et al. 2017, equation 4, with a Gaussian likelihood of fixed standard deviation
    `sigma`. Samples are the likelihood's mean.

    Args:
        parts: ``encoder`` and ``decoder``.
        size: Height and width of the images.
        beta: Weight of the divergence.
        sigma: Standard deviation of the likelihood, in units of [-1, 1].
    """

    encoder: nn.Module
    decoder: LatentNetwork

    def __init__(
        self, parts: Mapping[str, nn.Module], *, size: int, beta: float = 1.0, sigma: float = 0.3
    ) -> None:
        super().__init__(parts, size=size)
        self.beta = beta
        self.sigma = sigma

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, each float32 of shape (B, latent)."""
        mean, logvar = self.encoder(images).float().chunk(2, dim=1)
        return mean, logvar.clamp(-10, 10)

    def distortion(self, images: Tensor, decoded: Tensor) -> Tensor:
        """Negative log-likelihood up to a constant, in nats per image: shape (B,)."""
        return (images - decoded).square().flatten(1).sum(1) / (2 * self.sigma**2)

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Mean of distortion + β KL, per dimension of the image."""
        mean, logvar = self.encode(images)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        distortion = self.distortion(images, self.decoder(z).float())
        return (distortion + self.beta * gaussian_kl(mean, logvar)).mean() / images[0].numel()

    def draw(self, count: int) -> Tensor:
        """Decoded draws from the prior."""
        images: Tensor = self.decoder(self.noise(count, self.decoder.latent))
        return images
