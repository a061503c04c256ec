"""The fingerprint-visualisation network behind the contract: it has residuals to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget
from fpbench_methods.yu.training import YuNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.yu.visualisation import VisualisationNetwork


class YuVisualisation(YuNetwork["VisualisationNetwork"]):
    """Fingerprints x − R(x) and learned source fingerprints, at the images' own size."""

    residual_names: tuple[str, str] = ("reconstruction", "image fingerprint")
    widths: ClassVar[Mapping[Budget, int]] = {"smoke": 32, "small": 64, "full": 1024}
    budget_epochs: ClassVar[Mapping[Budget, int]] = {"smoke": 2, "small": 14}
    rates: ClassVar[Mapping[Budget, float]] = {"smoke": 1e-2, "small": 1e-2, "full": 1e-3}
    images_shown = 25_000_000

    def build(self, classes: int, *, initial: bool) -> VisualisationNetwork:
        """The auto-encoder and the kernels."""
        from fpbench_methods.yu.visualisation import VisualisationNetwork

        return VisualisationNetwork(classes, self._size, self.network_width)

    def to_train(self, network: VisualisationNetwork) -> nn.Module:
        """The network and its critic."""
        from fpbench_methods.yu.visualisation import AdversarialVisualisation, Critic

        return AdversarialVisualisation(network, Critic(self._size, self.network_width))

    def objective(self, trained: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        """The losses of both players."""
        from fpbench_methods.yu.visualisation import AdversarialVisualisation

        assert isinstance(trained, AdversarialVisualisation)  # noqa: S101
        return trained.loss

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """That of all, with a running average of the weights, in float32.

        bfloat16 rounds R(x) by up to a quarter of a grey level: noise in the fingerprint.
        """
        return replace(super().plan(budget, images), average=0.999, precision="fp32")

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Image fingerprints x − R(x), x in [-1, 1], shape (N, H·W·3)."""
        return super().embed(images)

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """Image fingerprints x − R(x) in grey levels, shape (N, H, W, 3)."""
        maps = self.infer_map(images, "residual").transpose(0, 2, 3, 1)
        return np.ascontiguousarray(maps) * np.float32(127.5)

    def fingerprints(self) -> NDArray[np.float32]:
        """Source fingerprints: the learned correlation kernels, shape (K, H·W·3)."""
        kernels = self.fitted(self._network).fingerprints().detach().permute(0, 2, 3, 1).flatten(1)
        return np.asarray(kernels.cpu().numpy(), np.float32)
