"""Changes of training batches. Randomness comes from torch's global generator."""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def centre_crop(batch: Tensor, side: int) -> Tensor:
    """The middle `side`×`side` pixels of (B, C, H, W); a shorter axis stays as it is."""
    top = max(0, (batch.shape[-2] - side) // 2)
    left = max(0, (batch.shape[-1] - side) // 2)
    return batch[..., top : top + side, left : left + side]


def random_crop(batch: Tensor, side: int) -> Tensor:
    """`side`×`side` pixels from a place drawn for each image; a shorter axis stays as it is."""
    spare = [max(0, length - side) for length in batch.shape[-2:]]
    if not any(spare):
        return batch
    tops = torch.randint(spare[0] + 1, (len(batch),)).tolist()
    lefts = torch.randint(spare[1] + 1, (len(batch),)).tolist()
    return torch.stack(
        [
            image[:, top : top + side, left : left + side]
            for image, top, left in zip(batch, tops, lefts, strict=True)
        ]
    )


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Blur one image (C, H, W), uint8, borders repeated, cut off at 4σ and rounded."""
    radius = int(4 * sigma + 0.5)
    if radius == 0:
        return image
    at = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel /= kernel.sum()
    planes = image.float()[:, None]
    planes = functional.pad(planes, (radius, radius, radius, radius), mode="replicate")
    planes = functional.conv2d(planes, kernel.view(1, 1, 1, -1))
    planes = functional.conv2d(planes, kernel.view(1, 1, -1, 1))
    return planes[:, 0].round().clamp(0, 255).to(torch.uint8)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """Compress one image (3, H, W), uint8, as JPEG and decode it again."""
    from PIL import Image

    pixels = image.permute(1, 2, 0).contiguous().cpu().numpy()
    with io.BytesIO() as stream:
        Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
        stream.seek(0)
        decoded = np.array(Image.open(stream).convert("RGB"))
    return torch.from_numpy(decoded).permute(2, 0, 1).to(image.device)


def blur_or_compress(batch: Tensor, probability: float) -> Tensor:
    """Blur with σ from 0 to 3, then JPEG of quality 30 to 100, each for a share of the images.

    Args:
        batch: uint8 of shape (B, 3, H, W).
        probability: Share that is blurred, and, independently, share that is compressed.
    """
    draws = torch.rand(len(batch), 4).tolist()
    changed = []
    for image, (blurs, sigma, compresses, quality) in zip(batch, draws, strict=True):
        found = gaussian_blur(image, 3 * sigma) if blurs < probability else image
        if compresses < probability:
            found = jpeg(found, 30 + min(70, math.floor(71 * quality)))
        changed.append(found)
    return torch.stack(changed)
