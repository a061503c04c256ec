"""What reads the estimated fingerprint: the attribution head and the parsing network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench_methods.asnani.estimation import EstimationNetwork, luminance, spectrum
from fpbench_methods.nn.attributor import AttributorNetwork

FEATURES = 512
_PARSING_WIDTHS = (32, 64, 128, 256, 512)


class SpectrumHead(nn.Module):
    """Two 5×5 convolutions with pooling, then dense layers of 512 and K, on a spectrum.

    At 128×128 the flattened maps have 65,536 entries.

    Args:
        classes: Number of logits K.
        size: Height and width of the spectrum.
    """

    def __init__(self, classes: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.flat = 64 * (size[0] // 4) * (size[1] // 4)
        self.drop = nn.Dropout(0.5)
        self.dense = nn.Linear(self.flat, FEATURES)
        self.head = nn.Linear(FEATURES, classes)

    def embed(self, spectra: Tensor) -> Tensor:
        """From spectra (B, H, W) to features (B, 512)."""
        x = functional.max_pool2d(functional.relu(self.conv1(spectra[:, None])), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        return functional.relu(self.dense(self.drop(x.flatten(1))))

    def forward(self, spectra: Tensor) -> Tensor:
        """From spectra (B, H, W) to logits (B, K)."""
        logits: Tensor = self.head(self.embed(spectra))
        return logits


class AttributionPair(AttributorNetwork):
    """Estimation network and the head on its spectrum, trained end to end.

    Args:
        estimation: The estimation network.
        classes: Number of sources K.
        size: Height and width of the images.
        sigmoid: Whether logits pass through a sigmoid before the cross-entropy, as in the
            released code; it bounds the largest of K = 5 probabilities to 0.40.
    """

    def __init__(
        self,
        estimation: EstimationNetwork,
        classes: int,
        size: tuple[int, int],
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        self.estimation = estimation
        self.head = SpectrumHead(classes, size)
        self.sigmoid = sigmoid

    def judge(self, fingerprints: Tensor) -> Tensor:
        """From estimated fingerprints (B, 3, H, W) to logits (B, K)."""
        logits: Tensor = self.head(spectrum(luminance(fingerprints)))
        return logits.sigmoid() if self.sigmoid else logits

    def embed(self, x: Tensor) -> Tensor:
        """Features of shape (B, 512) before the last layer."""
        return self.head.embed(spectrum(luminance(self.estimation(x))))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (B, K)."""
        return self.judge(self.estimation(x))


class ParsingHead(nn.Module):
    """Five 3×3 convolutions with padding 2 and pooling, 512 features, one branch a group.

    At 64×64 the flattened maps have 4,608 entries. A branch is dense layers of 256 and 64, then
    one linear head per attribute.

    Args:
        groups: Groups of attributes, by name; a branch each.
        classes: Number of values of each attribute.
        size: Height and width of the images.
        dropout: Share of flattened entries dropped in training.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[str]],
        classes: Mapping[str, int],
        size: tuple[int, int],
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        height, width = size
        for outer in _PARSING_WIDTHS:
            layers += [nn.Conv2d(channels, outer, 3, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
            channels, height, width = outer, (height + 2) // 2, (width + 2) // 2
        self.body = nn.Sequential(*layers)
        self.flat = channels * height * width
        self.drop = nn.Dropout(dropout)
        self.dense = nn.Linear(self.flat, FEATURES)
        self.order = [attribute for members in groups.values() for attribute in members]
        self.groups = [list(members) for members in groups.values()]
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, 64), nn.ReLU())
            for _ in self.groups
        )
        # Attribute names may hold dots, which module names may not: heads go by position.
        self.heads = nn.ModuleList(nn.Linear(64, classes[attribute]) for attribute in self.order)

    def embed(self, fingerprints: Tensor) -> Tensor:
        """From estimated fingerprints (B, 3, H, W) to features (B, 512)."""
        return functional.relu(self.dense(self.drop(self.body(fingerprints).flatten(1))))

    def forward(self, fingerprints: Tensor) -> Tensor:
        """Logits of all attributes side by side, in the order of `order`: (B, sum of classes)."""
        features = self.embed(fingerprints)
        outputs: list[Tensor] = []
        for members, branch in zip(self.groups, self.branches, strict=True):
            shared = branch(features)
            outputs += [self.heads[len(outputs) + k](shared) for k in range(len(members))]
        return torch.cat(outputs, dim=1)


class ParsingPair(nn.Module):
    """Estimation network and the parsing head on its output.

    Args:
        estimation: The estimation network.
        head: The parsing head.
    """

    def __init__(self, estimation: EstimationNetwork, head: ParsingHead) -> None:
        super().__init__()
        self.estimation = estimation
        self.head = head

    def embed(self, x: Tensor) -> Tensor:
        """Features of shape (B, 512)."""
        return self.head.embed(self.estimation(x))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of all attributes side by side."""
        logits: Tensor = self.head(self.estimation(x))
        return logits
