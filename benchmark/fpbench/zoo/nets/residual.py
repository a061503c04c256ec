"""Residual generators and critics, as in WGAN-GP and SN-GAN, narrower."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from fpbench.zoo.nets.blocks import LatentNetwork, activation, levels, normalisation, upsampling


class UpBlock(nn.Module):
    """Doubles height and width: normalise, activate, upsample, and once more without upsampling."""

    def __init__(
        self, width_in: int, width_out: int, *, up: str, norm: str, nonlinearity: str
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            normalisation(norm, width_in),
            activation(nonlinearity),
            upsampling(up, width_in, width_out),
            normalisation(norm, width_out),
            activation(nonlinearity),
            nn.Conv2d(width_out, width_out, 3, padding=1),
        )
        self.shortcut = nn.Conv2d(width_in, width_out, 1)
        self.mode = "bilinear" if up == "bilinear" else "nearest"

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, width_in, H, W) to (B, width_out, 2H, 2W)."""
        # The 1x1 convolution commutes with the interpolation and is cheaper before it.
        straight = functional.interpolate(self.shortcut(x), scale_factor=2.0, mode=self.mode)
        summed: Tensor = self.body(x) + straight
        return summed


class DownBlock(nn.Module):
    """Halves height and width by average pooling, with a pooled shortcut."""

    def __init__(self, width_in: int, width_out: int, *, norm: str, first: bool) -> None:
        super().__init__()
        before: list[nn.Module] = []
        if not first:
            before = [normalisation(norm, width_in), nn.ReLU()]
        self.body = nn.Sequential(
            *before,
            nn.Conv2d(width_in, width_out, 3, padding=1),
            normalisation(norm, width_out),
            nn.ReLU(),
            nn.Conv2d(width_out, width_out, 3, padding=1),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Conv2d(width_in, width_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, width_in, H, W) to (B, width_out, H/2, W/2)."""
        summed: Tensor = self.body(x) + self.shortcut(functional.avg_pool2d(x, 2))
        return summed


class ResidualGenerator(LatentNetwork):
    """Latent vector to image through one residual block per doubling.

    Args:
        size: Height and width of the images.
        latent: Dimension of the latent vector.
        width: Channels, but half as many at full resolution.
        up: Kind of upsampling inside the blocks.
        norm: Kind of normalisation.
        nonlinearity: Kind of activation.
    """

    def __init__(
        self, size: int, latent: int, width: int, *, up: str, norm: str, nonlinearity: str
    ) -> None:
        super().__init__()
        self.latent = latent
        self.start = nn.Linear(latent, width * 16)
        widths = [width] * levels(size) + [width // 2]
        self.body = nn.Sequential(
            *(
                UpBlock(a, b, up=up, norm=norm, nonlinearity=nonlinearity)
                for a, b in itertools.pairwise(widths)
            ),
            normalisation(norm, widths[-1]),
            activation(nonlinearity),
            nn.Conv2d(widths[-1], 3, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Latents of shape (B, latent) to images of shape (B, 3, size, size)."""
        image: Tensor = self.body(self.start(z).view(len(z), -1, 4, 4))
        return image


class ResidualCritic(nn.Module):
    """Image to scores through one residual block per halving.

    Args:
        size: Height and width of the images.
        outputs: Number of scores.
        width: Channels, but half as many at full resolution.
        norm: Kind of normalisation.
    """

    def __init__(self, size: int, outputs: int, width: int, *, norm: str) -> None:
        super().__init__()
        widths = [3, width // 2] + [width] * (levels(size) - 1)
        self.local_width = widths[-2]
        self.blocks = nn.ModuleList(
            DownBlock(a, b, norm=norm, first=level == 0)
            for level, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.end = nn.Linear(width, outputs)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Local features (B, local_width, 8, 8) and the pooled global feature (B, width)."""
        x = local = images
        for block in self.blocks:
            local, x = x, block(x)
        return local, functional.relu(x).sum((2, 3)) / 4

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, size, size) to scores (B, outputs)."""
        scores: Tensor = self.end(self.features(images)[1])
        return scores


class ContrastiveCritic(ResidualCritic):
    """A residual critic whose local and global features are also projected for a contrast.

    Args:
        size: Height and width of the images, at least 16.
        width: Channels, but half as many at full resolution.
        projection: Dimension of the projections.
    """

    def __init__(self, size: int, width: int, *, projection: int) -> None:
        super().__init__(size, 1, width, norm="none")
        self.local = nn.Sequential(
            nn.Conv2d(self.local_width, width, 1), nn.ReLU(), nn.Conv2d(width, projection, 1)
        )
        self.whole = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, projection))

    def contrast(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (B, 1), projected local (B, D, 8, 8) and global features (B, D)."""
        local, whole = self.features(images)
        return self.end(whole), self.local(functional.relu(local)), self.whole(whole)


def bound_by_spectral_norm(network: nn.Module) -> nn.Module:
    """Divide every convolution's and linear layer's weight by its largest singular value.

    Miyato et al. 2018 (arXiv:1802.05957): the value is tracked by one power iteration per forward
    pass in training.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            spectral_norm(module)
    return network


def residual_adversaries(
    size: int,
    design: Mapping[str, str],
    *,
    latent: int = 64,
    width: int = 48,
    critic_width: int = 48,
    critic_norm: str = "none",
    critic_outputs: int = 1,
    projection: int = 0,
) -> dict[str, nn.Module]:
    """Residual generator as `design` says, and a residual critic with average pooling.

    Args:
        size: Height and width of the images.
        design: Design choices.
        latent: Dimension of the latent vector.
        width: Channels of the generator.
        critic_width: Channels of the critic.
        critic_norm: Its normalisation, or ``spectral`` for spectral normalisation of weights.
        critic_outputs: Number of its scores.
        projection: Dimension of InfoMax-GAN's projections; 0 for a plain critic.
    """
    if design["downsampling"] != "average pooling" or design["skip"] != "residual":
        raise ValueError("a residual critic downsamples by average pooling, with residual skips")
    plain = "none" if critic_norm == "spectral" else critic_norm
    critic: nn.Module = (
        ContrastiveCritic(size, critic_width, projection=projection)
        if projection
        else ResidualCritic(size, critic_outputs, critic_width, norm=plain)
    )
    return {
        "generator": ResidualGenerator(
            size,
            latent,
            width,
            up=design["upsampling"],
            norm=design["normalisation"],
            nonlinearity=design["nonlinearity"],
        ),
        "discriminator": bound_by_spectral_norm(critic) if critic_norm == "spectral" else critic,
    }
