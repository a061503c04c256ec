"""Inception-v3 as the Fréchet inception distance uses it: pool3 of the TensorFlow graph of 2015."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import inception

ADDRESS = (
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth"
)
"""Where a conversion of the graph's weights to torch is published (Apache-2.0)."""

DIGEST = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
"""SHA-256 of that file, which its name begins to tell."""

FEATURES = 2048


def _pooled(x: Tensor) -> Tensor:
    """3×3 average without the zeros beyond the border, unlike torchvision's."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _BlockA(inception.InceptionA):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_pooled(x)),
        ]


class _BlockC(inception.InceptionC):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        tall = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(tall)),
            self.branch_pool(_pooled(x)),
        ]


class _BlockE(inception.InceptionE):  # type: ignore[misc]
    """The last two blocks; the very last pools by maximum, an oddity of the graph."""

    def __init__(self, channels: int, *, maximum: bool) -> None:
        super().__init__(channels)
        self._maximum = maximum

    def _forward(self, x: Tensor) -> list[Tensor]:
        three, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = functional.max_pool2d(x, 3, stride=1, padding=1) if self._maximum else _pooled(x)
        return [
            self.branch1x1(x),
            torch.cat([self.branch3x3_2a(three), self.branch3x3_2b(three)], 1),
            torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1),
            self.branch_pool(pooled),
        ]


class FIDInception(nn.Module):
    """From grey levels (B, 3, H, W), 0 to 255, to the 2048 values of pool3.

    Args:
        side: Images are resized to `side`×`side` as the graph does; 299 is the convention.
    """

    def __init__(self, side: int = 299) -> None:
        super().__init__()
        self.side = side
        net: Any = inception.Inception3(num_classes=1008, aux_logits=False, init_weights=False)
        net.Mixed_5b, net.Mixed_5c = _BlockA(192, 32), _BlockA(256, 64)
        net.Mixed_5d = _BlockA(288, 64)
        net.Mixed_6b = _BlockC(768, channels_7x7=128)
        net.Mixed_6c, net.Mixed_6d = (_BlockC(768, channels_7x7=160) for _ in range(2))
        net.Mixed_6e = _BlockC(768, channels_7x7=192)
        net.Mixed_7b = _BlockE(1280, maximum=False)
        net.Mixed_7c = _BlockE(2048, maximum=True)
        net.fc = nn.Identity()
        net.dropout = nn.Identity()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (B, 2048)."""
        resized = resize_as_tensorflow(x.float(), self.side)
        features: Tensor = self.net.eval()((resized - 128.0) / 128.0)
        return features


def resize_as_tensorflow(x: Tensor, side: int) -> Tensor:
    """Bilinear resizing as TensorFlow 1 did it: pixel i is read at i·H/side, without a half.

    Args:
        x: float32 of shape (B, C, H, W).
        side: Height and width of the result.
    """
    for axis in (-2, -1):
        length = x.shape[axis]
        place = torch.arange(side, device=x.device, dtype=torch.float32) * (length / side)
        low = place.floor().long().clamp(max=length - 1)
        high = (low + 1).clamp(max=length - 1)
        share = (place - low).view([-1, 1] if axis == -2 else [-1])
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
    return x
