"""The model of real images: a variational autoencoder and the decoder's deviation σ(z)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GRID = 4
_FARTHEST = 1.0  # deviation far from all data: the whole range of grey levels


@dataclass(frozen=True)
class Shape:
    """What the model looks like.

    Attributes:
        size: Height and width of the images.
        latent: Latent dimensions d.
        width: Channels of the encoder's first convolution; doubled by each up to eight times.
        hidden: Units of the decoder's two hidden layers.
        centres: Centres of the precision network.
    """

    size: tuple[int, int]
    latent: int
    width: int
    hidden: tuple[int, int]
    centres: int


class VAE(nn.Module):
    """Convolutional encoder, decoder of two smooth hidden layers and a linear one to pixels.

    Args:
        shape: What it looks like.
        mean: Mean real image (H, W, 3) in [0, 1], from which decoding starts; None when weights
            follow.
    """

    def __init__(self, shape: Shape, mean: NDArray[np.floating] | None = None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for depth in range(max(1, round(math.log2(min(shape.size) / 4)))):
            width = shape.width * 2 ** min(depth, 3)
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.SiLU()]
            channels = width
        self.encoder = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(_GRID), nn.Flatten())
        self.posterior = nn.Linear(channels * _GRID**2, 2 * shape.latent)
        first, second = shape.hidden
        # Smooth activations: geodesics need a metric that is.
        self.hidden = nn.Sequential(
            nn.Linear(shape.latent, first), nn.SiLU(), nn.Linear(first, second), nn.SiLU()
        )
        self.pixels = nn.Linear(second, 3 * shape.size[0] * shape.size[1])
        self.size = shape.size
        if mean is not None:
            with torch.no_grad():
                flat = np.ascontiguousarray(mean.transpose(2, 0, 1), np.float32)
                self.pixels.bias.copy_(torch.from_numpy(flat.ravel()))

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the posterior, each (B, d), of images (B, 3, H, W) in [0, 1]."""
        mean, logs = self.posterior(self.encoder(images - 0.5)).chunk(2, dim=1)
        return mean, logs.clamp(-12, 6)

    def decode(self, codes: Tensor) -> Tensor:
        """Mean images μ(z) of shape (B, 3, H, W) of codes (B, d)."""
        decoded: Tensor = self.pixels(self.hidden(codes))
        return decoded.reshape(len(codes), 3, *self.size)

    def loss(self, images: Tensor) -> Tensor:
        """Negative evidence lower bound per value, with the decoder's best common variance.

        ``½ log(mean (x − μ)²) + KL / D``: the variance is solved for instead of chosen (Rybkin,
        Daniilidis, Levine, ICML 2021).
        """
        mean, logs = self.encode(images)
        codes = mean + torch.randn_like(mean) * torch.exp(0.5 * logs)
        error = (images - self.decode(codes)).square().mean()
        divergence = 0.5 * (mean.square() + logs.exp() - 1 - logs).sum(dim=1).mean()
        return 0.5 * torch.log(error + 1e-6) + divergence / images[0].numel()

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions dec(enc(x)) by the posterior's mean."""
        return self.decode(self.encode(images)[0])


