"""Fourier and cosine spectra of images, in batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOOR = 1e-12
"""Added to magnitudes before the logarithm, as in the papers' released code."""


def _in_batches(
    images: NDArray[Any],
    transform: Callable[[Tensor], Tensor],
    device: str,
) -> NDArray[np.float32]:
    """Apply a transform of planes (B, C, H, W) to images (N, H, W, C) or planes (N, H, W)."""
    if images.ndim not in (3, 4) or min(images.shape[1:], default=0) < 1:
        raise ValueError(f"images must have shape (N, H, W, C) or (N, H, W), not {images.shape}")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"images must be uint8 or floating-point, not {images.dtype}")
    result = np.empty(images.shape, np.float32)
    room = 2**24 if device.startswith("cuda") else 2**18
    batch = max(1, room // int(np.prod(images.shape[1:])))
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            stop = min(start + batch, len(images))
            pixels = torch.from_numpy(np.array(images[start:stop], order="C")).to(device)
            # Double precision: a magnitude that should be zero is 1e-6 in single precision,
            # and the logarithm of rounding is noise far above the floor of 1e-12.
            planes = pixels.double()
            if pixels.dtype == torch.uint8:
                planes /= 255.0
            if planes.ndim == 4:
                planes = planes.permute(0, 3, 1, 2)
            found = transform(planes)
            if found.ndim == 4:
                found = found.permute(0, 2, 3, 1)
            result[start:stop] = found.float().cpu().numpy()
    return result


def log_magnitude(images: NDArray[Any], *, device: str = "cpu") -> NDArray[np.float32]:
    """Logarithm of the Fourier magnitude, ``log(|FFT2(x)| + 1e-12)``, zero frequency centred.

    Per channel, no window, no normalisation: the FREQ space of ManiFPT (Song et al., CVPR 2024,
    as released). Zero frequency is at ``(H // 2, W // 2)``. Transformed in double precision.

    Args:
        images: Shape (N, H, W, C) or (N, H, W); uint8, taken as [0, 1], or floating-point.
        device: A torch device string.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: If shape or type is another.
    """

    def transform(planes: Tensor) -> Tensor:
        spectrum: Tensor = torch.fft.fftshift(torch.fft.fft2(planes), dim=(-2, -1))
        return spectrum.abs().add_(_FLOOR).log_()

    return _in_batches(images, transform, device)


@lru_cache(maxsize=32)
def _cosines(length: int) -> NDArray[np.float64]:
    """The orthonormal DCT-II of `length` samples as a matrix."""
    at = np.arange(length)
    matrix = np.cos(np.pi * at[:, None] * (2 * at[None, :] + 1) / (2 * length))
    matrix *= np.sqrt(2.0 / length)
    matrix[0] /= np.sqrt(2.0)
    return np.asarray(matrix)


def log_dct(images: NDArray[Any], *, device: str = "cpu") -> NDArray[np.float32]:
    """Logarithm of the cosine spectrum, ``log(|DCT2(x)| + 1e-12)``, zero frequency first.

    Per channel, orthonormal DCT-II along both axes: the input of Frank et al. (ICML 2020) before
    its standardisation.

    Args:
        images: Shape (N, H, W, C) or (N, H, W); uint8, taken as [0, 1], or floating-point.
        device: A torch device string.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: If shape or type is another.
    """

    def transform(planes: Tensor) -> Tensor:
        rows = torch.from_numpy(_cosines(planes.shape[-2])).to(planes)
        columns = torch.from_numpy(_cosines(planes.shape[-1])).to(planes)
        return (rows @ planes @ columns.T).abs_().add_(_FLOOR).log_()

    return _in_batches(images, transform, device)


def autocorrelation(images: NDArray[Any], *, device: str = "cpu") -> NDArray[np.float32]:
    """Circular autocorrelation of each plane after its mean is taken away, lag zero centred.

    ``a(s) = Σ_t (x(t) − m)(x(t + s) − m) / Σ_t (x(t) − m)²``, so lag zero, at
    ``(H // 2, W // 2)``, is 1; a constant plane has zero everywhere.

    Args:
        images: Shape (N, H, W, C) or (N, H, W); uint8 or floating-point, e.g. residuals.
        device: A torch device string.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: If shape or type is another.
    """

    def transform(planes: Tensor) -> Tensor:
        centred = planes - planes.mean(dim=(-2, -1), keepdim=True)
        power = torch.fft.fft2(centred).abs().square()
        lags = torch.fft.ifft2(power).real
        energy = lags[..., :1, :1]
        scale = planes.square().sum(dim=(-2, -1), keepdim=True)
        varies = energy > 1e-20 * scale
        lags = torch.where(varies, lags / torch.where(varies, energy, 1.0), 0.0)
        shifted: Tensor = torch.fft.fftshift(lags, dim=(-2, -1))
        return shifted

    return _in_batches(images, transform, device)


@lru_cache(maxsize=32)
def _rings(height: int, width: int) -> NDArray[np.int64]:
    """The integer radius of every pixel, ``floor`` of its distance from zero frequency."""
    y = np.arange(height)[:, None] - height // 2
    x = np.arange(width)[None, :] - width // 2
    return np.floor(np.sqrt(y * y + x * x)).astype(np.int64)


def radial_average(spectra: NDArray[Any]) -> NDArray[np.float64]:
    """Azimuthal mean over rings one pixel wide around a centred zero frequency.

    Ring r holds the pixels whose distance from ``(H // 2, W // 2)`` is in [r, r + 1), as in
    Durall et al. (CVPR 2020); unlike their notebooks, the first ring (zero frequency alone) and
    the last are kept. Corners count: the last ring is the farthest pixel's.

    Args:
        spectra: Shape (N, H, W, C) or (N, H, W), as `log_magnitude` returns.

    Returns:
        float64 of shape (N, R, C) or (N, R), R = ⌊distance of the farthest corner⌋ + 1.

    Raises:
        ValueError: If the shape is another.
    """
    if spectra.ndim not in (3, 4) or min(spectra.shape[1:], default=0) < 1:
        raise ValueError(f"spectra must have shape (N, H, W, C) or (N, H, W), not {spectra.shape}")
    from scipy.sparse import csr_array

    rings = _rings(*spectra.shape[1:3]).ravel()
    sizes = np.bincount(rings)
    # No ring is empty: along an axis and then along the edge to the corner, the distance never
    # grows by more than one from pixel to pixel.
    weights = csr_array(
        (1.0 / sizes[rings], (rings, np.arange(len(rings)))), shape=(len(sizes), len(rings))
    )
    planes = np.moveaxis(spectra.reshape(len(spectra), len(rings), -1), 1, 0)
    mean = weights @ np.asarray(planes, np.float64).reshape(len(rings), -1)
    mean = np.moveaxis(mean.reshape(len(sizes), len(spectra), -1), 0, 1)
    return np.ascontiguousarray(mean if spectra.ndim == 4 else mean[..., 0])
