"""Variational autoencoders: one evidence bound, with the changes that name each variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench.zoo.generative import Generative
from fpbench.zoo.nets.blocks import LatentNetwork
from fpbench.zoo.nets.hierarchical import Ladder
from fpbench.zoo.objectives.discrepancy import squared_mmd


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


class DFCVAE(BetaVAE):
    """VAE whose reconstruction error is measured between features of a fixed network.

    Hou et al. 2017 (arXiv:1610.00291). The paper's features are a pretrained VGG-19's; here they
    are those of a random convolutional network that is the same for every training, which needs
    no download and sees edges and textures but no objects.

    Args:
        parts: ``encoder`` and ``decoder``.
        size: Height and width of the images.
        beta: Weight of the divergence.
        sigma: Scale of the pixel and feature errors.
        widths: Channels of the feature network's levels.
    """

    FEATURE_SEED = 20170309

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        beta: float = 1.0,
        sigma: float = 0.3,
        widths: Sequence[int] = (32, 64, 64),
    ) -> None:
        super().__init__(parts, size=size, beta=beta, sigma=sigma)
        generator = torch.Generator().manual_seed(self.FEATURE_SEED)
        self.depth = len(widths)
        before = 3
        for level, width in enumerate(widths):
            flat = torch.randn(width, before * 9, generator=generator)
            # Rows of unit norm times √2 keep the variance through rectified layers (He et al.).
            kernel = flat / flat.norm(dim=1, keepdim=True) * 2**0.5
            self.register_buffer(f"feature{level}", kernel.view(width, before, 3, 3))
            before = width

    def features(self, images: Tensor) -> list[Tensor]:
        """Feature maps of every level, each at half the resolution of the one before."""
        maps, found = images, []
        for level in range(self.depth):
            maps = functional.conv2d(maps, self.get_buffer(f"feature{level}"), padding=1)
            found.append(maps.float())
            maps = functional.avg_pool2d(functional.relu(maps), 2)
        return found

    def distortion(self, images: Tensor, decoded: Tensor) -> Tensor:
        """Mean of pixel and feature errors, scaled like the error of pixels: shape (B,)."""
        errors = [(images - decoded).square().flatten(1).mean(1)]
        for real, made in zip(self.features(images), self.features(decoded), strict=True):
            scale = real.detach().square().mean()
            errors.append((real - made).square().flatten(1).mean(1) / scale * images.var())
        return torch.stack(errors).mean(0) * images[0].numel() / (2 * self.sigma**2)


class FactorVAE(BetaVAE):
    """VAE that a second player keeps from correlated latents.

    Kim & Mnih 2018 (arXiv:1802.05983), equation 2 and algorithm 1: the density ratio of the
    aggregate posterior to the product of its margins is estimated by a classifier.

    Args:
        parts: ``encoder``, ``decoder`` and ``discriminator`` (latents to two logits).
        size: Height and width of the images.
        sigma: Standard deviation of the likelihood.
        gamma: Weight of the total correlation.
    """

    players = ("model", "discriminator")
    discriminator: nn.Module

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        sigma: float = 0.3,
        gamma: float = 10.0,
    ) -> None:
        super().__init__(parts, size=size, sigma=sigma)
        self.gamma = gamma

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """Those of the classifier, or those of encoder and decoder."""
        if player == "discriminator":
            return list(self.discriminator.parameters())
        return [*self.encoder.parameters(), *self.decoder.parameters()]

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Evidence bound plus total correlation, or the classifier's cross-entropy."""
        mean, logvar = self.encode(images)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        if player == "discriminator":
            z = z.detach()
            logits = self.discriminator(torch.cat([z, permute_dimensions(z)])).float()
            truth = torch.arange(2, device=z.device).repeat_interleave(len(z))
            return functional.cross_entropy(logits, truth)
        logits = self.discriminator(z).float()
        correlation = (logits[:, 0] - logits[:, 1]).mean()
        distortion = self.distortion(images, self.decoder(z).float())
        bound = (distortion + gaussian_kl(mean, logvar)).mean()
        total: Tensor = bound + self.gamma * correlation
        return total / images[0].numel()


def permute_dimensions(z: Tensor) -> Tensor:
    """Shuffle every dimension of latents (B, D) over the batch by itself."""
    order = torch.rand_like(z).argsort(dim=0)
    permuted: Tensor = z.gather(0, order)
    return permuted


class InfoVAE(BetaVAE):
    """VAE whose aggregate posterior is drawn to the prior by a mean discrepancy.

    Zhao et al. 2017 (arXiv:1706.02262), equation 6, with α = 1 - `beta`.

    Args:
        parts: ``encoder`` and ``decoder``.
        size: Height and width of the images.
        beta: Weight of the divergence, 1 - α.
        sigma: Standard deviation of the likelihood.
        strength: Weight of the discrepancy, α + λ - 1.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        beta: float = 0.5,
        sigma: float = 0.3,
        strength: float = 1000.0,
    ) -> None:
        super().__init__(parts, size=size, beta=beta, sigma=sigma)
        self.strength = strength

    def loss(self, player: str, images: Tensor) -> Tensor:
        """β-ELBO plus the discrepancy of this batch's latents from prior draws."""
        mean, logvar = self.encode(images)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        distortion = self.distortion(images, self.decoder(z).float())
        bound = (distortion + self.beta * gaussian_kl(mean, logvar)).mean()
        # Pairs of standard normal vectors lie about sqrt(2 D) apart; the kernel's scale follows.
        unit = z.shape[1] ** 0.5
        apart = squared_mmd(z / unit, torch.randn_like(z) / unit, (0.2, 0.5, 1.0, 2.0, 5.0))
        return (bound + self.strength * apart) / images[0].numel()


class HierarchicalVAE(Generative):
    """Evidence bound of a VAE with a ladder of latents (Child 2021, arXiv:2011.10650).

    The likelihood is Gaussian with one learnt standard deviation; samples are its mean.

    Args:
        parts: ``ladder``, a `fpbench.zoo.nets.hierarchical.Ladder`.
        size: Height and width of the images.
        warmup: Share of the training over which the divergence's weight rises to one.
        temperature: Factor of the prior's standard deviations when sampling.
    """

    ladder: Ladder

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        warmup: float = 0.1,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(parts, size=size)
        self.warmup = warmup
        self.temperature = temperature
        self.log_sigma = nn.Parameter(torch.tensor(-1.0))

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Negative bound in nats per dimension."""
        decoded, divergence = self.ladder.reconstruct(images)
        log_sigma = self.log_sigma.clamp(min=-4)
        distortion = (images - decoded.float()).square().flatten(1).sum(1)
        distortion = distortion / (2 * (2 * log_sigma).exp()) + images[0].numel() * log_sigma
        weight = min(1.0, max(0.01, self.fraction / self.warmup)) if self.warmup else 1.0
        return (distortion + weight * divergence).mean() / images[0].numel()

    def draw(self, count: int) -> Tensor:
        """Images made from the prior, top to bottom."""
        return self.ladder.generate(count, self.temperature)
