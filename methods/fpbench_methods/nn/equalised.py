"""Layers with an equalised learning rate (Karras et al., ICLR 2018, section 4.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

GAIN = math.sqrt(2)
"""He's gain for layers that a (leaky) rectifier follows; the last layer takes 1."""


class EqualisedConv2d(nn.Module):
    """A convolution of stride 1 whose weights are scaled to He's deviation at run time.

    Weights are drawn from N(0, 1) and multiplied by ``gain / sqrt(fan_in)`` in every forward
    pass, so that an optimiser that normalises gradients moves all layers equally fast. Borders
    are reflected; the size stays. The bias starts at zero and is not scaled.

    Args:
        channels_in: Channels of the input.
        channels: Channels of the output.
        kernel: Odd width of the kernel.
        gain: 1 for a layer without a rectifier after it.
    """

    def __init__(
        self, channels_in: int, channels: int, kernel: int = 3, gain: float = GAIN
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.scale = gain / math.sqrt(channels_in * kernel * kernel)
        self.border = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """From (B, channels_in, H, W) to (B, channels, H, W)."""
        padded = functional.pad(x, (self.border,) * 4, mode="reflect")
        return functional.conv2d(padded, self.weight * self.scale, self.bias)


class EqualisedLinear(nn.Module):
    """A fully connected layer, scaled as `EqualisedConv2d`.

    Args:
        features_in: Length of the input.
        features: Length of the output.
        gain: 1 for a layer without a rectifier after it.
    """

    def __init__(self, features_in: int, features: int, gain: float = GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features, features_in))
        self.bias = nn.Parameter(torch.zeros(features))
        self.scale = gain / math.sqrt(features_in)

    def forward(self, x: Tensor) -> Tensor:
        """From (B, features_in) to (B, features)."""
        return functional.linear(x, self.weight * self.scale, self.bias)
