"""Residuals: what a denoiser takes away from an image."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Daubechies' extremal-phase wavelet with four vanishing moments: 8 taps, "db4" in PyWavelets.
# Coefficients of the scaling filter, Daubechies, Ten Lectures on Wavelets (1992), table 6.1.
_SCALING = (
    0.23037781330889650086,
    0.71484657055291564709,
    0.63088076792985890788,
    -0.02798376941685985422,
    -0.18703481171909308408,
    0.03084138183556076363,
    0.03288301166688519974,
    -0.01059740178506903211,
)
_TAPS = len(_SCALING)
_WINDOWS = (3, 5, 7, 9)


def wavelet_levels(height: int, width: int, levels: int = 4) -> int:
    """How many levels a decomposition of an image this large has.

    `levels`, but not more than the largest that keeps one coefficient free of the border,
    ``floor(log2(min(height, width) / 7))`` for the 8 taps of db4 (PyWavelets'
    ``dwt_max_level``), and at least one: 4 at 256×256, 3 at 64×64, 2 at 32×32.

    Raises:
        ValueError: If `levels` or a side is not positive.
    """
    if levels < 1 or min(height, width) < 1:
        raise ValueError(f"cannot take {levels} levels of an image of {height}x{width}")
    possible = 0
    while (_TAPS - 1) << (possible + 1) <= min(height, width):
        possible += 1
    return max(1, min(levels, possible))


@lru_cache(maxsize=64)
def _analysis_matrix(length: int) -> NDArray[np.float32]:
    """One level of the transform of `length` samples, as a matrix (2·half, length).

    The first half of the rows gives the approximation, the second the detail. Samples beyond
    the border are mirrored with the edge repeated (PyWavelets' mode ``symmetric``).
    """
    low = np.array(_SCALING)
    high = low[::-1] * np.array([1.0, -1.0] * (_TAPS // 2))
    half = (length + _TAPS - 1) // 2
    matrix = np.zeros((2 * half, length))
    for row in range(half):
        for tap in range(_TAPS):
            at = (2 * row + tap - (_TAPS - 2)) % (2 * length)
            at = at if at < length else 2 * length - 1 - at
            matrix[row, at] += low[tap]
            matrix[half + row, at] += high[tap]
    return matrix.astype(np.float32)


@lru_cache(maxsize=64)
def _synthesis_matrix(length: int) -> NDArray[np.float32]:
    """The inverse of `_analysis_matrix`, as a matrix (length, 2·half)."""
    low = np.array(_SCALING)
    high = low[::-1] * np.array([1.0, -1.0] * (_TAPS // 2))
    half = (length + _TAPS - 1) // 2
    matrix = np.zeros((length, 2 * half))
    for row in range(half):
        for tap in range(_TAPS):
            at = 2 * row + tap - (_TAPS - 2)
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


def _residual(planes: torch.Tensor, levels: int, noise: float) -> torch.Tensor:
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
        below = _residual(approximation.contiguous(), levels - 1, noise)
        approximation.copy_(below)
    else:
        approximation.zero_()
    rows = torch.from_numpy(_synthesis_matrix(height)).to(planes)
    columns = torch.from_numpy(_synthesis_matrix(width)).to(planes)
    return (rows @ bands) @ columns.T


def wavelet_residual(
    images: NDArray[np.uint8],
    *,
    levels: int = 4,
    sigma: float = 5.0,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """What an adaptive Wiener filter among wavelet coefficients takes for noise.

    The denoiser of camera forensics (Mihçak et al., ICASSP 1999; Lukáš et al., IEEE TIFS 2006),
    per channel: Daubechies' wavelet with 4 vanishing moments (8 taps, ``db4``), symmetric
    borders; the variance of a detail coefficient d is estimated as
    ``v = max(0, min_w mean_w(d²) − σ²)`` over windows w of 3, 5, 7 and 9 coefficients (zero
    beyond the border), and ``d·σ²/(v + σ²)`` of it counts as noise. Approximations are kept
    whole by the denoiser, so the residual, image minus denoised image, has none of them.

    Args:
        images: uint8 of shape (N, H, W, 3).
        levels: Levels of the decomposition; smaller images get fewer, see `wavelet_levels`.
        sigma: Standard deviation of the noise, in grey levels of 0 to 255.
        device: A torch device string.

    Returns:
        float32 of shape (N, H, W, 3), signed, in grey levels.

    Raises:
        ValueError: If images are not uint8 of that shape, or `sigma` or `levels` not positive.
    """
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 of shape (N, H, W, C), not {images.dtype} of {images.shape}"
        )
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    count, height, width, _ = images.shape
    residual = np.empty(images.shape, np.float32)
    if count == 0:
        return residual
    levels = wavelet_levels(height, width, levels)
    # Few planes at a time stay in a CPU's cache, which decides the speed there.
    room = 2**25 if device.startswith("cuda") else 2**17
    batch = max(1, room // (height * width))
    with torch.inference_mode():
        for start in range(0, count, batch):
            stop = min(start + batch, count)
            pixels = torch.from_numpy(np.array(images[start:stop])).to(device)
            # Any constant has no detail; a smaller one leaves more digits to the rest.
            planes = pixels.permute(0, 3, 1, 2).float().sub_(128.0).contiguous()
            result = _residual(planes, levels, sigma * sigma)
            residual[start:stop] = result.permute(0, 2, 3, 1).cpu().numpy()
    return residual


def high_pass_residual(
    images: NDArray[np.uint8], *, size: int = 3, device: str = "cpu"
) -> NDArray[np.float32]:
    """An image minus its median over a `size`×`size` window, borders mirrored.

    Args:
        images: uint8 of shape (N, H, W, 3), sides larger than ``size // 2``.
        size: An odd number of pixels.
        device: A torch device string.

    Returns:
        float32 of shape (N, H, W, 3), signed, in grey levels.

    Raises:
        ValueError: If images are not uint8 of that shape or too small, or `size` is even.
    """
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 of shape (N, H, W, C), not {images.dtype} of {images.shape}"
        )
    radius = size // 2
    if size < 1 or size % 2 == 0:
        raise ValueError(f"a median window has an odd size, not {size}")
    if min(images.shape[1:3]) <= radius:
        raise ValueError(f"images of {images.shape[1:3]} are too small for a window of {size}")
    residual = np.empty(images.shape, np.float32)
    batch = max(1, 2**20 // max(1, images[0].size)) if len(images) else 1
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            stop = min(start + batch, len(images))
            pixels = torch.from_numpy(np.array(images[start:stop])).to(device)
            planes = pixels.permute(0, 3, 1, 2).float()
            padded = F.pad(planes, (radius,) * 4, mode="reflect")
            windows = padded.unfold(2, size, 1).unfold(3, size, 1).flatten(-2)
            result = planes - windows.median(dim=-1).values
            residual[start:stop] = result.permute(0, 2, 3, 1).cpu().numpy()
    return residual
