"""An attributor of feature vectors: two hidden layers."""

from __future__ import annotations

from torch import Tensor, nn

from fpbench_methods.nn.attributor import AttributorNetwork


class VectorMLP(AttributorNetwork):
    """D → 512 → 256 → K with batch normalisation, ReLU and dropout after each hidden layer.

    Args:
        dimension: Length D of the vectors.
        classes: Number of logits K.
        dropout: Share of hidden values left out in training.
    """

    def __init__(self, dimension: int, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width_in, width in ((dimension, 512), (512, 256)):
            layers += [
                nn.Linear(width_in, width),
                nn.BatchNorm1d(width),
                nn.ReLU(),
                nn.Dropout(dropout),
            ]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(256, classes)

    def embed(self, x: Tensor) -> Tensor:
        """Penultimate features of shape (B, 256)."""
        hidden: Tensor = self.body(x)
        return hidden

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.head(self.embed(x))
        return logits
