"""The decay of high frequencies (Dzanic, Shah, Witherden, NeurIPS 2020)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from fpbench.method import Budget, MethodCard, Range, Variant
from fpbench_methods.bases.classifiers import Classifier, NearestNeighbours
from fpbench_methods.bases.features import FeatureMethod
from fpbench_methods.bases.grey import luminance

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS = 200
_SMOOTHING = 5.0
_EXPONENTS = np.arange(-20.0, 10.25, 0.25)


class Dzanic(FeatureMethod):
    """Fits a power law to the tail of the reduced spectrum and lets neighbours vote.

    Args:
        k: Number of neighbours that vote.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="dzanic",
        title="Fourier Spectrum Discrepancies in Deep Network Generated Images",
        authors="Dzanic, Shah, Witherden",
        year=2020,
        citation=(
            "@inproceedings{dzanic2020fourier,\n"
            "  title = {{Fourier} Spectrum Discrepancies in Deep Network Generated Images},\n"
            "  author = {Dzanic, Tarik and Shah, Karan and Witherden, Freddie},\n"
            "  booktitle = {Advances in Neural Information Processing Systems},\n"
            "  volume = {33},\n"
            "  pages = {3022--3032},\n"
            "  year = {2020},\n"
            "  eprint = {1911.06465}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "decay": Variant(
                "decay of the outer quarter of frequencies, 5 neighbours", deterministic=True
            )
        },
        min_size=16,
        faithful=(
            "Grey image, |FFT2|, 200 radial bins beyond half the highest frequency with empty "
            "ones filled by the nearest, Gaussian smoothing of 5 bins, a power law "
            "y0·(r/r0)^b over the outer quarter; features b, y0 and the last value.",
            "Nearest neighbours decide.",
            "Magnitudes are divided by that of zero frequency, as the paper describes; a public "
            "re-implementation leaves them as they are.",
        ),
        different=(
            "The exponent is the exact least-squares one, found by scan and golden section for "
            "all images at once, not by a simplex from b = −2 image by image.",
            "The number of neighbours could not be established; 5.",
            "Features are standardised by the training images: three numbers of very different "
            "scale have no common distance.",
        ),
        url="https://arxiv.org/abs/1911.06465",
    )

    def __init__(self, *, k: Annotated[int, Range(1, 10_000)] = 5) -> None:
        self.k = k

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Exponent b, first value y0 and last value of the fitted range, shape (N, 3)."""
        from fpbench.compute.spectra import log_magnitude

        spectra = np.exp(log_magnitude(luminance(pixels), device=self._device).astype(np.float64))
        return decay_features(spectra)

    def make_classifier(self, budget: Budget) -> Classifier:
        """The k nearest neighbours."""
        return NearestNeighbours(self.k)


@lru_cache(maxsize=16)
def _bins(height: int, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bin of each frequency, −1 below half the highest; and the nearest bin that has any."""
    y = np.arange(height)[:, None] - height // 2
    x = np.arange(width)[None, :] - width // 2
    radius = np.sqrt(y * y + x * x) / np.hypot(height // 2, width // 2)
    place = np.minimum(((radius - 0.5) * 2 * _BINS).astype(np.int64), _BINS - 1)
    place = np.where(radius > 0.5, place, -1).ravel()
    filled = np.flatnonzero(np.bincount(place[place >= 0], minlength=_BINS))
    nearest = filled[np.abs(np.arange(_BINS)[:, None] - filled[None, :]).argmin(axis=1)]
    return place, nearest


def decay_features(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    """Exponent, first and last value of the decay of centred magnitude spectra.

    Args:
        spectra: Magnitudes of shape (N, H, W), zero frequency at (H // 2, W // 2).

    Returns:
        float64 of shape (N, 3): b, y0, y_end, magnitudes in units of that of zero frequency.
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.sparse import csr_array

    count, height, width = spectra.shape
    place, nearest = _bins(height, width)
    inside = np.flatnonzero(place >= 0)
    sizes = np.maximum(np.bincount(place[inside], minlength=_BINS), 1)
    weights = csr_array(
        (1.0 / sizes[place[inside]], (place[inside], inside)), shape=(_BINS, len(place))
    )
    flat = spectra.reshape(count, -1)
    profile = (weights @ flat.T).T[:, nearest]
    gain = flat[:, (height // 2) * width + width // 2]
    profile /= np.where(gain > 1e-9, gain, 1.0)[:, None]
    smooth = gaussian_filter1d(profile, _SMOOTHING, axis=1, mode="nearest")
    centres = 0.5 + (np.arange(_BINS) + 0.5) / (2 * _BINS)
    outer = centres > 0.75
    values = smooth[:, outer]
    exponents = fit_exponents(centres[outer], values)
    return np.stack([exponents, values[:, 0], values[:, -1]], axis=1)


def fit_exponents(radii: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The b that minimises Σ (y(r0)·(r/r0)^b − y(r))², for each row.

    Args:
        radii: Increasing, shape (R,); the first is r0.
        values: y of shape (N, R).

    Returns:
        Exponents in [−20, 10], shape (N,); 0 where all values vanish.
    """
    logs = np.log(radii / radii[0])
    first = values[:, 0]
    scale = np.where(first > 0, first, 1.0)[:, None]
    relative = values / scale
    present = (first > 0).astype(np.float64)[:, None]

    def errors(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
        fitted = present * np.exp(exponents[:, None] * logs)
        return np.asarray(((fitted - relative) ** 2).sum(axis=1))

    scan = np.stack([errors(np.full(len(values), b)) for b in _EXPONENTS])
    start = _EXPONENTS[scan.argmin(axis=0)]
    golden = (np.sqrt(5.0) - 1) / 2
    low, high = start - 0.25, start + 0.25
    for _ in range(40):
        span = golden * (high - low)
        left = errors(high - span) < errors(low + span)
        low, high = np.where(left, low, high - span), np.where(left, low + span, high)
    return np.asarray(np.where(first > 0, np.clip((low + high) / 2, -20, 10), 0.0))
