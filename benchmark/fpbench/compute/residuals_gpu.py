"""The wavelet residual on a GPU, where the transform is best a product with whole matrices."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from fpbench.compute.wavelets import TAPS, coefficient_count, filters, mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WINDOWS = (3, 5, 7, 9)


@lru_cache(maxsize=64)
def _analysis_matrix(length: int) -> NDArray[np.float32]:
    """One level of the transform of `length` samples, as a matrix (2·half, length).

    The first half of the rows gives the approximation, the second the detail. Samples beyond
    the border are mirrored with the edge repeated (PyWavelets' mode ``symmetric``).
    """
    low, high = filters()
    half = coefficient_count(length)
    matrix = np.zeros((2 * half, length))
    for row in range(half):
        for tap in range(TAPS):
            at = int(mirrored(np.array(2 * row + tap - (TAPS - 2)), length))
            matrix[row, at] += low[tap]
            matrix[half + row, at] += high[tap]
    return matrix.astype(np.float32)


@lru_cache(maxsize=64)
def _synthesis_matrix(length: int) -> NDArray[np.float32]:
    """The inverse of `_analysis_matrix`, as a matrix (length, 2·half)."""
    low, high = filters()
    half = coefficient_count(length)
    matrix = np.zeros((length, 2 * half))
    for row in range(half):
        for tap in range(TAPS):
            at = 2 * row + tap - (TAPS - 2)
            if 0 <= at < length:
                matrix[at, row] += low[tap]
                matrix[at, half + row] += high[tap]
    return matrix.astype(np.float32)


def _least_local_energy(detail: torch.Tensor) -> torch.Tensor:
    """The smallest of the mean squares over windows of 3, 5, 7 and 9, zero beyond the border."""
    height, width = detail.shape[-2:]
    reach = _WINDOWS[-1] // 2
    energy = F.pad(detail * detail, (reach,) * 4)
    along = energy[..., reach : reach + width].clone()
    least: torch.Tensor | None = None
    for window in _WINDOWS:
        radius = window // 2
        along += energy[..., reach - radius : reach - radius + width]
        along += energy[..., reach + radius : reach + radius + width]
        total = along[..., reach : reach + height, :].clone()
        for shift in range(1, radius + 1):
            total += along[..., reach - shift : reach - shift + height, :]
            total += along[..., reach + shift : reach + shift + height, :]
        total /= window * window
        least = total if least is None else torch.minimum(least, total, out=least)
    assert least is not None  # noqa: S101  (there are windows)
    return least


def plane_residuals(planes: torch.Tensor, levels: int, noise: float) -> torch.Tensor:
    """Residual of planes (..., H, W) by recursion over the levels of the transform."""
    height, width = planes.shape[-2:]
    rows = torch.from_numpy(_analysis_matrix(height)).to(planes)
    columns = torch.from_numpy(_analysis_matrix(width)).to(planes)
    bands = rows @ (planes @ columns.T)
    tall, wide = bands.shape[-2] // 2, bands.shape[-1] // 2
    for top, left in ((0, wide), (tall, 0), (tall, wide)):
        detail = bands[..., top : top + tall, left : left + wide]
        detail *= noise / _least_local_energy(detail).clamp_(min=noise)
    approximation = bands[..., :tall, :wide]
    if levels > 1:
        below = plane_residuals(approximation.contiguous(), levels - 1, noise)
        approximation.copy_(below)
    else:
        approximation.zero_()
    rows = torch.from_numpy(_synthesis_matrix(height)).to(planes)
    columns = torch.from_numpy(_synthesis_matrix(width)).to(planes)
    return (rows @ bands) @ columns.T
