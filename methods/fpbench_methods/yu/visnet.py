"""The fingerprint-visualisation network behind the contract: it has residuals to show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fpbench.images import ImageSet
from fpbench_methods.yu.method import Yu

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from fpbench_methods.nn.attributor import AttributorNetwork


class YuVisualisation(Yu):
    """What ``Yu(network="visnet")`` is: fingerprints x − R(x) and learned source fingerprints."""

    residual_names: tuple[str, str] = ("reconstruction", "image fingerprint")

    def _build(self) -> AttributorNetwork:
        from fpbench_methods.yu.visualisation import VisualisationNetwork

        return VisualisationNetwork(len(self._sources), self._size, self._width)

    def _to_train(
        self, network: AttributorNetwork
    ) -> tuple[nn.Module, Callable[[Tensor, Tensor], Tensor] | None]:
        from fpbench_methods.yu.visualisation import (
            AdversarialVisualisation,
            Critic,
            VisualisationNetwork,
        )

        assert isinstance(network, VisualisationNetwork)  # noqa: S101
        players = AdversarialVisualisation(network, Critic(self._size, self._width))
        return players, players.loss

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Image fingerprints x − R(x), x in [-1, 1], shape (N, H·W·3)."""
        return super().embed(images)

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """Image fingerprints x − R(x) in grey levels, shape (N, H, W, 3)."""
        return self.embed(images).reshape(images.pixels.shape) * np.float32(127.5)

    def fingerprints(self) -> NDArray[np.float32]:
        """Source fingerprints: the learned correlation kernels, shape (K, H·W·3)."""
        from fpbench_methods.yu.visualisation import VisualisationNetwork

        network = self._fitted()
        assert isinstance(network, VisualisationNetwork)  # noqa: S101
        kernels = network.fingerprints().detach().permute(0, 2, 3, 1).flatten(1)
        return np.asarray(kernels.cpu().numpy(), np.float32)
