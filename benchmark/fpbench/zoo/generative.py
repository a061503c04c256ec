"""What the one pipeline trains and samples: networks together with their loss and sampler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Generative(nn.Module, ABC):
    """A generative model with its loss and its sampler.

    The parts (networks) become submodules under their names. A *player* is a set of parameters
    with an optimiser of its own, by default one player per model; in one training step the players
    of `turns` move one after the other, each on a fresh batch of images.

    Randomness comes from torch's global generator, which the pipeline seeds before every step and
    before every batch of samples.

    Attributes:
        players: Names of the players.
        fraction: Share of the training budget that is done, in [0, 1]; the pipeline sets it.

    Args:
        parts: Networks by name.
        size: Height and width of the images in pixels.
    """

    players: Sequence[str] = ("model",)

    def __init__(self, parts: Mapping[str, nn.Module], *, size: int) -> None:
        super().__init__()
        self.size = size
        self.fraction = 0.0
        for name, part in parts.items():
            self.add_module(name, part)

    def turns(self, step: int) -> Sequence[str]:
        """The players that move in this step, in order; a player may move more than once."""
        return self.players

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """Parameters that `player` moves."""
        return [p for p in self.parameters() if p.requires_grad]

    def noise(self, *shape: int) -> Tensor:
        """Standard normal numbers of this shape, on the model's device."""
        return torch.randn(*shape, device=next(self.parameters()).device)

    def initialise(self, images: Tensor) -> None:
        """Set what depends on data, once before the first step.

        Args:
            images: A first batch, float32 of shape (B, 3, size, size) in [-1, 1].
        """
        return None

    @abstractmethod
    def loss(self, player: str, images: Tensor) -> Tensor:
        """The scalar that `player` minimises.

        Args:
            player: One of `players`.
            images: float32 of shape (B, 3, size, size) in [-1, 1].
        """

    @abstractmethod
    def draw(self, count: int) -> Tensor:
        """New images: float32 of shape (count, 3, size, size), nominally in [-1, 1]."""
