"""Large images, shown to networks as crops: which, where, and how answers are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.method import Budget

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CROP = 64
"""Side in pixels of the crops that budgets smoke and small train on where images are larger."""

PHASE = 8
"""Crops begin at multiples of this, so that cells of upsamplers and of JPEG keep their place."""

_MOST = 4  # crops along a side of an image that is judged
_AREA = CROP * CROP


def crop_side(budget: Budget, size: tuple[int, int]) -> int | None:
    """Side of the crops that a budget trains on, or None for whole images.

    >>> crop_side("small", (256, 256)), crop_side("small", (64, 64)), crop_side("full", (256, 256))
    (64, None, None)
    """
    return CROP if budget != "full" and min(size) > CROP else None


def within_area(batch: int, size: tuple[int, int]) -> int:
    """A batch of images that takes no more memory than `batch` of 64×64.

    >>> within_area(256, (32, 32)), within_area(256, (256, 256))
    (256, 16)
    """
    return max(1, min(batch, batch * _AREA // (size[0] * size[1])))


def random_crops(batch: Tensor, side: int) -> Tensor:
    """`side`×`side` pixels of each image (B, C, H, W), from a place drawn by torch's generator."""
    import torch

    tops, lefts = (
        (PHASE * torch.randint((length - side) // PHASE + 1, (len(batch),))).tolist()
        for length in batch.shape[-2:]
    )
    crops = torch.empty(
        (*batch.shape[:2], side, side),
        dtype=batch.dtype,
        device=batch.device,
        memory_format=torch.channels_last,
    )
    # Not torch.stack, which takes no float16 where a bfloat16 pass is running.
    for crop, image, top, left in zip(crops, batch, tops, lefts, strict=True):
        crop.copy_(image[:, top : top + side, left : left + side])
    return crops


def starts(length: int, side: int, most: int | None = _MOST) -> list[int]:
    """Where crops begin along an axis: evenly spread from border to border.

    Args:
        length: Of the axis.
        side: Of the crops.
        most: Number of crops at most; None for as many as cover the axis.

    >>> starts(256, 64), starts(100, 64), starts(512, 64), len(starts(512, 64, None))
    ([0, 64, 128, 192], [0, 36], [0, 144, 296, 448], 8)
    """
    last = length - side
    if most is None:
        return [*range(0, last, side), last]
    count = min(most, -(-length // side))
    if count == 1:
        return [0]
    return [*(PHASE * (k * last // (count - 1) // PHASE) for k in range(count - 1)), last]


def tiled(
    images: NDArray[Any], side: int, most: int | None = _MOST
) -> tuple[NDArray[Any], list[tuple[int, int]]]:
    """Crops of images (N, H, W, C) on a grid.

    Args:
        images: The images.
        side: Of the crops.
        most: Crops along a side, see `starts`.

    Returns:
        Crops (N · G, side, side, C), those of an image one after the other, and the G corners.
    """
    height, width = images.shape[1:3]
    corners = [(t, s) for t in starts(height, side, most) for s in starts(width, side, most)]
    crops = np.stack([images[:, t : t + side, s : s + side] for t, s in corners], axis=1)
    return crops.reshape(-1, side, side, images.shape[3]), corners


def assembled(
    crops: NDArray[np.float32], corners: list[tuple[int, int]], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Images (N, H, W, C) of a height and width from the crops that `tiled` made of them."""
    side = crops.shape[1]
    pieces = crops.reshape(-1, len(corners), *crops.shape[1:])
    whole = np.empty((len(pieces), *size, crops.shape[3]), np.float32)
    for k, (top, left) in enumerate(corners):
        whole[:, top : top + side, left : left + side] = pieces[:, k]
    return whole


def drawn(images: NDArray[Any], side: int, each: int, seed: int, *names: object) -> NDArray[Any]:
    """`each` crops of every image (N, H, W, C) at places drawn once: (N · each, side, side, C)."""
    from fpbench.compute.device import numpy_generator

    generator = numpy_generator(seed, *names)
    height, width = images.shape[1:3]
    tops, lefts = (
        PHASE * generator.integers((length - side) // PHASE + 1, size=(len(images), each))
        for length in (height, width)
    )
    crops = np.empty((len(images) * each, side, side, images.shape[3]), images.dtype)
    for k in range(len(crops)):
        top, left = tops.flat[k], lefts.flat[k]
        crops[k] = images[k // each, top : top + side, left : left + side]
    return crops
