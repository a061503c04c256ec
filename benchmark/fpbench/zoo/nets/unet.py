"""U-Nets that denoise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn


class DiffusersUNet(nn.Module):
    """``diffusers.UNet2DModel``, called with images and times and returning a tensor."""

    def __init__(self, size: int, **options: object) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        self.unet: Any = UNet2DModel(  # type: ignore[no-untyped-call]
            sample_size=size, in_channels=3, out_channels=3, **options
        )

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """Predict for noised images (B, 3, H, W) at times (B,)."""
        out: Tensor = self.unet(x, times, return_dict=False)[0]
        return out


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
