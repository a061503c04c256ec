"""What the networks of Yu et al. (ICCV 2019) have in common: their input and their training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from fpbench.method import Budget, Range
from fpbench_methods.bases.network import Network, NetworkMethod
from fpbench_methods.bases.saved import Arrays, Facts

if TYPE_CHECKING:
    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan

_BATCH = 32


class YuNetwork(NetworkMethod[Network]):
    """A network on pixels in [-1, 1], trained with Adam on images mirrored at random.

    Args:
        width: Channels of a scale are ``min(width / 2^level, 512)``; None for the budget's, 1024
            in the paper.
        flip: Whether training images are mirrored at random.
        length: See `NetworkMethod`.

    Attributes:
        widths: Of each budget.
        budget_epochs: Of each budget but full, whose follow from `images_shown`.
        rates: Of each budget: the paper's at full; a short training of a narrow network needs
            larger steps.
        images_shown: Length of the paper's training.
    """

    smoke_images = None
    widths: ClassVar[Mapping[Budget, int]]
    budget_epochs: ClassVar[Mapping[Budget, int]]
    rates: ClassVar[Mapping[Budget, float]]
    images_shown: ClassVar[int]

    def __init__(
        self,
        *,
        width: Annotated[int | None, Range(1, 8192)] = None,
        flip: bool = True,
        **length: Any,
    ) -> None:
        super().__init__(**length)
        self.width = width
        self.flip = flip

    @property
    def network_width(self) -> int:
        """The width that was asked for, or the budget's."""
        return self.width or self.widths[self._budget]

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """Adam with β = (0, 0.99) in batches of 32."""
        from fpbench.compute.training_plan import TrainingPlan

        full = max(1, round(self.images_shown / max(1, images)))
        epochs = full if budget == "full" else self.budget_epochs[budget]
        return TrainingPlan(
            epochs=epochs,
            batch=_BATCH,
            lr=self.rates[budget],
            betas=(0.0, 0.99),
            precision="auto",
        )

    def prepare(self, batch: Tensor) -> Tensor:
        """Grey levels in [-1, 1]."""
        from fpbench.compute.inference import signed_range

        return signed_range(batch)

    def augmentation(self) -> Callable[[Tensor], Tensor] | None:
        """Mirror images at random, where wanted."""
        return flip_at_random if self.flip else None

    @classmethod
    def upgraded(cls, arrays: Arrays, facts: Facts) -> tuple[Arrays, Facts]:
        """Facts in which arguments stood beside the size, and the width was the budget's."""
        if "params" in facts:
            return arrays, facts
        kept = "YuVisualisation" if facts["network"] == "visnet" else "Yu"
        known = {name: value for name, value in facts.items() if name in cls.parameters()}
        return arrays, {"class": kept, "params": known, "size": facts["size"], "budget": "small"}


def flip_at_random(batch: Tensor) -> Tensor:
    """Mirror each image (B, C, H, W) left to right with probability one half."""
    import torch

    mirrored = torch.rand(len(batch), device=batch.device) < 0.5
    return torch.where(mirrored[:, None, None, None], batch.flip(3), batch)
