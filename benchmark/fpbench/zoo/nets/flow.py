"""Flows: bijections in multiscale order."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from fpbench.zoo.nets.bijections import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Bijection,
    CheckerboardCoupling,
    FlipChannels,
    InvertibleConvolution,
    bounded,
    squeeze,
    unsqueeze,
    zero_convolution,
)


def _chain(bijections: nn.Module) -> list[Bijection]:
    return cast(list[Bijection], list(cast(nn.ModuleList, bijections)))


class MultiscaleFlow(nn.Module):
    """Levels of squeeze and bijections; after each but the last, half the channels are done.

    The finished half is Gaussian given the other (Glow's split prior).

    Args:
        size: Height and width of the images.
        levels: For each level its bijections, of 12, 24, 48... channels.
        head: Bijections at full resolution before the first squeeze.
    """

    def __init__(
        self, size: int, levels: list[list[Bijection]], head: list[Bijection] | None = None
    ) -> None:
        super().__init__()
        self.size = size
        self.head = nn.ModuleList(head or [])
        self.levels = nn.ModuleList(nn.ModuleList(level) for level in levels)
        widths = [12 * 2**index for index in range(len(levels))]
        self.widths = widths
        self.priors = nn.ModuleList(zero_convolution(w // 2, w) for w in widths[:-1])
        self.side = size >> len(levels)

    def _prior(self, index: int, kept: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.priors[index](kept).float().chunk(2, dim=1)
        return mean, bounded(log_std, 4.0)

    def initialise(self, x: Tensor) -> None:
        """Let every bijection set itself from a batch of images (B, 3, size, size)."""
        for bijection in _chain(self.head):
            x = bijection.initialise(x)
        for index, level in enumerate(self.levels):
            x = squeeze(x)
            for bijection in _chain(level):
                x = bijection.initialise(x)
            if index < len(self.priors):
                x = x[:, : x.shape[1] // 2]

    def encode(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Standardised latents, one per level, and the log-determinant of shape (B,)."""
        logdet = x.new_zeros(len(x))
        latents = []
        for bijection in _chain(self.head):
            x, change = bijection(x)
            logdet = logdet + change
        for index, level in enumerate(self.levels):
            x = squeeze(x)
            for bijection in _chain(level):
                x, change = bijection(x)
                logdet = logdet + change
            if index < len(self.priors):
                x, done = x.chunk(2, dim=1)
                mean, log_std = self._prior(index, x)
                latents.append((done - mean) * (-log_std).exp())
                logdet = logdet - log_std.flatten(1).sum(1)
        return [*latents, x], logdet

    def decode(self, latents: list[Tensor]) -> Tensor:
        """The images of shape (B, 3, size, size) with these latents."""
        x = latents[-1]
        for index in reversed(range(len(self.levels))):
            if index < len(self.priors):
                mean, log_std = self._prior(index, x)
                x = torch.cat([x, latents[index] * log_std.exp() + mean], 1)
            for bijection in reversed(_chain(self.levels[index])):
                x = bijection.inverse(x)
            x = unsqueeze(x)
        for bijection in reversed(_chain(self.head)):
            x = bijection.inverse(x)
        return x

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of images, in nats: shape (B,)."""
        latents, logdet = self.encode(x)
        for z in latents:
            logdet = logdet - 0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        return logdet

    def sample(self, count: int, temperature: float = 1.0) -> Tensor:
        """Images whose latents are normal with standard deviation `temperature`."""
        device = next(self.parameters()).device
        side = self.side
        latents = [torch.randn(count, self.widths[-1], side, side, device=device)]
        for width in reversed(self.widths[:-1]):
            side *= 2
            latents.insert(0, torch.randn(count, width // 2, side, side, device=device))
        return self.decode([temperature * z for z in latents])


def _levels(
    size: int, count: int, depth: int, step: Callable[[int], list[Bijection]]
) -> list[list[Bijection]]:
    """For each of `count` levels the bijections of `depth` steps, made by ``step(channels)``."""
    if size % 2**count:
        raise ValueError(f"image size {size} is no multiple of {2**count}")
    return [
        [bijection for _ in range(depth) for bijection in step(12 * 2**level)]
        for level in range(count)
    ]


def glow(
    size: int, design: Mapping[str, str], *, levels: int = 3, depth: int = 4, width: int = 48
) -> dict[str, nn.Module]:
    """Glow: per level `depth` steps of actnorm, 1x1 convolution and affine coupling."""

    def step(channels: int) -> list[Bijection]:
        return [
            ActNorm(channels),
            InvertibleConvolution(channels),
            AffineCoupling(channels, width, nonlinearity=design["nonlinearity"]),
        ]

    return {"flow": MultiscaleFlow(size, _levels(size, levels, depth, step))}


def checkerboard_flow(
    size: int,
    design: Mapping[str, str],
    *,
    levels: int = 2,
    depth: int = 3,
    width: int = 32,
    residual: int = 2,
) -> dict[str, nn.Module]:
    """Real NVP's order: checkerboard couplings at full size, then channel-wise ones per level."""
    nonlinearity = design["nonlinearity"]
    head: list[Bijection] = []
    for index in range(4):
        coupling = CheckerboardCoupling(
            3, width, index % 2, nonlinearity=nonlinearity, residual=residual
        )
        head += [ActNorm(3), coupling]

    def step(channels: int) -> list[Bijection]:
        return [
            ActNorm(channels),
            AffineCoupling(channels, width, nonlinearity=nonlinearity, residual=residual),
            FlipChannels(),
        ]

    return {"flow": MultiscaleFlow(size, _levels(size, levels, depth, step), head)}


def additive_flow(
    size: int, design: Mapping[str, str], *, levels: int = 2, depth: int = 6, width: int = 48
) -> dict[str, nn.Module]:
    """NICE's couplings: per level `depth` steps of actnorm and a shift of half the channels."""

    def step(channels: int) -> list[Bijection]:
        return [
            ActNorm(channels),
            AdditiveCoupling(channels, width, nonlinearity=design["nonlinearity"]),
            FlipChannels(),
        ]

    return {"flow": MultiscaleFlow(size, _levels(size, levels, depth, step))}
