"""A ladder of latents, from coarse to fine: the network of hierarchical VAEs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fpbench.zoo.nets.blocks import activation, downsampling, levels, upsampling


class ResidualBlock(nn.Module):
    """x plus a bottleneck of convolutions, the last of which starts small."""

    def __init__(self, width: int, *, nonlinearity: str, scale: float) -> None:
        super().__init__()
        inner = max(8, width // 2)
        self.body = nn.Sequential(
            activation(nonlinearity),
            nn.Conv2d(width, inner, 1),
            activation(nonlinearity),
            nn.Conv2d(inner, inner, 3, padding=1),
            activation(nonlinearity),
            nn.Conv2d(inner, width, 1),
        )
        last = self.body[5]
        if isinstance(last, nn.Conv2d):
            last.weight.data.mul_(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (B, width, H, W)."""
        changed: Tensor = x + self.body(x)
        return changed


class Rung(nn.Module):
    """One latent of the ladder: prior from above, posterior also from the image's features.

    Args:
        width: Channels of the features.
        latent: Channels of the latent.
        nonlinearity: Kind of activation.
        scale: Factor of the initial residual weights.
    """

    def __init__(self, width: int, latent: int, *, nonlinearity: str, scale: float) -> None:
        super().__init__()
        self.prior = nn.Sequential(
            activation(nonlinearity), nn.Conv2d(width, 2 * latent + width, 3, padding=1)
        )
        self.posterior = nn.Sequential(
            activation(nonlinearity), nn.Conv2d(2 * width, 2 * latent, 3, padding=1)
        )
        self.project = nn.Conv2d(latent, width, 1)
        self.block = ResidualBlock(width, nonlinearity=nonlinearity, scale=scale)
        self.latent = latent
        self.width = width

    def forward(
        self, hidden: Tensor, seen: Tensor | None, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """One step down.

        Args:
            hidden: Features from above, of shape (B, width, H, W).
            seen: Features of the image, of the same shape, or None to draw from the prior.
            temperature: Factor of the prior's standard deviation, where it is drawn from.

        Returns:
            New features, and the divergence of posterior from prior of shape (B,), zero where
            the latent was drawn from the prior.
        """
        mean, log_std, added = (
            self.prior(hidden).float().split([self.latent, self.latent, self.width], dim=1)
        )
        log_std = log_std.clamp(-6, 2)
        if seen is None:
            z = mean + temperature * log_std.exp() * torch.randn_like(mean)
            divergence = mean.new_zeros(len(mean))
        else:
            both = self.posterior(torch.cat([hidden, seen.to(hidden.dtype)], 1)).float()
            shift, log_spread = both.chunk(2, dim=1)
            log_spread = log_spread.clamp(-6, 2)
            z = shift + log_spread.exp() * torch.randn_like(shift)
            divergence = normal_kl(shift, log_spread, mean, log_std).flatten(1).sum(1)
        hidden = hidden + added + self.project(z)
        return self.block(hidden), divergence


def normal_kl(mean: Tensor, log_std: Tensor, mean0: Tensor, log_std0: Tensor) -> Tensor:
    """KL(N(mean, std) || N(mean0, std0)) in nats, element by element."""
    ratio = (2 * (log_std - log_std0)).exp() + ((mean - mean0) * (-log_std0).exp()).square()
    return 0.5 * (ratio - 1) + log_std0 - log_std


class Ladder(nn.Module):
    """Bottom-up features of the image and top-down rungs of latents, on every resolution.

    Args:
        size: Height and width of the images.
        width: Channels at every resolution.
        latent: Channels of every latent.
        rungs: Latents per resolution from 4x4 upwards; the finest resolutions may have none.
        up: Kind of upsampling.
        down: Kind of downsampling.
        nonlinearity: Kind of activation.
    """

    def __init__(
        self,
        size: int,
        width: int,
        latent: int,
        rungs: list[int],
        *,
        up: str,
        down: str,
        nonlinearity: str,
    ) -> None:
        super().__init__()
        count = levels(size)
        rungs = [*rungs, *[rungs[-1]] * (count + 1 - len(rungs))][: count + 1]
        scale = sum(rungs) ** -0.5
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.readers = nn.ModuleList(
            ResidualBlock(width, nonlinearity=nonlinearity, scale=scale) for _ in range(count + 1)
        )
        self.shrink = nn.ModuleList(downsampling(down, width, width) for _ in range(count))
        self.top = nn.Parameter(torch.zeros(1, width, 4, 4))
        self.rungs = nn.ModuleList(
            nn.ModuleList(
                Rung(width, latent, nonlinearity=nonlinearity, scale=scale) for _ in range(number)
            )
            for number in rungs
        )
        self.grow = nn.ModuleList(upsampling(up, width, width) for _ in range(count))
        self.finish = nn.Sequential(
            ResidualBlock(width, nonlinearity=nonlinearity, scale=1.0),
            activation(nonlinearity),
            nn.Conv2d(width, 3, 3, padding=1),
        )

    def _read(self, images: Tensor) -> list[Tensor]:
        hidden = self.stem(images)
        seen = [self.readers[0](hidden)]
        for shrink, reader in zip(self.shrink, list(self.readers)[1:], strict=True):
            seen.append(reader(shrink(seen[-1])))
        return seen[::-1]

    def _descend(
        self, seen: list[Tensor] | None, count: int, temperature: float
    ) -> tuple[Tensor, Tensor]:
        hidden = self.top.expand(count, -1, -1, -1)
        divergence = hidden.new_zeros(count, dtype=torch.float32)
        for index, rungs in enumerate(self.rungs):
            if index:
                hidden = self.grow[index - 1](hidden)
            for rung in rungs.children():
                hidden, added = rung(hidden, None if seen is None else seen[index], temperature)
                divergence = divergence + added
        return self.finish(hidden), divergence

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Decoded images of the same shape, and the divergence in nats of shape (B,)."""
        return self._descend(self._read(images), len(images), 1.0)

    def generate(self, count: int, temperature: float) -> Tensor:
        """Images of shape (count, 3, size, size) from the prior."""
        return self._descend(None, count, temperature)[0]


def ladder(
    size: int,
    design: Mapping[str, str],
    *,
    width: int = 48,
    latent: int = 8,
    rungs: tuple[int, ...] = (2, 2, 1, 0),
) -> dict[str, nn.Module]:
    """The network of `fpbench.zoo.objectives.vae.HierarchicalVAE`."""
    if design["normalisation"] != "none" or design["skip"] != "residual":
        raise ValueError("a ladder has residual blocks without normalisation")
    network = Ladder(
        size,
        width,
        latent,
        list(rungs),
        up=design["upsampling"],
        down=design["downsampling"],
        nonlinearity=design["nonlinearity"],
    )
    return {"ladder": network}
