"""A network of timm as an attributor: logits, and the pooled features before them."""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor

from fpbench.method import MethodDeclined
from fpbench_methods.nn.attributor import AttributorNetwork


class TimmClassifier(AttributorNetwork):
    """A timm model with a new linear head of K classes.

    Args:
        name: timm's name, e.g. ``resnet50.a1_in1k``.
        classes: Number of logits K.
        pretrained: Start from the weights that timm fetches from the Hub.

    Raises:
        MethodDeclined: If the weights cannot be fetched.
    """

    def __init__(self, name: str, classes: int, *, pretrained: bool) -> None:
        super().__init__()
        try:
            self.body = timm.create_model(name, pretrained=pretrained, num_classes=classes)
        # timm lets through whatever its download raises: OSError, RuntimeError, hub errors.
        except Exception as error:
            if not pretrained:
                raise
            raise MethodDeclined(
                f"The ImageNet weights of {name} cannot be had here ({type(error).__name__}). "
                f"With a connection, run: hf download timm/{name}; or train from scratch with "
                "--set pretrained=false."
            ) from error

    def embed(self, x: Tensor) -> Tensor:
        """Pooled features of shape (B, D)."""
        body: Any = self.body
        pooled: Tensor = body.forward_head(body.forward_features(x), pre_logits=True)
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.body(x)
        return logits
