"""The set encoder ρ(pool φ(x_n)): a Deep Set over images (Song & AbdAlmageed 2022, section 3)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Pool = Literal["mean", "sum"]
WIDTHS = (64, 128, 256, 256)
DIMENSION = 128
_SLOPE = 0.2


def high_pass(x: Tensor) -> Tensor:
    """Images (B, C, H, W) minus their 3×3 box mean, borders reflected."""
    padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
    return x - functional.avg_pool2d(padded, 3, stride=1)


class SetEncoder(nn.Module):
    """From bags of images to vectors, whatever the order of the images in a bag.

    φ is four 3×3 convolutions of stride 2 with batch normalisation and LeakyReLU, then a global
    average, so any image size from 16 pixels is taken; the pool is over the images of a bag; ρ
    is two dense layers.

    Args:
        pool: ``mean``, so that bags of any size give inputs of one scale, or ``sum``, with which
            the scale grows with the bag.
        widths: Channels of φ's convolutions.
        dimension: Length of the bag's vector z.
        residual: Whether a fixed high-pass precedes φ.
    """

    def __init__(
        self,
        pool: Pool = "mean",
        widths: tuple[int, ...] = WIDTHS,
        dimension: int = DIMENSION,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.residual = residual
        layers: list[nn.Module] = []
        channels = 3
        for width in widths:
            layers += [
                nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.LeakyReLU(_SLOPE),
            ]
            channels = width
        self.convolutions = nn.Sequential(*layers)
        self.rho = nn.Sequential(
            nn.Linear(channels, channels), nn.LeakyReLU(_SLOPE), nn.Linear(channels, dimension)
        )

    def phi(self, images: Tensor) -> Tensor:
        """Features of single images: from (B, 3, H, W) in [-1, 1] to (B, widths[-1])."""
        inputs = high_pass(images) if self.residual else images
        maps: Tensor = self.convolutions(inputs)
        return maps.mean(dim=(2, 3))

    def pooled(self, features: Tensor) -> Tensor:
        """Pool features of bags of one size, (B, N, F), over their images: (B, F)."""
        return features.mean(dim=1) if self.pool == "mean" else features.sum(dim=1)

    def forward(self, images: Tensor, bags: int | None = None) -> Tensor:
        """Vectors z of bags.

        Args:
            images: Shape (B·N, 3, H, W), bag after bag. All go through φ in one batch: a bag
                normalised by its own statistics would be recognised by them.
            bags: Number of bags B; None for bags of one.

        Returns:
            Shape (B, dimension).
        """
        features = self.phi(images)
        grouped = features.reshape(len(images) if bags is None else bags, -1, features.shape[1])
        vectors: Tensor = self.rho(self.pooled(grouped))
        return vectors
