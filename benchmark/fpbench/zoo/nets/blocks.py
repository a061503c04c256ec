"""The building blocks that design choices name: resampling, normalisation, nonlinearity."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class LatentNetwork(nn.Module):
    """A network that makes images from latent vectors.

    Attributes:
        latent: Dimension of the vectors.
    """

    latent: int


class PixelNorm(nn.Module):
    """Divides every pixel's feature vector by its root mean square (ProGAN, section 4.2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise features of shape (B, C, ...) over C."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class Blur(nn.Module):
    """Depthwise binomial filter [1 2 1] x [1 2 1] / 16, reflecting at the border."""

    def forward(self, x: Tensor) -> Tensor:
        """Filter features of shape (B, C, H, W)."""
        taps = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype, device=x.device) / 4
        kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
        return functional.conv2d(
            functional.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=x.shape[1]
        )


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky-relu": lambda: nn.LeakyReLU(0.2),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
}

NORMALISATIONS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "layer": lambda channels: nn.GroupNorm(1, channels),
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "group": lambda channels: nn.GroupNorm(min(8, channels), channels),
    "pixel": lambda channels: PixelNorm(),
    "none": lambda channels: nn.Identity(),
}


def _choose(
    table: dict[str, Callable[..., nn.Module]], kind: str, what: str
) -> Callable[..., nn.Module]:
    if kind not in table:
        raise ValueError(f"no {what} {kind!r}; use one of {', '.join(table)}")
    return table[kind]


def activation(kind: str) -> nn.Module:
    """The nonlinearity `kind`, one of `ACTIVATIONS`.

    Raises:
        ValueError: If there is no such nonlinearity.
    """
    return _choose(ACTIVATIONS, kind, "nonlinearity")()


def normalisation(kind: str, channels: int) -> nn.Module:
    """The normalisation `kind`, one of `NORMALISATIONS`, of features of shape (B, C, H, W).

    Raises:
        ValueError: If there is no such normalisation.
    """
    return _choose(NORMALISATIONS, kind, "normalisation")(channels)


def _resize_then_convolve(mode: str, width_in: int, width_out: int) -> nn.Module:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode=mode), nn.Conv2d(width_in, width_out, 3, padding=1)
    )


UPSAMPLINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "transposed convolution": lambda a, b: nn.ConvTranspose2d(a, b, 4, 2, 1),
    "nearest": lambda a, b: _resize_then_convolve("nearest", a, b),
    "bilinear": lambda a, b: _resize_then_convolve("bilinear", a, b),
    "pixel shuffle": lambda a, b: nn.Sequential(
        nn.Conv2d(a, 4 * b, 3, padding=1), nn.PixelShuffle(2)
    ),
}
"""Layers from (B, a, H, W) to (B, b, 2H, 2W), by name."""

DOWNSAMPLINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "strided convolution": lambda a, b: nn.Conv2d(a, b, 4, 2, 1),
    "average pooling": lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.AvgPool2d(2)),
    "max pooling": lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.MaxPool2d(2)),
    "space to depth": lambda a, b: nn.Sequential(
        nn.PixelUnshuffle(2), nn.Conv2d(4 * a, b, 3, padding=1)
    ),
    "blur and stride": lambda a, b: nn.Sequential(Blur(), nn.Conv2d(a, b, 3, 2, 1)),
}
"""Layers from (B, a, H, W) to (B, b, H/2, W/2), by name."""


def upsampling(kind: str, width_in: int, width_out: int) -> nn.Module:
    """The layer `kind` of `UPSAMPLINGS`, doubling height and width.

    Raises:
        ValueError: If there is no such layer.
    """
    return _choose(UPSAMPLINGS, kind, "upsampling")(width_in, width_out)


def downsampling(kind: str, width_in: int, width_out: int) -> nn.Module:
    """The layer `kind` of `DOWNSAMPLINGS`, halving height and width.

    Raises:
        ValueError: If there is no such layer.
    """
    return _choose(DOWNSAMPLINGS, kind, "downsampling")(width_in, width_out)


def levels(size: int, smallest: int = 4) -> int:
    """How often `size` can be halved until `smallest` is left.

    Raises:
        ValueError: If `size` is not `smallest` times a power of two.
    """
    count = 0
    while smallest << count < size:
        count += 1
    if smallest << count != size or count == 0:
        raise ValueError(f"image size {size} is not {smallest} times a power of two above one")
    return count
