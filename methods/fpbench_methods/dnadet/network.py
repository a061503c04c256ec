"""DNA-Det's network, its projection, and the loss that pulls patches of one source together."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench_methods.nn.attributor import AttributorNetwork


class SimpleCNN(AttributorNetwork):
    """Four blocks of a 4×4 convolution of stride 2 and a 3×3 one, 64 to 512 wide.

    Each is followed by batch normalisation and LeakyReLU(0.2); a global average, dropout and one
    linear layer end it, so that any size of at least 16×16 pixels is taken.

    Args:
        classes: Number of logits K.
        dropout: Probability of dropout before the last layer.
    """

    features = 512

    def __init__(self, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = 3
        for width in (64, 128, 256, 512):
            layers += [
                nn.Conv2d(width_in, width, 4, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2),
                nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2),
            ]  # fmt: skip
            width_in = width
        self.body = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.features, classes)

    def embed(self, x: Tensor) -> Tensor:
        """Pooled features of shape (B, 512)."""
        maps: Tensor = self.body(x)
        return maps.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.head(self.dropout(self.embed(x)))
        return logits


class PatchTraining(nn.Module):
    """What the second stage trains: the network, its projection, and the weights of two losses.

    Args:
        network: The network.
    """

    def __init__(self, network: SimpleCNN) -> None:
        super().__init__()
        self.network = network
        self.projection = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128))
        self.log_variances = nn.Parameter(torch.zeros(2))

    def loss(self, patches: Tensor, labels: Tensor, groups: Tensor) -> Tensor:
        """exp(−s₁)·CE + s₁ + exp(−s₂)·SupCon + s₂ with learned s (Kendall et al., 2018).

        Args:
            patches: Network inputs of shape (B, 3, h, w).
            labels: Integers of shape (B,), for the cross-entropy.
            groups: Integers of shape (B,); patches of one group are each other's positives.
        """
        features = self.network.embed(patches)
        logits = self.network.head(self.network.dropout(features))
        contrast = supervised_contrast(
            functional.normalize(self.projection(features).float(), dim=1), groups
        )
        terms = torch.stack([functional.cross_entropy(logits.float(), labels), contrast])
        return (torch.exp(-self.log_variances) * terms + self.log_variances).sum()


def supervised_contrast(embedded: Tensor, labels: Tensor, temperature: float = 0.07) -> Tensor:
    """Supervised contrastive loss (Khosla et al., NeurIPS 2020, equation 2).

    The mean, over anchors with a positive, of minus the mean over its positives of
    ``log(exp(z·z⁺/τ) / Σ_{a ≠ anchor} exp(z·a/τ))``.

    Args:
        embedded: Unit vectors of shape (B, D).
        labels: Integers of shape (B,).
        temperature: τ.
    """
    similar = embedded @ embedded.T / temperature
    itself = torch.eye(len(labels), dtype=torch.bool, device=embedded.device)
    logs = similar - similar.masked_fill(itself, -torch.inf).logsumexp(dim=1, keepdim=True)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    counts = positive.sum(dim=1)
    anchors = counts > 0
    if not anchors.any():
        return embedded.sum() * 0.0
    means = (logs * positive).sum(dim=1)[anchors] / counts[anchors]
    return -means.mean()
