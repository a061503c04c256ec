"""U-Nets that denoise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fpbench.zoo.nets.blocks import activation, downsampling, normalisation, upsampling


class DiffusersUNet(nn.Module):
    """``diffusers.UNet2DModel``, called with images and times and returning a tensor."""

    def __init__(self, size: int, **options: object) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        network: Any = UNet2DModel
        self.unet = network(sample_size=size, in_channels=3, out_channels=3, **options)
        nn.init.zeros_(self.unet.conv_out.weight)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """Predict for noised images (B, 3, H, W) at times (B,)."""
        out: Tensor = self.unet(x, times, return_dict=False)[0]
        return out


def _check_size(size: int, widths: Sequence[int], *, reduction: int = 1) -> None:
    unit = reduction * 2 ** (len(widths) - 1)
    if size % unit:
        raise ValueError(f"image size {size} is no multiple of {unit}")


def ddpm_unet(
    size: int, design: Mapping[str, str], *, widths: Sequence[int] = (16, 32, 64), layers: int = 1
) -> dict[str, nn.Module]:
    """DDPM's U-Net as diffusers builds it: nearest neighbour up, strided convolution down.

    Args:
        size: Height and width of the images.
        design: Design choices; of them the nonlinearity can be chosen here.
        widths: Channels per resolution, from the full one on.
        layers: Residual blocks per resolution.
    """
    fixed = {"upsampling": "nearest", "downsampling": "strided convolution"}
    for key, value in (fixed | {"normalisation": "group"}).items():
        if design[key] != value:
            raise ValueError(f"this network's {key} is {value}, not {design[key]}")
    _check_size(size, widths)
    return {
        "denoiser": DiffusersUNet(
            size,
            layers_per_block=layers,
            block_out_channels=tuple(widths),
            down_block_types=("DownBlock2D",) * len(widths),
            up_block_types=("UpBlock2D",) * len(widths),
            norm_num_groups=8,
            act_fn=design["nonlinearity"],
            add_attention=False,
        )
    }


def embed_times(times: Tensor, width: int) -> Tensor:
    """Sines and cosines of times at geometrically spaced frequencies: shape (B, width).

    Args:
        times: Of shape (B,), about 0 to 1000.
        width: Even number of features.
    """
    half = width // 2
    rates = torch.exp(-math.log(10000) * torch.arange(half, device=times.device) / half)
    angles = times.float()[:, None] * rates[None]
    return torch.cat([angles.cos(), angles.sin()], 1)


class Block(nn.Module):
    """Residual block told the time: as a shift, or as scale and shift after the second norm.

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.
        condition: Dimension of the time's embedding.
        norm: Kind of normalisation.
        nonlinearity: Kind of activation.
        scale_shift: Whether the time also scales (ADM, arXiv:2105.05233, equation 6).
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        condition: int,
        *,
        norm: str,
        nonlinearity: str,
        scale_shift: bool,
    ) -> None:
        super().__init__()
        self.norm1 = normalisation(norm, width_in)
        self.norm2 = normalisation(norm, width_out)
        self.activation = activation(nonlinearity)
        self.first = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.second = nn.Conv2d(width_out, width_out, 3, padding=1)
        nn.init.zeros_(self.second.weight)
        self.told = nn.Linear(condition, width_out * (2 if scale_shift else 1))
        self.scale_shift = scale_shift
        self.shortcut = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Features (B, width_in, H, W) to (B, width_out, H, W)."""
        hidden = self.first(self.activation(self.norm1(x)))
        told = self.told(condition)[:, :, None, None].to(hidden.dtype)
        if self.scale_shift:
            scale, shift = told.chunk(2, dim=1)
            hidden = self.norm2(hidden) * (1 + scale) + shift
        else:
            hidden = self.norm2(hidden + told)
        hidden = self.second(self.activation(hidden))
        summed: Tensor = hidden + (x if self.shortcut is None else self.shortcut(x))
        return summed


class Attention(nn.Module):
    """Self-attention over all places of a feature map.

    Args:
        width: Channels.
        heads: Number of heads.
        norm: Kind of normalisation before it.
    """

    def __init__(self, width: int, heads: int, *, norm: str) -> None:
        super().__init__()
        self.norm = normalisation(norm, width)
        self.read = nn.Conv2d(width, 3 * width, 1)
        self.write = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.write.weight)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Features of shape (B, width, H, W)."""
        count, width, height, across = x.shape
        read = self.read(self.norm(x)).view(count, 3, self.heads, width // self.heads, -1)
        query, key, value = read.unbind(1)
        # Written out: for so few places the fused kernel's backward pass is slower on the CPU.
        weights = torch.einsum("bhdn,bhdm->bhnm", query, key) * (width // self.heads) ** -0.5
        mixed = torch.einsum("bhnm,bhdm->bhdn", weights.float().softmax(-1).to(value.dtype), value)
        summed: Tensor = x + self.write(mixed.reshape(count, width, height, across))
        return summed


class UNet(nn.Module):
    """U-Net with residual blocks, the time told to every block, and concatenating skips.

    Args:
        channels: Channels of what is denoised.
        widths: Channels per resolution, from the full one on.
        blocks: Residual blocks per resolution and direction.
        attention: Whether the lowest resolution attends to itself.
        up: Kind of upsampling.
        down: Kind of downsampling.
        norm: Kind of normalisation.
        nonlinearity: Kind of activation.
        scale_shift: Whether the time scales features too.
    """

    def __init__(
        self,
        channels: int,
        widths: Sequence[int],
        *,
        blocks: int,
        attention: bool,
        up: str,
        down: str,
        norm: str,
        nonlinearity: str,
        scale_shift: bool,
    ) -> None:
        super().__init__()
        self.embedding = 4 * widths[0]
        condition = 2 * self.embedding
        self.time = nn.Sequential(
            nn.Linear(self.embedding, condition),
            nn.SiLU(),
            nn.Linear(condition, condition),
            nn.SiLU(),
        )

        def block(width_in: int, width_out: int) -> Block:
            return Block(
                width_in,
                width_out,
                condition,
                norm=norm,
                nonlinearity=nonlinearity,
                scale_shift=scale_shift,
            )

        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        before = widths[0]
        for level, width in enumerate(widths):
            if level:
                self.shrink.append(downsampling(down, before, width))
                before = width
            self.down.append(nn.ModuleList(block(width, width) for _ in range(blocks)))
        self.middle = nn.ModuleList([block(before, before), block(before, before)])
        self.attention = Attention(before, 2, norm=norm) if attention else nn.Identity()
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(widths))):
            width = widths[level]
            self.up.append(
                nn.ModuleList(block(2 * width if i == 0 else width, width) for i in range(blocks))
            )
            if level:
                self.grow.append(upsampling(up, width, widths[level - 1]))
        self.finish = nn.Sequential(normalisation(norm, widths[0]), activation(nonlinearity))
        self.end = nn.Conv2d(widths[0], channels, 3, padding=1)
        nn.init.zeros_(self.end.weight)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """Predict for noised x of shape (B, channels, H, W) at times of shape (B,)."""
        condition = self.time(embed_times(times, self.embedding))
        hidden = self.stem(x)
        kept: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            if level:
                hidden = self.shrink[level - 1](hidden)
            for block in blocks.children():
                hidden = block(hidden, condition)
            kept.append(hidden)
        first, second = self.middle
        hidden = second(self.attention(first(hidden, condition)), condition)
        for index, blocks in enumerate(self.up):
            if index:
                hidden = self.grow[index - 1](hidden)
            hidden = torch.cat([hidden, kept.pop()], 1)
            for block in blocks.children():
                hidden = block(hidden, condition)
        out: Tensor = self.end(self.finish(hidden))
        return out


