"""What every attribution network offers: logits, and the features before them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class AttributorNetwork(nn.Module, ABC):
    """A network with K logits and penultimate features."""

    @abstractmethod
    def embed(self, x: Tensor) -> Tensor:
        """Penultimate features of shape (B, D)."""


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)
