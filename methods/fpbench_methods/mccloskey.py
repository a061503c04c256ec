"""Colour cues of generators: saturation and chromaticity (McCloskey and Albright, 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from fpbench.method import Budget, MethodCard, Range, Variant
from fpbench_methods.bases.classifiers import Classifier, LinearSVM
from fpbench_methods.bases.features import FeatureMethod
from fpbench_methods.bases.grey import grey_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OVER = (240, 245, 250, 255)
_UNDER = (0, 5, 10, 15)


class McCloskey(FeatureMethod):
    """Counts saturated and under-exposed pixels, or colours, and asks a linear SVM.

    A generator's normalisation layers and last activation keep it from the extremes that a
    camera reaches, so the shares of pixels near 0 and near 255 differ.

    Args:
        cue: ``saturation`` (shares of grey pixels ≥ 240, 245, 250, 255 and ≤ 0, 5, 10, 15),
            ``channels`` (the same of each colour channel) or ``chromaticity`` (histogram of
            r = R/(R+G+B) and g = G/(R+G+B)).
        bins: Bins of r and of g; those beyond r + g = 1 are left out.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="mccloskey",
        title="Detecting GAN-generated Imagery using Color Cues",
        authors="McCloskey, Albright",
        year=2018,
        citation=(
            "@article{mccloskey2018detecting,\n"
            "  title = {Detecting {GAN}-generated Imagery using Color Cues},\n"
            "  author = {McCloskey, Scott and Albright, Michael},\n"
            "  journal = {arXiv preprint arXiv:1812.08247},\n"
            "  year = {2018}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "saturation": Variant(
                "shares of over- and under-exposed grey pixels", deterministic=True
            ),
            "channels": Variant(
                "the same per colour channel: grey mixes the channels' extremes",
                {"cue": "channels"},
                deterministic=True,
            ),
            "chromaticity": Variant(
                "histogram of (r, g) chromaticity", {"cue": "chromaticity"}, deterministic=True
            ),
        },
        min_size=1,
        faithful=(
            "Shares of pixels at both ends of the range at several thresholds, read by a linear "
            "support vector machine.",
            "Thresholds are taken on 8-bit grey levels: a cast that truncates instead of rounding "
            "would move every one of them.",
        ),
        different=(
            "The thresholds at the upper end are those of a public re-implementation, which "
            "drops the lower end; the lower ones mirror them.",
            "K machines, one source against the rest, instead of real against generated; C is "
            "chosen on validation images and decision values are calibrated there.",
            "The paper reads chromaticity with an intensity-noise-histogram network whose layers "
            "could not be established; here a linear machine reads a 16×16 histogram.",
        ),
        url="https://arxiv.org/abs/1812.08247",
    )

    def __init__(
        self,
        *,
        cue: Literal["saturation", "channels", "chromaticity"] = "saturation",
        bins: Annotated[int, Range(2, 256)] = 16,
    ) -> None:
        self.cue = cue
        self.bins = bins

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
        """8, 24 or about bins²/2 features of each image, all between 0 and 1."""
        if self.cue == "saturation":
            return exposure_shares(grey_levels(pixels)[..., None])
        if self.cue == "channels":
            return exposure_shares(pixels)
        return chromaticity_histogram(pixels, self.bins)

    def make_classifier(self, budget: Budget) -> Classifier:
        """A linear SVM per source."""
        return LinearSVM((1.0,) if budget == "smoke" else (0.01, 0.1, 1.0, 10.0))


def exposure_shares(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of values ≥ 240, 245, 250, 255, then of values ≤ 0, 5, 10, 15, channel by channel.

    Args:
        pixels: uint8 of shape (N, H, W, C).

    Returns:
        float64 of shape (N, 8·C).
    """
    flat = pixels.reshape(len(pixels), -1, pixels.shape[3])
    shares = [(flat >= t).mean(axis=1) for t in _OVER] + [(flat <= t).mean(axis=1) for t in _UNDER]
    return np.concatenate(shares, axis=1)


def chromaticity_histogram(pixels: NDArray[np.uint8], bins: int) -> NDArray[np.float64]:
    """Shares of pixels by chromaticity r = R/(R+G+B), g = G/(R+G+B).

    Black pixels count as neutral, r = g = 1/3. Cells of the grid that no chromaticity can reach
    (r + g > 1) are left out.

    Args:
        pixels: uint8 of shape (N, H, W, 3).
        bins: Bins along each axis.

    Returns:
        float64 of shape (N, bins·(bins + 1)/2), each row summing to 1.
    """
    total = pixels.sum(axis=3, dtype=np.int64)
    black = total == 0
    # Integers, so that no rounding decides on which side of an edge a colour falls.
    whole = np.where(black, 3, total)
    red, green = (
        np.minimum(np.where(black, 1, pixels[..., c].astype(np.int64)) * bins // whole, bins - 1)
        for c in (0, 1)
    )
    # Colours without blue that lie on corners of the grid belong to the cell below the diagonal.
    green = np.where(red + green == bins, green - 1, green)
    offsets = np.arange(len(pixels))[:, None, None] * bins * bins
    flat = (offsets + red * bins + green).ravel()
    counts = np.bincount(flat, minlength=len(pixels) * bins * bins)
    r, g = np.divmod(np.arange(bins * bins), bins)
    reachable = r + g < bins
    table = counts.reshape(len(pixels), -1)[:, reachable]
    return np.asarray(table / max(1, pixels.shape[1] * pixels.shape[2]), np.float64)