def denoising_unet(
    size: int,
    design: Mapping[str, str],
    *,
    channels: int = 3,
    widths: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    attention: bool = False,
    scale_shift: bool = False,
) -> dict[str, nn.Module]:
    """A U-Net whose resampling, normalisation and nonlinearity are as `design` says."""
    _check_size(size, widths)
    network = UNet(
        channels,
        widths,
        blocks=blocks,
        attention=attention,
        up=design["upsampling"],
        down=design["downsampling"],
        norm=design["normalisation"],
        nonlinearity=design["nonlinearity"],
        scale_shift=scale_shift,
    )
    return {"denoiser": network}


class LatentCoder(nn.Module):
    """Encoder or decoder between images and maps of latents at a quarter of the resolution."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Images to latents, or latents to images."""
        out: Tensor = self.body(x)
        return out


def latent_diffusion(
    size: int,
    design: Mapping[str, str],
    *,
    latent: int = 4,
    coder_width: int = 32,
    widths: Sequence[int] = (64, 96),
    blocks: int = 2,
) -> dict[str, nn.Module]:
    """Encoder and decoder as `design` says, and a U-Net on their latents (LDM, section 3).

    Args:
        size: Height and width of the images.
        design: Design choices, of encoder and decoder: they make the image.
        latent: Channels of the latents.
        coder_width: Channels of encoder and decoder.
        widths: Channels of the U-Net per resolution of the latents.
        blocks: Its residual blocks per resolution and direction.
    """
    _check_size(size, widths, reduction=4)
    norm, kind = design["normalisation"], design["nonlinearity"]
    up, down, wide = design["upsampling"], design["downsampling"], coder_width

    def layer(module: nn.Module, width: int) -> list[nn.Module]:
        return [module, normalisation(norm, width), activation(kind)]

    encoder = [
        *layer(downsampling(down, 3, wide), wide),
        *layer(downsampling(down, wide, 2 * wide), 2 * wide),
        nn.Conv2d(2 * wide, 2 * latent, 3, padding=1),
    ]
    decoder = [
        *layer(nn.Conv2d(latent, 2 * wide, 3, padding=1), 2 * wide),
        *layer(upsampling(up, 2 * wide, wide), wide),
        upsampling(up, wide, wide),
        activation(kind),
        nn.Conv2d(wide, 3, 3, padding=1),
    ]
    denoiser = UNet(
        latent,
        widths,
        blocks=blocks,
        attention=False,
        up="nearest",
        down="average pooling",
        norm="group",
        nonlinearity="silu",
        scale_shift=True,
    )
    return {
        "encoder": LatentCoder(encoder),
        "decoder": LatentCoder(decoder),
        "denoiser": denoiser,
    }
