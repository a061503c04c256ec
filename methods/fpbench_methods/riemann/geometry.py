"""Geodesics and centres of mass under a pull-back metric, for many curves at once.

The metric of a latent space is that of the space into which an immersion f maps it: the length of
a curve is that of its image. Curves are polylines with fixed ends; no Jacobian is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Immersion = Callable[[Tensor], Tensor]
"""Maps points (..., d) to points (..., m) whose Euclidean distances are the lengths meant."""

_SMALLEST = 1e-12


@dataclass(frozen=True)
class GeodesicPlan:
    """How finely and how long geodesics are sought.

    Attributes:
        segments: Straight pieces T of a polyline, at least 1.
        steps: Steps of Adam on its inner nodes.
        lr: Adam's rate for the slowest sine wave, in units of the distance between the ends over
            √d; it falls to zero in equal parts.

    Raises:
        ValueError: If a value is out of range.
    """

    segments: int = 15
    steps: int = 50
    lr: float = 0.03

    def __post_init__(self) -> None:
        if self.segments < 1 or self.steps < 0 or not self.lr > 0:
            raise ValueError(
                f"segments={self.segments}, steps={self.steps} and lr={self.lr} must be positive"
            )


def straight(start: Tensor, end: Tensor, segments: int) -> Tensor:
    """Polylines (B, T + 1, d) of equal straight pieces from `start` to `end`, both (B, d)."""
    t = torch.linspace(0, 1, segments + 1, dtype=start.dtype, device=start.device)
    return start[:, None] + t[None, :, None] * (end - start)[:, None]


def energy(immersion: Immersion, curves: Tensor) -> Tensor:
    """Energies ``T Σ_t |f(z_{t+1}) − f(z_t)|²`` (B,) of polylines (B, T + 1, d)."""
    steps = immersion(curves).diff(dim=1)
    return steps.shape[1] * steps.square().sum(dim=(1, 2))


def length(immersion: Immersion, curves: Tensor) -> Tensor:
    """Lengths ``Σ_t |f(z_{t+1}) − f(z_t)|`` (B,) of polylines (B, T + 1, d)."""
    return immersion(curves).diff(dim=1).square().sum(dim=2).sqrt().sum(dim=1)


def geodesics(immersion: Immersion, curves: Tensor, plan: GeodesicPlan) -> Tensor:
    """Polylines of less energy with the same ends, found by Adam on the inner nodes.

    Nodes are moved by sums of all sine waves that vanish at both ends, the j-th divided by j:
    under a flat metric the energy then curves alike in every direction, which nodes by themselves
    are far from. Each curve is moved in units of the distance between its ends and its energy
    measured in units of the one it starts with, so that rates mean the same for short and long
    curves and no curve depends on the others. Of the curve at the start and the one at the end
    the better is kept.

    Args:
        immersion: f, which defines the metric.
        curves: Polylines (B, T + 1, d) to start from.
        plan: Steps and rate.

    Returns:
        Shape (B, T + 1, d), without gradients.
    """
    curves = curves.detach()
    if curves.shape[1] < 3 or plan.steps == 0 or not len(curves):
        return curves
    # A step of Adam is about as long in every coordinate; over √d the rate is a length.
    scale = (curves[:, -1] - curves[:, 0]).square().mean(dim=1).sqrt()[:, None, None]
    with torch.no_grad():
        before = energy(immersion, curves)
    weight = 1 / before.clamp_min(_SMALLEST)
    segments = curves.shape[1] - 1
    wave = torch.arange(1, segments, dtype=curves.dtype, device=curves.device)
    waves = torch.sin(torch.pi / segments * wave[:, None] * wave) / wave  # (node, j)
    moved = torch.zeros_like(curves[:, 1:-1], requires_grad=True)
    # Short memory, as there are few steps; near a minimum gradients are rounding, which a larger
    # epsilon keeps Adam from blowing up.
    adam = torch.optim.Adam([moved], lr=plan.lr, betas=(0.8, 0.9), eps=1e-4)

    def bent(offsets: Tensor) -> Tensor:
        inner = curves[:, 1:-1] + scale * torch.einsum("tj,bjd->btd", waves, offsets)
        return torch.cat([curves[:, :1], inner, curves[:, -1:]], dim=1)

    for step in range(plan.steps):
        adam.param_groups[0]["lr"] = plan.lr * (1 - step / plan.steps)
        (moved.grad,) = torch.autograd.grad(
            (weight * energy(immersion, bent(moved))).sum(), [moved]
        )
        adam.step()
    with torch.no_grad():
        found = bent(moved)
        better = energy(immersion, found) < before
        return torch.where(better[:, None, None], found, curves)


def centre_of_mass(
    immersion: Immersion,
    points: Tensor,
    plan: GeodesicPlan,
    *,
    iterations: int = 20,
    rate: float = 0.5,
) -> Tensor:
    """Riemannian centres of mass (Karcher means) of sets of points, each weighted alike.

    ``m ← m + η · mean_i Log_m(z_i)`` from the Euclidean mean. A geodesic has constant speed, so
    that its velocity at the start is the log map: its direction, and as long as the geodesic. It
    is taken from the first two pieces, exact to second order in 1 / T. The curves of one
    iteration start from those of the one before.

    Args:
        immersion: f, which defines the metric.
        points: Shape (B, k, d).
        plan: How geodesics are sought in each iteration.
        iterations: How often m moves.
        rate: η.

    Returns:
        Shape (B, d).
    """
    sets, k, dimension = points.shape
    mean = points.mean(dim=1)
    ends = points.reshape(sets * k, dimension)
    curves = straight(mean.repeat_interleave(k, dim=0), ends, plan.segments)
    fade = torch.linspace(1, 0, plan.segments + 1, dtype=points.dtype, device=points.device)
    for _ in range(iterations):
        curves = geodesics(immersion, curves, plan)
        logs = plan.segments * (curves[:, 1] - curves[:, 0])
        if plan.segments > 1:
            logs = 1.5 * logs - 0.5 * plan.segments * (curves[:, 2] - curves[:, 1])
        move = rate * logs.reshape(sets, k, dimension).mean(dim=1)
        mean = mean + move
        curves = curves + fade[None, :, None] * move.repeat_interleave(k, dim=0)[:, None]
    return mean
