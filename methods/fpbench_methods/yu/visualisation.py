"""The fingerprint-visualisation network of Yu et al. (ICCV 2019), section 3.3, and its critic."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench_methods.nn.adversarial import gradient_penalty, with_batch_deviation
from fpbench_methods.nn.attributor import AttributorNetwork
from fpbench_methods.nn.equalised import EqualisedConv2d, EqualisedLinear
from fpbench_methods.yu.networks import (
    FEATURES,
    FULL_WIDTH,
    Trunk,
    channels_at,
    resolutions,
)

RECONSTRUCTION_WEIGHT = 20.0
ADVERSARIAL_WEIGHT = 0.1
PENALTY_WEIGHT = 10.0
DRIFT_WEIGHT = 1e-3
_SLOPE = 0.2


class Reconstruction(nn.Module):
    """An auto-encoder R(x): the trunk, a convolution at 4×4, and its mirror image with tanh.

    Args:
        size: Height and width of the images.
        width: See `fpbench_methods.yu.networks.Trunk`.
    """

    def __init__(self, size: tuple[int, int], width: int = FULL_WIDTH) -> None:
        super().__init__()
        self.encoder = Trunk(size, width)
        self.sizes = resolutions(size)[-2::-1]
        channels = channels_at(1, width)
        self.bottleneck = EqualisedConv2d(self.encoder.channels, channels)
        self.blocks = nn.ModuleList()
        for level in range(2, len(self.sizes) + 2):
            inner = channels_at(level, width)
            self.blocks.append(
                nn.ModuleList([EqualisedConv2d(channels, inner), EqualisedConv2d(inner, inner)])
            )
            channels = inner
        self.to_rgb = EqualisedConv2d(channels, 3, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """From images (B, 3, H, W) in [-1, 1] to their reconstructions."""
        x = functional.leaky_relu(self.bottleneck(self.encoder(x)), _SLOPE)
        for size, block in zip(self.sizes, self.blocks, strict=True):
            x = functional.interpolate(x, size=size, mode="nearest")
            for convolution in block:  # type: ignore[attr-defined]
                x = functional.leaky_relu(convolution(x), _SLOPE)
        return torch.tanh(self.to_rgb(x))


class Critic(nn.Module):
    """The trunk, minibatch standard deviation at 4×4, a convolution, two dense layers, a score.

    Args:
        size: Height and width of the images.
        width: See `fpbench_methods.yu.networks.Trunk`.
    """

    def __init__(self, size: tuple[int, int], width: int = FULL_WIDTH) -> None:
        super().__init__()
        self.trunk = Trunk(size, width)
        last = channels_at(1, width)
        self.last = EqualisedConv2d(self.trunk.channels + 1, last)
        self.dense = EqualisedLinear(last * self.trunk.out[0] * self.trunk.out[1], FEATURES)
        self.head = EqualisedLinear(FEATURES, 1, gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of shape (B,)."""
        maps = with_batch_deviation(self.trunk(x))
        maps = functional.leaky_relu(self.last(maps), _SLOPE)
        features = functional.leaky_relu(self.dense(maps.flatten(1)), _SLOPE)
        score: Tensor = self.head(features)
        return score.squeeze(1)


class VisualisationNetwork(AttributorNetwork):
    """Image fingerprint x − R(x); logits are its inner products with the source fingerprints.

    The source fingerprints are the kernels of one valid convolution as large as the image, with
    an equalised learning rate of gain 1 and no bias, learned jointly with R.

    Args:
        classes: Number of sources K.
        size: Height and width of the images.
        width: See `fpbench_methods.yu.networks.Trunk`.
    """

    def __init__(self, classes: int, size: tuple[int, int], width: int = FULL_WIDTH) -> None:
        super().__init__()
        self.reconstruction = Reconstruction(size, width)
        self.kernels = nn.Parameter(torch.randn(classes, 3, *size))
        self.scale = 1.0 / math.sqrt(3 * size[0] * size[1])

    def fingerprints(self) -> Tensor:
        """Fingerprints of the sources, of shape (K, 3, H, W)."""
        return self.kernels * self.scale

    def residual(self, x: Tensor) -> Tensor:
        """Image fingerprints x − R(x) of shape (B, 3, H, W)."""
        reconstructed: Tensor = self.reconstruction(x)
        return x - reconstructed

    def correlate(self, residual: Tensor) -> Tensor:
        """Inner products of image fingerprints (B, 3, H, W) with those of the sources: (B, K)."""
        return torch.einsum("bchw,kchw->bk", residual, self.fingerprints())

    def embed(self, x: Tensor) -> Tensor:
        """Image fingerprints of shape (B, H·W·3), pixel by pixel."""
        return self.residual(x).permute(0, 2, 3, 1).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        return self.correlate(self.residual(x))


class AdversarialVisualisation(nn.Module):
    """The visualisation network together with the critic that it is trained against.

    Args:
        network: What is kept after training.
        critic: What is not.
    """

    def __init__(self, network: VisualisationNetwork, critic: Critic) -> None:
        super().__init__()
        self.network = network
        self.critic = critic

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K), for validation."""
        logits: Tensor = self.network(x)
        return logits

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The losses of both players, added; each player's gradient reaches its own weights only.

        Reconstruction and kernels minimise ``CE + 20·mean|R(x) − x| − 0.1·E D(R(x))``; the
        critic ``E D(R(x)) − E D(x) + 10·E(‖∇D(x̂)‖ − 1)² + 0.001·E D(x)²``. One step of both at
        once stands for one step of each.

        Args:
            images: Shape (B, 3, H, W) in [-1, 1].
            labels: Integers of shape (B,).
        """
        reconstructed = self.network.reconstruction(images)
        logits = self.network.correlate(images - reconstructed)
        # The critic's weights take no part in this graph, so that it does not move to be fooled.
        self.critic.requires_grad_(False)
        fooled = self.critic(reconstructed).float().mean()
        self.critic.requires_grad_(True)
        made: Tensor = (
            functional.cross_entropy(logits.float(), labels)
            + RECONSTRUCTION_WEIGHT * (reconstructed - images).abs().float().mean()
            - ADVERSARIAL_WEIGHT * fooled
        )
        fake = reconstructed.detach().to(images.dtype)
        score = self.critic(images).float()
        judged: Tensor = (
            self.critic(fake).float().mean()
            - score.mean()
            + PENALTY_WEIGHT * gradient_penalty(self.critic, images, fake)
            + DRIFT_WEIGHT * score.square().mean()
        )
        return made + judged
