"""What keeps a critic in bounds, and shows it its whole batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, *, target: float = 1.0
) -> Tensor:
    """Mean squared deviation of the critic's gradient norm from `target`: a scalar.

    ``E (‖∇D(x̂)‖₂ − target)² / target²`` with x̂ uniform on the segments between real and fake
    images (Gulrajani et al., NeurIPS 2017, equation 3). The points come from torch's global
    generator.

    Args:
        critic: From images (B, C, H, W) to one score each.
        real: Images of shape (B, C, H, W).
        fake: As many images.
        target: Norm aimed at.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    points = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    norms = gradient.float().flatten(1).norm(dim=1)
    penalty: Tensor = ((norms - target) / target).square().mean()
    return penalty


def with_batch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Append one channel: the mean standard deviation within groups of images.

    Minibatch standard deviation of Karras et al. (ICLR 2018, section 3): over each position and
    channel within a group, averaged to one number per group. Where `group` does not divide the
    batch, the largest smaller number that does is taken.

    Args:
        x: Shape (B, C, H, W).
        group: Images of a group.

    Returns:
        Shape (B, C + 1, H, W).
    """
    count, _, height, width = x.shape
    size = next(size for size in range(min(group, count), 0, -1) if count % size == 0)
    grouped = x.float().reshape(size, count // size, *x.shape[1:])
    variance = grouped.var(dim=0, unbiased=False)
    # The root of exactly zero has no gradient.
    deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.repeat(size).to(x.dtype)[:, None, None, None]
    return torch.cat([x, channel.expand(count, 1, height, width)], dim=1)
