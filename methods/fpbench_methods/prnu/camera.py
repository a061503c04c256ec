"""What camera forensics does to fingerprints after averaging, and to residuals before comparing.

Both steps are made to remove what sensors of one model share, e.g. traces of demosaicking and of
compression. A generator's periodic patterns are of just that kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WINDOWS = (3, 5, 7, 9)


def zero_mean(planes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Make rows and columns of each of the four interleaved lattices sum to zero.

    The lattices are the pixels of even or odd row and column, as the cells of a Bayer pattern.

    Args:
        planes: Shape (N, H, W, C).

    Returns:
        float64 of the same shape.
    """
    result = np.array(planes, np.float64)
    for row in (0, 1):
        for column in (0, 1):
            part = result[:, row::2, column::2]
            if part.size:
                rows, columns = part.mean(axis=2, keepdims=True), part.mean(axis=1, keepdims=True)
                part -= rows + columns - part.mean(axis=(1, 2), keepdims=True)
    return result


def wiener_spectrum(planes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Flatten the peaks of each plane's spectrum by an adaptive Wiener filter of magnitudes.

    With m = |FFT2| / √(HW) and s² the variance of the plane, the local power of m is estimated as
    v = max(0, min_w mean_w(m²) − s²) over windows w of 3, 5, 7 and 9 frequencies (zero beyond the
    border), and each coefficient is multiplied by s² / (v + s²): what stands out of its
    surroundings' noise is held back, the rest passes.

    Args:
        planes: Shape (N, H, W, C).

    Returns:
        float64 of the same shape.
    """
    from scipy.ndimage import uniform_filter1d

    values = np.asarray(planes, np.float64)
    height, width = values.shape[1:3]
    noise = values.var(axis=(1, 2), keepdims=True)
    spectrum = np.fft.fft2(values, axes=(1, 2))
    energy = np.abs(spectrum) ** 2 / (height * width)
    least = np.full(energy.shape, np.inf)
    for window in _WINDOWS:
        mean = uniform_filter1d(energy, window, axis=1, mode="constant")
        mean = uniform_filter1d(mean, window, axis=2, mode="constant")
        least = np.minimum(least, mean)
    variance = np.maximum(least - noise, 0)
    whole = variance + noise
    gain = np.where(whole > 0, noise / np.where(whole > 0, whole, 1), 0)
    return np.asarray(np.fft.ifft2(spectrum * gain, axes=(1, 2)).real)


def camera_processing(planes: NDArray[np.floating]) -> NDArray[np.float32]:
    """`zero_mean`, then `wiener_spectrum`, of residuals or fingerprints (N, H, W, C)."""
    return wiener_spectrum(zero_mean(planes)).astype(np.float32)