class Precision(nn.Module):
    """Deviation σ(z) of the decoder: small among encoded images, large away from them.

    The inverse variance is ``β(z) = W v(z) + ζ`` with radial basis functions
    ``v_k(z) = exp(−λ_k |z − c_k|² / 2)`` around centres of the codes, W > 0 and ζ > 0 (Arvanitidis,
    Hansen, Hauberg, ICLR 2018, section 4.2). One σ holds for a channel of one block of a 4×4 grid
    over the image.

    Args:
        shape: What the model looks like.
        centres: Number of centres, `shape`'s unless there are fewer codes.
    """

    centres: Tensor
    rates: Tensor

    def __init__(self, shape: Shape, centres: int | None = None) -> None:
        super().__init__()
        count = shape.centres if centres is None else centres
        self.register_buffer("centres", torch.zeros(count, shape.latent))
        self.register_buffer("rates", torch.ones(count))
        blocks = block_of_value(shape.size)
        groups = int(blocks.max()) + 1
        self.log_weights = nn.Parameter(torch.full((groups, count), math.log(50.0)))
        self.block_of_value = torch.from_numpy(blocks)
        self.values_per_group = torch.from_numpy(np.bincount(blocks).astype(np.float32))

    def place(self, codes: NDArray[np.floating], seed: int) -> None:
        """Put the centres by k-means and let each reach twice the spread of its cluster."""
        from sklearn.cluster import KMeans

        found = KMeans(len(self.centres), n_init=1, random_state=seed % 2**32).fit(codes)
        centres = found.cluster_centers_.astype(np.float32)
        apart = np.linalg.norm(codes - centres[found.labels_], axis=1)
        counts = np.bincount(found.labels_, minlength=len(centres))
        totals = np.bincount(found.labels_, weights=apart, minlength=len(centres))
        # A cluster of one code has no spread; it is given that of the others.
        lone = counts < 2
        spread = np.where(lone, apart.sum() / max(1, counts[~lone].sum()), totals / counts)
        self.centres.copy_(torch.from_numpy(centres))
        reach = np.maximum(2 * spread, 1e-3)
        self.rates.copy_(torch.from_numpy((1 / reach**2).astype(np.float32)))

    def precision(self, codes: Tensor) -> Tensor:
        """β(z), shape (..., groups), of codes (..., d)."""
        flat = codes.reshape(-1, codes.shape[-1])
        squares = (
            flat.square().sum(1, keepdim=True)
            - 2 * flat @ self.centres.T
            + self.centres.square().sum(1)
        )
        basis = torch.exp(-0.5 * self.rates * squares.clamp_min(0))
        found = basis @ self.log_weights.exp().T + _FARTHEST**-2
        return found.reshape(*codes.shape[:-1], -1)

    def forward(self, codes: Tensor) -> Tensor:
        """σ(z) = β(z)^−½, shape (..., groups)."""
        return self.precision(codes).rsqrt()

    def group_means(self, values: Tensor) -> Tensor:
        """Means (B, groups) of values (B, 3, H, W) over each group."""
        flat = values.reshape(len(values), -1)
        counts = self.values_per_group.to(flat)
        totals = flat.new_zeros(len(flat), len(counts))
        return totals.index_add_(1, self.block_of_value.to(flat.device), flat) / counts

    def loss(self, codes: Tensor, errors: Tensor) -> Tensor:
        """Negative log-likelihood per value of squared errors (B, groups), each a group's mean."""
        found = self.precision(codes)
        share = self.values_per_group.to(codes) / self.values_per_group.sum()
        return (0.5 * (found * errors - torch.log(found)) * share).sum(dim=1).mean()


def block_of_value(size: tuple[int, int]) -> NDArray[np.int64]:
    """Group of each value of an image (3, H, W), flattened: its channel and block of the grid."""
    rows = np.arange(size[0]) * _GRID // size[0]
    columns = np.arange(size[1]) * _GRID // size[1]
    blocks = rows[:, None] * _GRID + columns[None, :]
    found: NDArray[np.int64] = (np.arange(3)[:, None, None] * _GRID**2 + blocks).ravel()
    return found


class StochasticImmersion:
    """Where codes lie when only distances matter: |f(a) − f(b)|² = |Δμ|² + |Δσ|².

    μ is linear in the last hidden units h, μ = Q R h + b with orthonormal columns in Q, so that
    |Δμ| = |R Δh|: distances between images cost no image. σ of a group counts once per value.

    Args:
        vae: Gives μ.
        precision: Gives σ.
    """

    def __init__(self, vae: VAE, precision: Precision) -> None:
        self._hidden, self._precision = vae.hidden, precision
        with torch.no_grad():
            weight = vae.pixels.weight
            self._root = torch.linalg.qr(weight.double(), mode="r").R.to(weight.dtype)
            self._counts = precision.values_per_group.to(weight).sqrt()

    def __call__(self, codes: Tensor) -> Tensor:
        """Points (..., p + groups) of codes (..., d)."""
        mean = self._hidden(codes) @ self._root.T
        return torch.cat([mean, self._precision(codes) * self._counts], dim=-1)
