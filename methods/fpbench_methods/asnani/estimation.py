"""The fingerprint estimation network of Asnani et al. (TPAMI 2023) and its four constraints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

FULL_DEPTH = 17
FULL_WIDTH = 64
_WINDOW = 25
_WINDOW_SIZE = 128
_LUMA = (0.299, 0.587, 0.114)


class EstimationNetwork(nn.Sequential):
    """DnCNN's body: the output itself is the fingerprint, nothing is subtracted from the input.

    A 3×3 convolution with ReLU, ``depth - 2`` of them with batch normalisation and ReLU, and one
    back to three channels; Kaiming-normal weights. From (B, 3, H, W) to (B, 3, H, W).

    Args:
        depth: Number of convolutions; 17 in the paper.
        width: Channels between them; 64 in the paper.
    """

    def __init__(self, depth: int = FULL_DEPTH, width: int = FULL_WIDTH) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers += [
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        layers.append(nn.Conv2d(width, 3, 3, padding=1))
        super().__init__(*layers)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def luminance(fingerprints: Tensor) -> Tensor:
    """``0.299 R + 0.587 G + 0.114 B`` of (B, 3, H, W): (B, H, W)."""
    weights = fingerprints.new_tensor(_LUMA)
    return torch.einsum("bchw,c->bhw", fingerprints, weights)


def spectrum(grey: Tensor) -> Tensor:
    """``fftshift(|FFT2(g)|)`` of (B, H, W), not normalised; zero frequency at (H // 2, W // 2)."""
    transformed = torch.fft.fft2(grey.float(), norm="backward")
    shifted: Tensor = torch.fft.fftshift(transformed, dim=(-2, -1)).abs()
    return shifted


def window_half(side: int, *, fixed: bool = False) -> int:
    """Half-width n of the low-frequency window of 2n + 1 bins: ``round(25 · side / 128)``.

    Args:
        side: Height or width of the spectrum.
        fixed: 25 for larger images, too, as the released code has it. Smaller ones keep their
            share: the code resizes to 128, and 51 bins of 32 would be the whole spectrum.

    >>> window_half(128), window_half(64), window_half(32), window_half(32, fixed=True)
    (25, 12, 6, 6)
    >>> window_half(256), window_half(256, fixed=True)
    (50, 25)
    """
    scaled = round(_WINDOW * side / _WINDOW_SIZE)
    return min(_WINDOW, scaled) if fixed else scaled


def window_bins(height: int, width: int, *, fixed: bool = False) -> float:
    """Bins of the window if it were 51/128 of each side exactly, without rounding to whole ones.

    A mean over as many is the same for an image and for its tiling to a larger one.
    """
    most = 2 * _WINDOW + 1
    sides = (most * side / _WINDOW_SIZE for side in (height, width))
    rows, columns = (min(most, side) if fixed else side for side in sides)
    return float(rows * columns)


def low_frequencies(height: int, width: int, *, fixed: bool = False) -> Tensor:
    """Mask (H, W) of the window around zero frequency; cut off where the spectrum ends."""
    rows = (torch.arange(height) - height // 2).abs() <= window_half(height, fixed=fixed)
    columns = (torch.arange(width) - width // 2).abs() <= window_half(width, fixed=fixed)
    return rows[:, None] & columns[None, :]


@dataclass(frozen=True)
class ConstraintWeights:
    """Weights of the four constraints and of the task.

    Attributes:
        low_frequency: Of the energy inside the low-frequency window.
        repetitive: Of the highest peak outside it.
        magnitude: Of the fingerprint's energy.
        symmetry: Of the spectrum's difference from its transpose.
        task: Of the classification or parsing loss.
    """

    low_frequency: float
    repetitive: float
    magnitude: float
    symmetry: float
    task: float = 10.0


ATTRIBUTION_WEIGHTS = ConstraintWeights(0.05, 0.001, 0.01, 0.1)
PARSING_WEIGHTS = ConstraintWeights(0.05, 0.001, 0.1, 1.0)


@dataclass(frozen=True)
class Constraints:
    """The four terms before weighting, each a scalar.

    A = 128² / (H · W) makes them the same at any size: the unnormalised spectrum of a pattern that
    fills the image grows with the image, and its mean square with the number of pixels.

    Attributes:
        low_frequency: ``A · MSE(S[window], 0)``.
        repetitive: ``-A · max(S outside the window)``.
        magnitude: ``MSE(g, 0)``.
        symmetry: ``A · MSE(S, Sᵀ)``.
    """

    low_frequency: Tensor
    repetitive: Tensor
    magnitude: Tensor
    symmetry: Tensor

    def weighted(self, weights: ConstraintWeights) -> Tensor:
        """Their weighted sum, the task's loss not included."""
        return (
            weights.low_frequency * self.low_frequency
            + weights.repetitive * self.repetitive
            + weights.magnitude * self.magnitude
            + weights.symmetry * self.symmetry
        )


def constraints(
    fingerprints: Tensor, *, batch_max: bool = False, fixed_window: bool = False
) -> Constraints:
    """The four constraints on fingerprints (B, 3, H, W), before weighting.

    At 128×128 they are those of the released code; at other sizes they are scaled so that an image
    and its tiling to that size have the same. Spectra of images that are not square are transposed
    within their central square.

    Args:
        fingerprints: Outputs of the estimation network.
        batch_max: Take one maximum over the whole batch, so that one image of it receives the
            gradient, as the released code does; else one per image, averaged.
        fixed_window: A window of 51×51 at any larger size, as the released code has it.
    """
    grey = luminance(fingerprints)
    s = spectrum(grey)
    height, width = s.shape[1:]
    low = low_frequencies(height, width, fixed=fixed_window).to(s.device)
    outside = s[:, ~low]
    peak = outside.max() if batch_max else outside.amax(dim=1).mean()
    area = _WINDOW_SIZE**2 / (height * width)
    bins = window_bins(height, width, fixed=fixed_window)
    side = min(height, width)
    top, left = height // 2 - side // 2, width // 2 - side // 2
    square = s[:, top : top + side, left : left + side]
    return Constraints(
        low_frequency=area * s[:, low].square().sum() / (len(s) * bins),
        repetitive=-area * peak,
        magnitude=grey.float().square().mean(),
        symmetry=area * (square - square.mT).square().mean(),
    )
