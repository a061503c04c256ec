"""The small networks of Frank et al. (ICML 2020) on cosine spectra."""

from __future__ import annotations

from torch import Tensor, nn

from fpbench_methods.nn.attributor import AttributorNetwork


class DCTCNN(AttributorNetwork):
    """3×3 convolutions 3-8-pool-16-pool-32 with ReLU, flattened, one linear layer.

    Args:
        classes: Number of logits K.
        size: Height and width of the input, at least 4×4.
    """

    def __init__(self, classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(),
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(32 * (size[0] // 4) * (size[1] // 4), classes)

    def embed(self, x: Tensor) -> Tensor:
        """The flattened maps, shape (B, 32·(H/4)·(W/4))."""
        maps: Tensor = self.body(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.head(self.embed(x))
        return logits


class LinearAttributor(AttributorNetwork):
    """One linear layer on the flattened input: multinomial logistic regression.

    Args:
        classes: Number of logits K.
        inputs: Number of values of one input.
    """

    def __init__(self, classes: int, inputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, classes)

    def embed(self, x: Tensor) -> Tensor:
        """The input itself, flattened."""
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        logits: Tensor = self.head(x.flatten(1))
        return logits
