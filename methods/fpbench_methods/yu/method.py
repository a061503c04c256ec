"""The plugin of Yu et al. (ICCV 2019): the attribution network and its two ablations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from fpbench.errors import BadInput
from fpbench.method import Budget, MethodCard, Range
from fpbench_methods.yu.card import YU_CARD
from fpbench_methods.yu.training import YuNetwork

if TYPE_CHECKING:
    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.yu.networks import AttributionNetwork


class Yu(YuNetwork["AttributionNetwork"]):
    """The attribution network, or an ablation of it; its 512 features are the fingerprint.

    Args:
        network: ``attribution``, ``predownscale`` or ``postpool``.
        switching_resolution: For the ablations, the side in pixels at which they switch: one of
            the image's side and its halves, or None for a quarter of the side.
        resize: Side that images are resized to (bicubic, antialiased), or None for never. 128
            with 256×256 images imitates ManiFPT's use of this method.
        common: See `YuNetwork`.

    Raises:
        BadInput: If a value is out of range.
    """

    card: ClassVar[MethodCard] = YU_CARD
    widths: ClassVar[Mapping[Budget, int]] = {"smoke": 64, "small": 128, "full": 1024}
    budget_epochs: ClassVar[Mapping[Budget, int]] = {"smoke": 3, "small": 50}
    rates: ClassVar[Mapping[Budget, float]] = {"smoke": 4e-3, "small": 4e-3, "full": 1e-3}
    images_shown = 100_000_000

    def __init__(
        self,
        *,
        network: Literal["attribution", "predownscale", "postpool"] = "attribution",
        switching_resolution: Annotated[int | None, Range(4, 8192)] = None,
        resize: Annotated[int | None, Range(YU_CARD.min_size, 8192)] = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if switching_resolution is not None and network == "attribution":
            raise BadInput(
                f"switching_resolution={switching_resolution} has no meaning for "
                "network=attribution; it is for predownscale and postpool."
            )
        self.network = network
        self.switching_resolution = switching_resolution
        self.resize = resize
        self.any_size = resize is not None
        self.crops = resize is None

    def build(self, classes: int, *, initial: bool) -> AttributionNetwork:
        """The network for the images' size, or for that which they are resized to.

        Raises:
            BadInput: If `switching_resolution` is no scale of these images.
        """
        from fpbench_methods.yu.networks import AttributionNetwork, resolutions

        size = self._size if self.resize is None else (self.resize, self.resize)
        if self.network == "attribution":
            return AttributionNetwork(classes, size, self.network_width)
        sides = [min(scale) for scale in resolutions(size)]
        switching = min(2, len(sides) - 1)
        if self.switching_resolution is not None:
            if self.switching_resolution not in sides:
                raise BadInput(
                    f"yu:{self.network} cannot switch at {self.switching_resolution} pixels; the "
                    f"scales of these images have {', '.join(map(str, sides))}."
                )
            switching = sides.index(self.switching_resolution)
        return AttributionNetwork(classes, size, self.network_width, self.network, switching)

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """That of all, with a rate that falls to 0 in budget small."""
        plan = super().plan(budget, images)
        return replace(plan, schedule="cosine") if budget == "small" else plan

    def prepare(self, batch: Tensor) -> Tensor:
        """Grey levels in [-1, 1], resized where wanted."""
        from torch.nn.functional import interpolate

        images = super().prepare(batch)
        if self.resize is None:
            return images
        return interpolate(images, size=(self.resize,) * 2, mode="bicubic", antialias=True)
