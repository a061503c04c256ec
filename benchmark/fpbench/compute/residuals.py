"""Residuals: what a denoiser takes away from an image."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from fpbench.compute.threads import each_in_threads
from fpbench.compute.wavelets import WaveletLevel, coefficient_count, wavelet_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["high_pass_residual", "wavelet_levels", "wavelet_residual"]


_CACHED = 2**17  # values of the planes worked on at a time, a few of which fit a cache


class _PlaneResiduals:
    """Residuals of as many planes at a time, in buffers of its own.

    Args:
        planes: How many.
        height: Their rows.
        width: Their columns.
        levels: Levels of the transform.
        variance: Variance of the noise.
    """

    def __init__(self, planes: int, height: int, width: int, levels: int, variance: float) -> None:
        self.planes = np.empty((planes, height, width), np.float32)
        self._variance = variance
        self._levels: list[WaveletLevel] = []
        for _ in range(levels):
            group = max(1, _CACHED // (height * width))
            self._levels.append(WaveletLevel(planes, height, width, group))
            height, width = coefficient_count(height), coefficient_count(width)

    def measure(self) -> None:
        """Replace `planes` by their residuals."""
        planes = self.planes
        for level in self._levels:
            level.analyse(planes)
            level.keep_noise(self._variance)
            planes = level.approximation
        outputs = [self.planes, *(level.approximation for level in self._levels[:-1])]
        for number in reversed(range(len(self._levels))):
            deepest = number == len(self._levels) - 1
            self._levels[number].synthesise(outputs[number], approximation=not deepest)


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
    count, height, width, channels = images.shape
    residual = np.empty(images.shape, np.float32)
    if count == 0:
        return residual
    levels = wavelet_levels(height, width, levels)
    noise = sigma * sigma
    # Any constant has no detail; taking away a middle one leaves more digits to the rest.
    if device.startswith("cuda"):
        import torch

        from fpbench.compute.residuals_gpu import plane_residuals

        batch = max(1, 2**23 // (height * width))
        with torch.inference_mode():
            for start in range(0, count, batch):
                part = slice(start, start + batch)
                pixels = torch.from_numpy(np.array(images[part], order="C")).to(device)
                planes = pixels.permute(0, 3, 1, 2).float().sub_(128.0).contiguous()
                found = plane_residuals(planes, levels, noise)
                residual[part] = found.permute(0, 2, 3, 1).cpu().numpy()
        return residual
    batch = min(count, max(1, 16 * _CACHED // (height * width * channels)))
    mine = threading.local()

    def measure(start: int) -> None:
        part = images[start : start + batch]
        if getattr(mine, "size", 0) != len(part):
            mine.size = len(part)
            mine.buffers = _PlaneResiduals(channels * len(part), height, width, levels, noise)
        planes = mine.buffers.planes.reshape(channels, len(part), height, width)
        for channel in range(channels):
            planes[channel] = part[..., channel]
        planes -= 128.0
        mine.buffers.measure()
        for channel, plane in enumerate(planes):
            residual[start : start + batch, :, :, channel] = plane

    each_in_threads(measure, range(0, count, batch))
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
    import torch
    import torch.nn.functional as F

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
