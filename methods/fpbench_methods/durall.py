"""The azimuthal spectrum of an image (Durall, Keuper, Keuper, CVPR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from fpbench.method import Budget, MethodCard, Range, Variant
from fpbench_methods.bases.classifiers import Classifier, LinearSVM, LogisticRegression, RadialSVM
from fpbench_methods.bases.features import FeatureMethod
from fpbench_methods.bases.grey import luminance

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Durall(FeatureMethod):
    """Log-magnitude spectrum, averaged over rings around zero frequency, and a shallow classifier.

    Args:
        classifier: ``svm`` (linear), ``rbf`` (C = 6.37, γ = 0.86) or ``logistic``.
        length: Interpolate the profile to this many values by cubic splines, as the released
            notebooks do (80 for CelebA); None keeps one value per ring.
    """

    standardises = False  # dividing by the first ring is the paper's normalisation; γ relies on it

    card: ClassVar[MethodCard] = MethodCard(
        name="durall",
        title=(
            "Watch your Up-Convolution: CNN Based Generative Deep Neural Networks are Failing to "
            "Reproduce Spectral Distributions"
        ),
        authors="Durall, Keuper, Keuper",
        year=2020,
        citation=(
            "@inproceedings{durall2020watch,\n"
            "  title = {Watch your Up-Convolution: {CNN} Based Generative Deep Neural Networks"
            " are Failing to Reproduce Spectral Distributions},\n"
            "  author = {Durall, Ricard and Keuper, Margret and Keuper, Janis},\n"
            "  booktitle = {Conference on Computer Vision and Pattern Recognition},\n"
            "  pages = {7887--7896},\n"
            "  year = {2020},\n"
            "  eprint = {2003.01826}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "svm": Variant("linear support vector machine", deterministic=True),
            "rbf": Variant(
                "radial kernel, C = 6.37, γ = 0.86", {"classifier": "rbf"}, deterministic=True
            ),
            "logistic": Variant(
                "logistic regression", {"classifier": "logistic"}, deterministic=True
            ),
        },
        min_size=8,
        faithful=(
            "Grey image in 0–255, 20·ln(|FFT2| + ε), mean over rings one pixel wide, divided by "
            "its first value.",
            "As in the released notebooks the ring of zero frequency and the outermost are "
            "dropped, so the first value is that of ring 1.",
            "Support vector machines and logistic regression; nothing is resized.",
        ),
        different=(
            "ε is 1e-12 instead of 1e-8, which matters only where a coefficient vanishes.",
            "Profiles keep one value per ring unless length is set: all images of a data set have "
            "one size.",
            "K machines, one source against the rest, calibrated on validation images, instead of "
            "real against generated; svm and logistic choose C on validation images.",
        ),
        url="https://arxiv.org/abs/2003.01826",
    )

    def __init__(
        self,
        *,
        classifier: Literal["svm", "rbf", "logistic"] = "svm",
        length: Annotated[int | None, Range(2, 10_000)] = None,
    ) -> None:
        self.classifier = classifier
        self.length = length

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
        """The normalised profile of each image."""
        return azimuthal_profile(pixels, self.length, self._device)

    def make_classifier(self, budget: Budget) -> Classifier:
        """The chosen classifier."""
        if self.classifier == "rbf":
            return RadialSVM(c=6.37, gamma=0.86)
        grid = (100.0,) if budget == "smoke" else (1.0, 10.0, 100.0, 1000.0)
        return LinearSVM(grid) if self.classifier == "svm" else LogisticRegression(grid)


def azimuthal_profile(
    pixels: NDArray[np.uint8], length: int | None = None, device: str = "cpu"
) -> NDArray[np.float64]:
    """20·ln(|FFT2| + ε) averaged over rings 1 to R − 2 and divided by ring 1.

    Args:
        pixels: uint8 of shape (N, H, W, 3).
        length: Number of values to interpolate to, or None.
        device: A torch device string.

    Returns:
        float64 of shape (N, R − 2) or (N, length). An image whose ring 1 vanishes (a constant
        one) has a profile of ones.
    """
    from fpbench.compute.spectra import log_magnitude, radial_average

    rings = 20.0 * radial_average(log_magnitude(luminance(pixels), device=device))[:, 1:-1]
    if length is not None:
        from scipy.interpolate import CubicSpline

        at = np.linspace(0, rings.shape[1] - 1, length)
        rings = CubicSpline(np.arange(rings.shape[1]), rings, axis=1)(at)
    first = rings[:, :1]
    flat = np.abs(first) < 1e-9
    return np.asarray(np.where(flat, 1.0, rings / np.where(flat, 1.0, first)), np.float64)
