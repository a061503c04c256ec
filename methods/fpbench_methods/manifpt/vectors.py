"""Spaces of feature vectors: the pooled features of a pretrained network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from fpbench.distribution import install_command
from fpbench_methods.manifpt.spaces import VECTOR_SPACES
from fpbench_methods.nn.pretrained import create_timm, standardised
from fpbench_methods.nn.shipped_weights import create_in_order, shipped_file
from fpbench_methods.nn.weights import weights_from_arrays, weights_to_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_BATCH = 32


class VectorSpace:
    """T(x): the features of a frozen network before its classifier.

    Args:
        network: Gives pooled features (B, D); used in evaluation mode.
        side: Images are brought to side×side pixels, see `fitted_to`.
        device: A torch device string.

    Attributes:
        kind: What stands for this space where values of images are shared.
    """

    def __init__(self, network: nn.Module, side: int, device: str = "cpu") -> None:
        self.network = network.eval()
        self.side = side
        self._device = device
        config: Any = network.default_cfg
        self._mean, self._std = config["mean"], config["std"]
        content = hashlib.blake2b(digest_size=16)
        for value in self.arrays().values():
            content.update(value.tobytes())
        self.kind = ("pooled features", content.hexdigest(), side)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (N, D) of images (N, H, W, 3)."""
        from fpbench.compute.shared import SHARED

        return SHARED.rows(self.kind, pixels, self._features)

    def _features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        from fpbench.compute.inference import predict

        return predict(
            self.network, pixels, batch=_BATCH, prepare=self.prepare, device=self._device
        )

    def prepare(self, batch: Tensor) -> Tensor:
        """From grey levels (B, 3, H, W), uint8, to what the network was trained on."""
        return standardised(fitted_to(batch, self.side), self._mean, self._std)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The network's weights."""
        return weights_to_arrays(self.network, prefix="")


def fitted_to(batch: Tensor, side: int) -> Tensor:
    """Grey levels (B, 3, H, W) brought to (B, 3, side, side), as float.

    Images of at least that size are cut to their centre, unscaled, as in the released code;
    smaller ones are enlarged by bicubic interpolation with antialiasing.
    """
    h, w = batch.shape[-2:]
    if min(h, w) >= side:
        top, left = (h - side) // 2, (w - side) // 2
        return batch[..., top : top + side, left : left + side].float()
    enlarged = functional.interpolate(batch.float(), (side, side), mode="bicubic", antialias=True)
    return enlarged.clamp(0, 255)


def open_space(
    space: str,
    side: int,
    *,
    pretrained: bool = True,
    weights: str | None = None,
    backbone: str | None = None,
    device: str = "cpu",
) -> VectorSpace:
    """A space of feature vectors with its network.

    Args:
        space: A key of `VECTOR_SPACES`.
        side: See `VectorSpace`.
        pretrained: False leaves the network untrained, with weights from torch's generator.
        weights: A file that holds the weights, or None for those on the Hub or in a package.
        backbone: Another network of timm than the space's own.
        device: A torch device string.

    Raises:
        MethodDeclined: If the weights are not available.
        BadInput: If the file holds the weights of another network.
    """
    about = VECTOR_SPACES[space]
    name = backbone or about.name
    options: dict[str, Any] = {"num_classes": 0}
    if name.startswith("vit_"):
        options["dynamic_img_size"] = True  # positions are interpolated to the side
    if pretrained and about.package and backbone is None:
        command = install_command(space)
        path = shipped_file(about.package, command) if weights is None else Path(weights)
        network = create_in_order(name, path, **options)
    else:
        network = create_timm(name, pretrained=pretrained, weights=weights, **options)
    return VectorSpace(network, side, device)


def reopen_space(
    space: str, side: int, arrays: Mapping[str, NDArray[Any]], backbone: str | None = None
) -> VectorSpace:
    """The space whose `VectorSpace.arrays` these are, on the CPU.

    Raises:
        BadInput: If they are of another network.
    """
    opened = open_space(space, side, pretrained=False, backbone=backbone)
    weights_from_arrays(opened.network, arrays, prefix="")
    return VectorSpace(opened.network, side)
