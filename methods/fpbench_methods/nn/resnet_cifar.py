"""The residual networks for small images of He et al., CVPR 2016, section 4.2."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from fpbench_methods.nn.attributor import AttributorNetwork


class _BasicBlock(nn.Module):
    """Two 3×3 convolutions with a parameter-free shortcut (option A of the paper)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.padding = width - width_in

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.padding:
            before = self.padding // 2
            shortcut = functional.pad(shortcut, (0, 0, 0, 0, before, self.padding - before))
        return functional.relu(out + shortcut)


class ResNetCifar(AttributorNetwork):
    """6n + 2 layers: a 3×3 stem, three stages of n blocks with 16, 32 and 64 channels.

    Works on any input of at least 8×8 pixels, because the stages end in a global average.

    Args:
        classes: Number of logits K.
        blocks: Blocks per stage n; 3 gives ResNet-20.
        channels_in: Channels of the input.
    """

    features = 64

    def __init__(self, classes: int, blocks: int = 3, channels_in: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels_in, 16, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        stages: list[nn.Module] = []
        width_in = 16
        for width in (16, 32, 64):
            for block in range(blocks):
                stride = 2 if width > 16 and block == 0 else 1
                stages.append(_BasicBlock(width_in, width, stride))
                width_in = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(self.features, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def embed(self, x: Tensor) -> Tensor:
        """Penultimate features of shape (B, 64)."""
        maps: Tensor = self.stages(functional.relu(self.norm(self.stem(x))))
        return maps.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.head(self.embed(x))
        return logits
