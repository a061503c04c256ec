"""What attribution and parsing have in common: the estimated fingerprint, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, Range
from fpbench_methods.bases.network import Network, NetworkMethod
from fpbench_methods.bases.saved import Arrays, Facts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.asnani.estimation import EstimationNetwork

_WIDTHS: Mapping[Budget, int] = {"smoke": 8, "small": 16, "full": 64}
_DEPTHS: Mapping[Budget, int] = {"smoke": 5, "small": 9, "full": 17}
_BATCHES: Mapping[Budget, int] = {"smoke": 32, "small": 16, "full": 16}
_LEAST_EPOCHS = 2


class EstimatingMethod(NetworkMethod[Network]):
    """A network that estimates a fingerprint under four constraints, and a head that reads it.

    Args:
        batch_max: Seek the spectral peak in the whole batch (released code), not in each image.
        fixed_window: A low-frequency window of 51×51 for images above 128 pixels, too (released
            code).
        depth: Convolutions of the estimation network; None for the budget's, 17 in the paper.
        width: Its channels; None for the budget's, 64 in the paper.
        length: See `NetworkMethod`; the paper's rate is 1e-4.

    Attributes:
        rates: Of each budget.
        budget_epochs: Of each budget; those of one that is missing follow from `images_shown`.
        images_shown: Length of the released training.
    """

    residual_names: tuple[str, str] = ("image − fingerprint", "estimated fingerprint")
    smoke_images = None
    rates: ClassVar[Mapping[Budget, float]]
    budget_epochs: ClassVar[Mapping[Budget, int]]
    images_shown: ClassVar[int] = 0

    def __init__(
        self,
        *,
        batch_max: bool = False,
        fixed_window: bool = False,
        depth: Annotated[int | None, Range(3, 100)] = None,
        width: Annotated[int | None, Range(1, 2048)] = None,
        **length: Any,
    ) -> None:
        super().__init__(**length)
        self.batch_max = batch_max
        self.fixed_window = fixed_window
        self.depth = depth
        self.width = width

    def estimation(self) -> EstimationNetwork:
        """An estimation network of the depth and width that were asked for, or the budget's."""
        from fpbench_methods.asnani.estimation import EstimationNetwork

        budget = self._budget
        return EstimationNetwork(self.depth or _DEPTHS[budget], self.width or _WIDTHS[budget])

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """Adam in float32: bfloat16 would round the fingerprint, whose spectrum is what is read."""
        from fpbench.compute.training_plan import TrainingPlan

        shown = max(_LEAST_EPOCHS, round(self.images_shown / max(1, images)))
        return TrainingPlan(
            epochs=self.budget_epochs.get(budget, shown),
            batch=_BATCHES[budget],
            lr=self.rates[budget],
            precision="fp32",
        )

    def prepare(self, batch: Tensor) -> Tensor:
        """Grey levels, standardised as in the released code."""
        from fpbench_methods.asnani.preparation import standardised

        return standardised(batch)

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """The estimated fingerprints, in grey levels: shape (N, H, W, 3)."""
        from fpbench_methods.asnani.preparation import grey_levels

        estimated = self.infer_map(images, "estimation.forward")
        return np.ascontiguousarray(grey_levels(estimated).transpose(0, 2, 3, 1))

    @classmethod
    def upgraded(cls, arrays: Arrays, facts: Facts) -> tuple[Arrays, Facts]:
        """Facts in which one class had both heads, and depth and width were the budget's."""
        if "budget" in facts:
            return arrays, facts
        kept = "AsnaniParsing" if facts["params"]["head"] == "parsing" else "Asnani"
        known: dict[str, Any] = {
            name: value for name, value in facts["params"].items() if name in cls.parameters()
        }
        extra = {"values": facts["values"], "majority": facts["majority"]}
        return arrays, {"class": kept, "params": known, "size": facts["size"], "budget": "small",
                        "extra": extra}  # fmt: skip
