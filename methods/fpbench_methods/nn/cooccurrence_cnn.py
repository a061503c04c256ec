"""The network of Nataraj et al. (2019) on co-occurrence matrices."""

from __future__ import annotations

from torch import Tensor, nn

from fpbench_methods.nn.attributor import AttributorNetwork


class CooccurrenceCNN(AttributorNetwork):
    """Pairs of 3×3 and 5×5 convolutions, 32, 64 and 128 wide, each pair pooled; two layers of 256.

    Args:
        classes: Number of logits K.
        levels: Side of the matrices, a multiple of 8.
    """

    features = 256

    def __init__(self, classes: int, levels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = 3
        for width in (32, 64, 128):
            layers += [
                nn.Conv2d(width_in, width, 3, padding=1), nn.ReLU(),
                nn.Conv2d(width, width, 5, padding=2), nn.ReLU(),
                nn.MaxPool2d(2),
            ]  # fmt: skip
            width_in = width
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Sequential(
            nn.Linear(128 * (levels // 8) ** 2, 256), nn.ReLU(),
            nn.Linear(256, 256), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(256, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                # Fourteen layers without normalisation: torch's default lets the signal fade.
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def embed(self, x: Tensor) -> Tensor:
        """Features of shape (B, 256)."""
        dense: Tensor = self.dense(self.body(x))
        return dense

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.head(self.embed(x))
        return logits
