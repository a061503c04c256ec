"""How images enter the estimation network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from fpbench.compute.inference import unit_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MEAN = 0.6490
_DEVIATION = 0.1269


def standardised(batch: Tensor) -> Tensor:
    """Grey levels as [0, 1], minus 0.6490, over 0.1269, the same for all channels."""
    return unit_range(batch).sub(_MEAN).div(_DEVIATION)


def grey_levels(fingerprints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outputs of the estimation network, in units of its input's deviation, as grey levels."""
    return fingerprints * np.float32(255 * _DEVIATION)
