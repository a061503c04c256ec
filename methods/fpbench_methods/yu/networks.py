"""The attribution network of Yu et al. (ICCV 2019) and the trunk it shares with the others."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench_methods.nn.attributor import AttributorNetwork
from fpbench_methods.nn.equalised import EqualisedConv2d, EqualisedLinear

Mode = Literal["postpool", "predownscale"]

FULL_WIDTH = 1024
MOST_CHANNELS = 512
FEATURES = 512
"""Length of the image fingerprint."""
_SLOPE = 0.2
_LEAST = 4


def channels_at(level: int, width: int = FULL_WIDTH) -> int:
    """``min(width / 2^level, 512)``, at least 1.

    >>> [channels_at(level) for level in (6, 5, 4, 3, 2, 1)]
    [16, 32, 64, 128, 256, 512]
    """
    return max(1, min(width >> level, MOST_CHANNELS))


def resolutions(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes of the scales, halved while the shorter side stays at least 4.

    >>> resolutions((33, 40))
    [(33, 40), (16, 20), (8, 10), (4, 5)]
    """
    scales = [size]
    while min(scales[-1]) >= 2 * _LEAST:
        height, width = scales[-1]
        scales.append((height // 2, width // 2))
    return scales


def halve_blurred(x: Tensor) -> Tensor:
    """Blur by a 5×5 binomial kernel with reflected borders, then keep every second pixel."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=x.device, dtype=x.dtype) / 16
    channels, (height, width) = x.shape[1], x.shape[2:]
    kernel = torch.outer(taps, taps).expand(channels, 1, 5, 5)
    even = x[:, :, : height // 2 * 2, : width // 2 * 2]
    padded = functional.pad(even, (2, 2, 2, 2), mode="reflect")
    return functional.conv2d(padded, kernel, stride=2, groups=channels)


class Trunk(nn.Module):
    """Convolutions and average pooling down to 4×4 (up to 7×7 for other sizes).

    At 128² with the paper's width, two 3×3 convolutions a scale: 3 → 16 → 32 at 128, 32 → 32 →
    64 at 64, 64 → 64 → 128 at 32, 128 → 128 → 256 at 16, 256 → 256 → 512 at 8. Smaller images
    have fewer scales and larger ones more, with the channels of a scale given by how many
    halvings remain.

    Args:
        size: Height and width of the images.
        width: Channels of a scale are ``min(width / 2^level, 512)``; 1024 in the paper.
        mode: What happens beyond `switching`: ``postpool`` has convolutions on the scales above
            it and only average pooling below; ``predownscale`` blurs and halves the image down
            to it and has convolutions only from there.
        switching: Index of the switching scale in `resolutions`, or None for convolutions at
            every scale.

    Attributes:
        channels: Channels of the output.
        out: Height and width of the output.
    """

    def __init__(
        self,
        size: tuple[int, int],
        width: int = FULL_WIDTH,
        mode: Mode = "postpool",
        switching: int | None = None,
    ) -> None:
        super().__init__()
        scales = resolutions(size)
        halvings = len(scales) - 1
        first, last = 0, halvings
        if switching is not None:
            first, last = (0, switching) if mode == "postpool" else (switching, halvings)
        self.downscalings = first
        self.poolings = halvings - last
        self.blocks = nn.ModuleList()
        self.channels = 3
        for scale in range(first, last):
            level = halvings - scale + 1
            inner, outer = channels_at(level, width), channels_at(level - 1, width)
            self.blocks.append(
                nn.ModuleList(
                    [EqualisedConv2d(self.channels, inner), EqualisedConv2d(inner, outer)]
                )
            )
            self.channels = outer
        self.out = scales[-1]

    def forward(self, x: Tensor) -> Tensor:
        """From images (B, 3, H, W) in [-1, 1] to maps (B, channels, *out)."""
        for _ in range(self.downscalings):
            x = halve_blurred(x)
        for block in self.blocks:
            for convolution in block:  # type: ignore[attr-defined]
                x = functional.leaky_relu(convolution(x), _SLOPE)
            x = functional.avg_pool2d(x, 2)
        for _ in range(self.poolings):
            x = functional.avg_pool2d(x, 2)
        return x


class AttributionNetwork(AttributorNetwork):
    """Trunk, one convolution at 4×4, a dense layer of 512 and one of K logits.

    All weights have an equalised learning rate, gain √2 but 1 in the last layer; LeakyReLU of
    slope 0.2; no normalisation layer.

    Args:
        classes: Number of logits K.
        size: Height and width of the images.
        width: See `Trunk`.
        mode: See `Trunk`.
        switching: See `Trunk`.
    """

    def __init__(
        self,
        classes: int,
        size: tuple[int, int],
        width: int = FULL_WIDTH,
        mode: Mode = "postpool",
        switching: int | None = None,
    ) -> None:
        super().__init__()
        self.trunk = Trunk(size, width, mode, switching)
        last = channels_at(1, width)
        features = max(FEATURES, classes)
        self.last = EqualisedConv2d(self.trunk.channels, last)
        self.dense = EqualisedLinear(last * self.trunk.out[0] * self.trunk.out[1], features)
        self.head = EqualisedLinear(features, classes, gain=1.0)

    def embed(self, x: Tensor) -> Tensor:
        """The image fingerprint: penultimate features of shape (B, max(512, K))."""
        maps = functional.leaky_relu(self.last(self.trunk(x)), _SLOPE)
        return functional.leaky_relu(self.dense(maps.flatten(1)), _SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.head(self.embed(x))
        return logits
