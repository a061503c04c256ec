"""Pictures of a report, as data that stands in the page itself."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fpbench.attribution.spectra import Peak, log_spectra, residuals_of
from fpbench.datasets.png import encode_png
from fpbench.images import ImageSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.attribution.model import FittedModel

# Residuals are a few grey levels: they are shown this many deviations wide.
_WIDE = 3.0
_REAL_IMAGE = "real image"
_SPECTRUM = (1.0, 99.5)  # percentiles of a spectrum that are black and white


@dataclass(frozen=True)
class Picture:
    """One picture with what is said of it.

    Attributes:
        title: What it is called.
        source: A ``data:`` address, empty where it is not shown.
        text: What it shows, for those who do not see it; or why it is not shown.
        width: Pixels.
        height: Pixels.
    """

    title: str
    source: str
    text: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of an image's residual, and the frequencies that speak for a source.

    Attributes:
        picture: Log power, the lowest frequency in the middle.
        source: Name of the source.
        peaks: Where it speaks for it.
        marks: For each peak and its mirror image, percent from the left and from the top.
        what: What the spectrum is of.
    """

    picture: Picture
    source: str
    peaks: list[Peak]
    marks: list[tuple[int, float, float]]
    what: str


def picture(title: str, pixels: NDArray[np.uint8], text: str) -> Picture:
    """A picture of pixels (H, W, 3)."""
    packed = base64.b64encode(encode_png(pixels)).decode("ascii")
    height, width = pixels.shape[:2]
    return Picture(title, f"data:image/png;base64,{packed}", text, width, height)


def pictures_of(model: FittedModel, pixels: NDArray[np.uint8]) -> list[Picture]:
    """An image, and what the method separates it into, where it does.

    A real image that the method found in its reference set is shown only if the licences of the
    dataset let it be.
    """
    shown = [picture("the image", pixels, "The image that was judged.")]
    if not model.method.implements("residual"):
        return shown
    residual = np.asarray(model.method.residual(ImageSet(pixels[None])), np.float32)
    if residual.shape != (1, *pixels.shape):
        return shown
    rest, name = model.method.residual_names
    scale = _WIDE * max(float(residual.std()), 1e-6)
    levels = np.clip(128 + 127 * residual[0] / scale, 0, 255).astype(np.uint8)
    told = f"The {name}, grey where it is zero; white and black are {scale:.1f} grey levels away."
    if _REAL_IMAGE in rest and not model.page.free:
        licences = ", ".join(model.page.dataset.licences) or "nobody states any"
        shown.append(
            Picture(
                rest,
                "",
                f"Not shown: the licences of {model.page.dataset.name} ({licences}) do not say "
                "that its images may be passed on.",
            )
        )
    else:
        other = np.clip(np.rint(pixels - residual[0]), 0, 255).astype(np.uint8)
        shown.append(picture(rest, other, f"The {rest}, as {model.page.method.name} finds it."))
    return [*shown, picture(name, levels, told)]


def spectrum_of(model: FittedModel, pixels: NDArray[np.uint8], k: int) -> Spectrum:
    """The spectrum of an image's residual, with the peaks that speak for source `k`."""
    images = ImageSet(pixels[None])
    half = log_spectra(residuals_of(model.method, images))[0]
    peaks = model.spectra.peaks(half, k)
    height, width = pixels.shape[:2]
    whole = np.empty((height, width), np.float32)
    rows, columns = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    # The power at -f is that at f, so the half that rfft2 gives is all of it.
    mirrored = columns > width // 2
    whole[rows, columns] = half[
        np.where(mirrored, -rows % height, rows), np.where(mirrored, width - columns, columns)
    ]
    low, high = np.percentile(whole, _SPECTRUM)
    levels = np.clip((np.fft.fftshift(whole) - low) / max(high - low, 1e-6) * 255, 0, 255)
    grey = np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)
    own = model.method.implements("residual")
    what = model.method.residual_names[1] if own else "high-pass (the image less its 3x3 mean)"
    marks = []
    for number, peak in enumerate(peaks, 1):
        for sign in (1, -1) if (peak.row, peak.column) != (0, 0) else (1,):
            row = (sign * peak.row + height // 2) % height
            column = (sign * peak.column + width // 2) % width
            marks.append((number, 100 * (column + 0.5) / width, 100 * (row + 0.5) / height))
    text = f"Log power spectrum of the {what}, the lowest frequency in the middle."
    name = model.sources[k].name
    return Spectrum(picture("spectrum", grey, text), name, peaks, marks, what)
