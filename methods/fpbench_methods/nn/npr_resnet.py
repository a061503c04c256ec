"""The first half of a ResNet-50, as Tan et al. (CVPR 2024) read up-sampling traces."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fpbench_methods.nn.attributor import AttributorNetwork


def neighbouring_residual(x: Tensor) -> Tensor:
    """Each pixel minus the top left one of its 2×2 cell, x − up(down(x)) with nearest neighbours.

    Args:
        x: Shape (B, C, H, W); an odd last row or column is cut off.

    Returns:
        Shape (B, C, 2·⌊H/2⌋, 2·⌊W/2⌋).
    """
    height, width = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    even = x[..., :height, :width]
    corners = even[..., ::2, ::2]
    return even - corners.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)


class _Bottleneck(nn.Module):
    """1×1, 3×3 and 1×1 convolutions around a shortcut; the output is four times as wide."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        out = 4 * width
        self.body = nn.Sequential(
            nn.Conv2d(width_in, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out),
        )  # fmt: skip
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


class NPRResNet(AttributorNetwork):
    """A 3×3 stem of stride 2, a pool, three and four bottlenecks of 256 and 512 channels.

    It looks at 2/3 of the neighbouring residual of its input.

    Args:
        classes: Number of logits K.
    """

    features = 512

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )  # fmt: skip
        blocks: list[nn.Module] = []
        width_in = 64
        for width, count, stride in ((64, 3, 1), (128, 4, 2)):
            for block in range(count):
                blocks.append(_Bottleneck(width_in, width, stride if block == 0 else 1))
                width_in = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(self.features, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def embed(self, x: Tensor) -> Tensor:
        """Pooled features of shape (B, 512)."""
        maps: Tensor = self.blocks(self.stem(neighbouring_residual(x) * (2.0 / 3.0)))
        return maps.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.head(self.embed(x))
        return logits
