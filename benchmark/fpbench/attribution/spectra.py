"""Mean spectra of the sources, to show at which frequencies an image speaks for its verdict.

This is a picture for people, made alike for every method: a verdict comes from the method's
probabilities and from nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.planting import highpass
from fpbench.images import ImageSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.method import Method

_BATCH = 256
_FLOOR = 1e-6  # of power, in squared grey levels
# A frequency says less where images of one source differ more, and never more than this allows.
_LEAST_SPREAD = 0.25


@dataclass(frozen=True)
class Peak:
    """A frequency at which an image is as its source is and others are not.

    Attributes:
        row: Frequency along columns of pixels, in cycles per image, negative for upward.
        column: Along rows of pixels, from 0.
        image: Log10 power of the image there.
        source: Mean of the source's training images.
        others: Mean of the other sources' means.
        weight: How much it speaks for the source, in squared deviations.
    """

    row: int
    column: int
    image: float
    source: float
    others: float
    weight: float


@dataclass(frozen=True)
class SourceSpectra:
    """Log10 power spectra of residuals, by source.

    Attributes:
        mean: float32 (K, H, W // 2 + 1): mean over a source's training images.
        spread: float32 (H, W // 2 + 1): deviation of images around their source's mean.
    """

    mean: NDArray[np.float32]
    spread: NDArray[np.float32]

    def peaks(self, spectrum: NDArray[np.float32], k: int, most: int = 6) -> list[Peak]:
        """Frequencies that speak most for source `k`, the strongest first.

        The weight of a frequency is the difference of squared standardised distances to the mean
        of the others and to that of the source: what it adds to a Gaussian log-likelihood ratio,
        twice, if frequencies were independent.

        Args:
            spectrum: Of the image, (H, W // 2 + 1).
            k: The source.
            most: How many at most.
        """
        others = np.delete(self.mean, k, axis=0).mean(axis=0)
        spread = np.maximum(self.spread, _LEAST_SPREAD)
        weights = ((spectrum - others) ** 2 - (spectrum - self.mean[k]) ** 2) / spread**2
        # The other half of the spectrum mirrors this one, and the columns 0 and W/2 themselves.
        half = weights.shape[0] // 2
        for column in {0, weights.shape[1] - 1}:
            weights[half + 1 :, column] = -np.inf
        weights[0, 0] = -np.inf
        rows = np.fft.fftfreq(weights.shape[0], 1 / weights.shape[0]).astype(int)
        found = []
        for place in np.argsort(weights, axis=None)[::-1][:most]:
            row, column = np.unravel_index(place, weights.shape)
            if weights[row, column] <= 0:
                break
            found.append(
                Peak(
                    int(rows[row]),
                    int(column),
                    float(spectrum[row, column]),
                    float(self.mean[k, row, column]),
                    float(others[row, column]),
                    float(weights[row, column]),
                )
            )
        return found


def residuals_of(method: Method, images: ImageSet) -> NDArray[np.float32]:
    """What spectra are taken of, (N, H, W, 3): the method's residual, or else the high-pass."""
    if method.implements("residual"):
        found = np.asarray(method.residual(images), np.float32)
        if found.shape == images.pixels.shape:
            return found
    return highpass(images.pixels.astype(np.float32))


def log_spectra(residuals: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log10 power of residuals (N, H, W, 3), mean over channels: (N, H, W // 2 + 1)."""
    area = residuals.shape[1] * residuals.shape[2]
    power = np.abs(np.fft.rfft2(residuals, axes=(1, 2))) ** 2 / area
    found: NDArray[np.float32] = np.log10(power.mean(axis=3) + _FLOOR).astype(np.float32)
    return found


def source_spectra(method: Method, train: ImageSet) -> SourceSpectra:
    """Mean and spread of the spectra of training images."""
    height, width = train.size
    shape = (len(train.sources), height, width // 2 + 1)
    sums, squares = np.zeros(shape), np.zeros(shape[1:])
    done = 0
    for batch in train.batches(_BATCH):
        found = log_spectra(residuals_of(method, ImageSet(np.ascontiguousarray(batch))))
        labels = train.labels[done : done + len(batch)]
        np.add.at(sums, labels, found)
        squares += np.square(found, dtype=np.float64).sum(axis=0)
        done += len(batch)
    counts = np.bincount(train.labels, minlength=shape[0])
    mean = sums / np.maximum(counts, 1)[:, None, None]
    within = (squares - (counts[:, None, None] * mean**2).sum(axis=0)) / max(1, done)
    spread = np.sqrt(np.maximum(within, 0))
    return SourceSpectra(mean.astype(np.float32), spread.astype(np.float32))
