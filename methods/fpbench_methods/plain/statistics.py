"""Plain statistics of an image's pixels: they know nothing of fingerprints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAMES = (
    "mean",
    "standard deviation",
    "mean absolute difference of horizontal neighbours",
    "mean absolute difference of vertical neighbours",
    "mean absolute Laplacian",
    "share of pixels at 0",
    "share of pixels at 255",
)
"""What is measured of each channel, in the order of `plain_statistics`."""


def plain_statistics(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The statistics of each channel of each image.

    The Laplacian is the sum of a pixel's four neighbours less four times the pixel, where it has
    four.

    Args:
        pixels: uint8 of shape (N, H, W, C), H and W at least 3.

    Returns:
        float64 of shape (N, 7·C): the statistics of `NAMES`, each of all channels in turn; the
        first five in grey levels.

    >>> steps = np.repeat(np.arange(0, 30, 10, dtype=np.uint8), 3).reshape(1, 3, 3, 1)
    >>> plain_statistics(steps)[0].round(3).tolist()
    [10.0, 8.165, 0.0, 10.0, 0.0, 0.333, 0.0]
    """
    x = pixels.astype(np.float64)
    over = (1, 2)
    inner = x[:, 1:-1, 1:-1]
    around = x[:, :-2, 1:-1] + x[:, 2:, 1:-1] + x[:, 1:-1, :-2] + x[:, 1:-1, 2:]
    found: NDArray[np.float64] = np.concatenate(
        [
            x.mean(axis=over),
            x.std(axis=over),
            np.abs(np.diff(x, axis=2)).mean(axis=over),
            np.abs(np.diff(x, axis=1)).mean(axis=over),
            np.abs(around - 4 * inner).mean(axis=over),
            (pixels == 0).mean(axis=over),
            (pixels == 255).mean(axis=over),
        ],
        axis=1,
    )
    return found
