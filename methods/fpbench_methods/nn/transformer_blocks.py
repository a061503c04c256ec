"""Class tokens after the blocks of a vision transformer of timm."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench_methods.nn.augmentation import centre_crop
from fpbench_methods.nn.pretrained import create_timm, standardised


class TransformerBlocks(nn.Module):
    """A frozen vision transformer.

    Args:
        name: timm's name.
        side: Height and width of its input; rounded down to whole patches, positions are
            interpolated.
        crop: Cut the middle out instead of resizing.
        pretrained: Use trained weights.
        weights: A file that holds them, or None for the Hub.

    Raises:
        MethodDeclined: If the weights are not available.
        BadInput: If the file holds the weights of another network.
        ValueError: If `side` is smaller than a patch, or the network has no class token.
    """

    def __init__(
        self, name: str, side: int, *, crop: bool, pretrained: bool, weights: str | None
    ) -> None:
        super().__init__()
        with torch.device("meta"):
            bare: Any = timm.create_model(name)
        patch = int(bare.patch_embed.patch_size[0])
        if side < patch:
            raise ValueError(f"side={side} is smaller than one patch of {patch} pixels of {name}")
        self.side = side // patch * patch
        self.crop = crop
        body: Any = create_timm(
            name,
            pretrained=pretrained,
            weights=weights,
            scratch="",
            num_classes=0,
            img_size=self.side,
        )
        if getattr(body, "cls_token", None) is None:
            raise ValueError(f"{name} has no class token to probe")
        self.body = body.requires_grad_(False)
        self.depth = len(body.blocks)
        self._mean = tuple(body.default_cfg["mean"])
        self._std = tuple(body.default_cfg["std"])

    def prepare(self, batch: Tensor) -> Tensor:
        """Grey levels (B, 3, H, W) to the transformer's input."""
        if self.crop:
            return standardised(centre_crop(batch, self.side), self._mean, self._std)
        if batch.shape[-2:] != (self.side, self.side):
            batch = functional.interpolate(
                batch.float(), (self.side, self.side), mode="bicubic", antialias=True
            ).clamp(0, 255)
        return standardised(batch, self._mean, self._std)

    def tokens(self, x: Tensor, block: int | None = None) -> Tensor:
        """Class tokens after `block`, shape (B, D), or after every one, shape (B, depth, D)."""
        wanted = list(range(self.depth)) if block is None else [block]
        found = self.body.forward_intermediates(
            x,
            indices=wanted,
            return_prefix_tokens=True,
            norm=False,
            stop_early=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        classes = torch.stack([prefix[:, 0] for _, prefix in found], dim=1)
        return classes if block is None else classes[:, 0]

    def forward(self, x: Tensor) -> Tensor:
        """Class tokens after every block."""
        return self.tokens(x)
