"""Invertible layers that know their log-determinant: Glow's and Real NVP's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench.zoo.nets.blocks import activation


def squeeze(x: Tensor) -> Tensor:
    """Trade 2x2 pixels for 4 channels: (B, C, H, W) to (B, 4C, H/2, W/2)."""
    squeezed: Tensor = functional.pixel_unshuffle(x, 2)
    return squeezed


def unsqueeze(x: Tensor) -> Tensor:
    """The inverse of `squeeze`."""
    unsqueezed: Tensor = functional.pixel_shuffle(x, 2)
    return unsqueezed


class Bijection(nn.Module):
    """An invertible layer that knows its log-determinant."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Output of x's shape and log |det dy/dx| of shape (B,)."""
        raise NotImplementedError

    def inverse(self, y: Tensor) -> Tensor:
        """The x whose output is y."""
        raise NotImplementedError

    def initialise(self, x: Tensor) -> Tensor:
        """Set parameters from a batch where a layer wants that; returns the output."""
        return self.forward(x)[0]


class ActNorm(Bijection):
    """Per-channel affine map, set so that the first batch comes out standardised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))

    def initialise(self, x: Tensor) -> Tensor:
        """Standardise this batch."""
        mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3), correction=0)
        self.log_scale.data.copy_(-torch.log(std + 1e-4).view(-1, 1, 1))
        self.shift.data.copy_(-mean.view(-1, 1, 1))
        return self.forward(x)[0]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(x + shift) · exp(log_scale)."""
        logdet = self.log_scale.sum() * x.shape[2] * x.shape[3]
        return (x + self.shift) * self.log_scale.exp(), logdet.expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Y · exp(-log_scale) - shift."""
        return y * (-self.log_scale).exp() - self.shift


class InvertibleConvolution(Bijection):
    """1x1 convolution whose matrix is kept as P L U (Glow, section 3.2)."""

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = torch.diagonal(upper)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.log_diagonal = nn.Parameter(diagonal.abs().log())
        self.lower = nn.Parameter(torch.tril(lower, -1))
        self.upper = nn.Parameter(torch.triu(upper, 1))

    def matrix(self) -> Tensor:
        """The matrix, of shape (C, C)."""
        lower = torch.tril(self.lower, -1) + torch.eye(len(self.lower), device=self.lower.device)
        diagonal = torch.diag(self.sign * self.log_diagonal.exp())
        return self.permutation @ lower @ (torch.triu(self.upper, 1) + diagonal)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Multiply every pixel's channels by the matrix."""
        with torch.autocast(x.device.type, enabled=False):
            y = functional.conv2d(x, self.matrix()[:, :, None, None])
        logdet = self.log_diagonal.sum() * x.shape[2] * x.shape[3]
        return y, logdet.expand(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Multiply by the inverse matrix, computed in double precision."""
        inverse = torch.linalg.inv(self.matrix().double()).to(y.dtype)
        return functional.conv2d(y, inverse[:, :, None, None])


class FlipChannels(Bijection):
    """Reverses the order of channels, the fixed permutation of Real NVP."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reverse."""
        return x.flip(1), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Reverse again."""
        return y.flip(1)


def zero_convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3x3 convolution that starts at zero: couplings start as the identity."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


class CouplingNet(nn.Module):
    """3x3, 1x1, 3x3 convolutions whose output starts at zero; optionally residual blocks."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        width: int,
        *,
        nonlinearity: str,
        residual: int = 0,
    ) -> None:
        super().__init__()
        self.start = nn.Conv2d(channels_in, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                activation(nonlinearity),
                nn.Conv2d(width, width, 3 if residual else 1, padding=1 if residual else 0),
            )
            for _ in range(residual or 1)
        )
        self.residual = residual > 0
        self.end = nn.Sequential(activation(nonlinearity), zero_convolution(width, channels_out))

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (B, channels_in, H, W) to (B, channels_out, H, W) in float32."""
        hidden = self.start(x)
        for block in self.blocks:
            hidden = hidden + block(hidden) if self.residual else block(hidden)
        out: Tensor = self.end(hidden)
        return out.float()


def bounded(raw: Tensor, bound: float = 2.0) -> Tensor:
    """A log-scale within ±`bound`: keeps inverses accurate in single precision."""
    return bound * torch.tanh(raw / bound)


class AffineCoupling(Bijection):
    """One half of the channels scales and shifts the other (Real NVP, equations 7 and 8).

    Args:
        channels: Even number of channels.
        width: Channels of the coupling net.
        nonlinearity: Kind of activation inside it.
        residual: Number of its residual blocks; 0 for Glow's plain net.
    """

    def __init__(self, channels: int, width: int, *, nonlinearity: str, residual: int = 0) -> None:
        super().__init__()
        self.kept = channels // 2
        self.net = CouplingNet(
            self.kept,
            2 * (channels - self.kept),
            width,
            nonlinearity=nonlinearity,
            residual=residual,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Transform the second half given the first."""
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        shift, raw = self.net(kept).chunk(2, dim=1)
        log_scale = bounded(raw)
        moved = (moved + shift) * log_scale.exp()
        return torch.cat([kept, moved], 1), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        kept, moved = y[:, : self.kept], y[:, self.kept :]
        shift, raw = self.net(kept).chunk(2, dim=1)
        return torch.cat([kept, moved * (-bounded(raw)).exp() - shift], 1)


class AdditiveCoupling(Bijection):
    """One half of the channels shifts the other, which keeps its volume (NICE, section 3.2).

    Args:
        channels: Even number of channels.
        width: Channels of the coupling net.
        nonlinearity: Kind of activation inside it.
    """

    def __init__(self, channels: int, width: int, *, nonlinearity: str) -> None:
        super().__init__()
        self.kept = channels // 2
        self.net = CouplingNet(
            self.kept, channels - self.kept, width, nonlinearity=nonlinearity, residual=0
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Shift the second half by what the first says."""
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        return torch.cat([kept, moved + self.net(kept)], 1), x.new_zeros(len(x))

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it."""
        kept, moved = y[:, : self.kept], y[:, self.kept :]
        return torch.cat([kept, moved - self.net(kept)], 1)


class CheckerboardCoupling(Bijection):
    """The pixels of one colour of a checkerboard scale and shift the others (Real NVP, fig. 3).

    Args:
        channels: Number of channels.
        width: Channels of the coupling net.
        parity: 0 or 1: which pixels are kept.
        nonlinearity: Kind of activation inside the net.
        residual: Number of the net's residual blocks.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        parity: int,
        *,
        nonlinearity: str,
        residual: int = 0,
    ) -> None:
        super().__init__()
        self.parity = parity
        self.net = CouplingNet(
            channels + 1,
            2 * channels,
            width,
            nonlinearity=nonlinearity,
            residual=residual,
        )

    def _maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.arange(x.shape[2], device=x.device)[:, None]
        columns = torch.arange(x.shape[3], device=x.device)[None]
        kept = ((rows + columns + self.parity) % 2).to(x.dtype)[None, None]
        board = kept.expand(len(x), 1, -1, -1)
        shift, raw = self.net(torch.cat([x * kept, board], 1)).chunk(2, dim=1)
        return kept, shift * (1 - kept), bounded(raw) * (1 - kept)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Transform the pixels of the other colour."""
        _, shift, log_scale = self._maps(x)
        return (x + shift) * log_scale.exp(), log_scale.flatten(1).sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        """Undo it; the kept pixels are the same before and after."""
        _, shift, log_scale = self._maps(y)
        return y * (-log_scale).exp() - shift
