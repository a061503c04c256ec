"""A network of timm as an attributor: logits, and the pooled features before them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fpbench_methods.nn.attributor import AttributorNetwork
from fpbench_methods.nn.pretrained import create_timm


class TimmClassifier(AttributorNetwork):
    """A timm model with a new linear head of K classes.

    Args:
        name: timm's name, e.g. ``resnet50.a1_in1k``.
        classes: Number of logits K.
        pretrained: Start from trained weights.
        weights: A file that holds them, or None for those that timm fetches from the Hub.

    Raises:
        MethodDeclined: If the weights are not available.
        BadInput: If the file holds the weights of another network.
    """

    def __init__(
        self, name: str, classes: int, *, pretrained: bool, weights: str | None = None
    ) -> None:
        super().__init__()
        self.body = create_timm(name, pretrained=pretrained, weights=weights, num_classes=classes)

    def embed(self, x: Tensor) -> Tensor:
        """Pooled features of shape (B, D)."""
        body: Any = self.body
        pooled: Tensor = body.forward_head(body.forward_features(x), pre_logits=True)
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.body(x)
        return logits
