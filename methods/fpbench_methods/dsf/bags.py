"""Bags of images: fresh ones for every training batch, and fixed ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fpbench.compute.device import numpy_generator, torch_generator
from fpbench.compute.training import Sampler

if TYPE_CHECKING:
    from numpy.typing import NDArray


def draw_bag(members: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Indices of `size` different images of one source."""
    return members[torch.randperm(len(members), generator=generator)[:size]]


def bag_batches(
    labels: Tensor,
    *,
    size: int,
    bags: int,
    sources: int,
    steps: int,
    pool: int | None = None,
    seed: int = 0,
) -> Sampler:
    """Batches of P sources × K bags of N images each, for the training loop.

    Images are drawn without replacement within a bag and with replacement across bags.

    Args:
        labels: Sources of the training images, shape (M,).
        size: Images of a bag, N.
        bags: Bags of a source in one batch, K; at least 2, or no bag has a positive.
        sources: Most sources in one batch, P, drawn at random where there are more.
        steps: Batches of an epoch.
        pool: Bags of each source that are drawn once and used again and again, or None for
            fresh ones; at least `bags`.
        seed: Of the pool.

    Returns:
        What yields index tensors of shape (P·K, N).

    Raises:
        ValueError: If a source has fewer images than a bag, or a number is out of range.
    """
    if size < 1 or bags < 2 or sources < 1 or steps < 1:
        raise ValueError(
            f"batches need bags of at least 1 image, 2 bags a source, 1 source and 1 step, not "
            f"{size}, {bags}, {sources} and {steps}"
        )
    if pool is not None and pool < bags:
        raise ValueError(f"{bags} bags a batch cannot be drawn from {pool} bags of a source")
    members = [torch.nonzero(labels == k)[:, 0] for k in sorted(set(labels.tolist()))]
    least = min(map(len, members), default=0)
    if least < size:
        raise ValueError(f"a bag holds {size} images, but a source has {least}")

    fixed: list[Tensor] = []
    if pool is not None:
        drawing = torch_generator(seed, "pool of bags")
        fixed = [
            torch.stack([draw_bag(images, size, drawing) for _ in range(pool)])
            for images in members
        ]

    def bags_of(source: int, generator: torch.Generator) -> Tensor:
        if pool is not None:
            return fixed[source][torch.randperm(pool, generator=generator)[:bags]]
        return torch.stack([draw_bag(members[source], size, generator) for _ in range(bags)])

    def sample(epoch: int, generator: torch.Generator) -> Iterator[Tensor]:
        for _ in range(steps):
            order = torch.randperm(len(members), generator=generator)
            chosen = sorted(order[:sources].tolist())
            yield torch.cat([bags_of(source, generator) for source in chosen])

    return sample


def singles(count: int) -> list[NDArray[np.int64]]:
    """Bags of one."""
    return list(np.arange(count, dtype=np.int64)[:, None])


def some_bags(
    labels: NDArray[np.int64], size: int, number: int, seed: int, purpose: str
) -> list[NDArray[np.int64]]:
    """Random bags of each source that has images, source after source.

    Args:
        labels: Sources of the images, shape (M,).
        size: Images of a bag; a source with fewer gives bags of all its images.
        number: Bags of each source.
        seed: Seed.
        purpose: What they are for; another purpose gives other bags.

    Returns:
        Index arrays, without replacement in a bag.
    """
    generator = numpy_generator(seed, "dsf", purpose)
    bags: list[NDArray[np.int64]] = []
    for k in np.unique(labels):
        members = np.flatnonzero(labels == k)
        bags += [generator.permutation(members)[:size].astype(np.int64) for _ in range(number)]
    return bags
