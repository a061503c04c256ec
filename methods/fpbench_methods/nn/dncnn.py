"""DnCNN, a denoiser that predicts the noise (Zhang et al., IEEE TIP 2017), trained here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from fpbench.compute.device import derive_seed, seeded
from fpbench.compute.inference import ArrayOnDevice, predict, unit_range
from fpbench.compute.training import train
from fpbench.compute.training_plan import TrainingPlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fpbench.method import Budget, FitContext

_PATCH = 40
_BATCH = 32


@dataclass(frozen=True)
class DenoiserSize:
    """How large a DnCNN is and how long it is trained.

    Attributes:
        depth: Convolutions; the paper's has 17.
        width: Channels between them; the paper's has 64.
        steps: Steps of training, rounded up to whole passes over the reference images, of which
            each pass takes one patch each.
    """

    depth: int
    width: int
    steps: int


SIZES: dict[Budget, DenoiserSize] = {
    "smoke": DenoiserSize(5, 8, 100),
    "small": DenoiserSize(9, 24, 800),
    "full": DenoiserSize(17, 64, 50_000),
}


class DnCNN(nn.Module):
    """Images (B, 3, H, W) in [0, 1] to their noise in units of its standard deviation.

    Convolution and ReLU, ``depth − 2`` times convolution, batch normalisation and ReLU, and a
    convolution; 3×3 with zeros beyond the border.
    """

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(depth - 2):
            layers += [
                nn.Conv2d(width, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        layers.append(nn.Conv2d(width, 3, 3, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Noise of shape (B, 3, H, W), of variance 1."""
        return cast("Tensor", self.layers(images - 0.5))


def train_denoiser(
    reference: NDArray[np.uint8], sigma: float, size: DenoiserSize, context: FitContext
) -> DnCNN:
    """Train a denoiser on photographs with Gaussian noise.

    Args:
        reference: uint8 of shape (R, H, W, 3), real images.
        sigma: Standard deviation of the noise in grey levels.
        size: How large and how long.
        context: Seed, device and progress.

    Raises:
        ValueError: If there are fewer than two images.
    """
    if len(reference) < 2:
        raise ValueError(
            f"denoiser='dncnn' is trained on reference images; {len(reference)} are too few"
        )
    with seeded(context.seed, "prnu", "denoiser"):
        network = DnCNN(size.depth, size.width)
    images = ArrayOnDevice(reference, context.device)
    epochs = math.ceil(size.steps / math.ceil(len(reference) / _BATCH))
    patch = min(_PATCH, *reference.shape[1:3])

    def loss(batch: Tensor) -> Tensor:
        clean = unit_range(images[batch])
        # One corner for the whole batch: patches of a batch then are one slice.
        top, left = (int(torch.randint(side - patch + 1, ())) for side in clean.shape[2:])
        clean = clean[:, :, top : top + patch, left : left + patch]
        noise = torch.randn(clean.shape).to(clean.device)
        return nn.functional.mse_loss(network(clean + sigma / 255 * noise), noise)

    train(
        network,
        # The rate ends at zero, where running statistics have caught up with the weights.
        TrainingPlan(epochs=epochs, batch=_BATCH, lr=1e-3, schedule="cosine", statistics=None),
        loss,
        examples=len(reference),
        seed=derive_seed(context.seed, "prnu", "denoiser"),
        device=context.device,
        what="train the denoiser",
        progress=context.progress,
    )
    return network


def denoiser_residual(
    network: DnCNN, pixels: NDArray[np.uint8], sigma: float, device: str
) -> NDArray[np.float32]:
    """What the denoiser takes for noise, in grey levels, float32 of shape (N, H, W, 3)."""
    found = predict(network, pixels, device=device)
    return np.ascontiguousarray(found.transpose(0, 2, 3, 1)) * np.float32(sigma)


def denoiser_arrays(network: DnCNN) -> dict[str, NDArray[np.float32]]:
    """Weights and statistics by name, for a file."""
    return {
        f"denoiser.{name}": value.detach().cpu().numpy().astype(np.float32)
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def denoiser_of(arrays: Mapping[str, NDArray[np.float32]]) -> DnCNN:
    """The network that `denoiser_arrays` took apart."""
    own = {
        name.removeprefix("denoiser."): torch.from_numpy(np.array(value))
        for name, value in arrays.items()
        if name.startswith("denoiser.")
    }
    convolutions = [value for name, value in own.items() if value.ndim == 4]
    network = DnCNN(len(convolutions), len(own["layers.0.weight"]))
    network.load_state_dict(own, strict=False)
    return network.eval()
