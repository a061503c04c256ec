"""Draws images from trained models, with one quantiser for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from fpbench.zoo.train import derived_seed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fpbench.method import Progress
    from fpbench.zoo.train import TrainedModel


def quantise(images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Floats in [-1, 1] to the nearest of 256 levels: round((x + 1) · 127.5) after clipping.

    All models share it. Released samplers differ (truncation, offsets of half a level, no
    clipping), which would tell models apart by their writers and not by what they learnt. Halves
    go to the even level, as in IEEE 754; no number (NaN) is refused.

    Args:
        images: Floats of any shape; values beyond [-1, 1] are clipped.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: If a value is no number.

    >>> quantise(np.array([-1.5, -1.0, 0.0, 1.0, 9.0]))
    array([  0,   0, 128, 255, 255], dtype=uint8)
    """
    if np.isnan(images).any():
        raise ValueError("cannot quantise images that contain NaN")
    levels: NDArray[np.uint8] = np.rint((np.clip(images, -1, 1) + 1) * 127.5).astype(np.uint8)
    return levels


def sample(
    trained: TrainedModel,
    count: int,
    *,
    seed: int,
    batch: int = 256,
    progress: Progress | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Draw images with the averaged weights, in float32.

    On the CPU the images depend on the weights, `seed`, `count` and `batch` only. Torch's global
    generator is left as it was.

    Args:
        trained: The model.
        count: How many images.
        seed: Everything random derives from it.
        batch: Images drawn at once.
        progress: Called as ``progress(what, done, total)`` in images.

    Yields:
        uint8 arrays of shape (B, H, W, 3), B at most `batch`.

    Raises:
        ValueError: If `count` or `batch` is not positive.
    """
    if count < 1 or batch < 1:
        raise ValueError(f"count and batch must be positive, not {count} and {batch}")
    device = next(trained.net.parameters()).device
    trained.net.eval()
    for index, start in enumerate(range(0, count, batch)):
        wanted = min(batch, count - start)
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.inference_mode(),
        ):
            torch.manual_seed(derived_seed(seed, 2, index))
            drawn = trained.net.draw(wanted).float().cpu()
        yield np.ascontiguousarray(quantise(drawn.numpy()).transpose(0, 2, 3, 1))
        if progress is not None:
            progress(f"sampling {trained.model.name}", start + wanted, count)
