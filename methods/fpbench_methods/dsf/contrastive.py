"""The contrastive loss of Song & AbdAlmageed (2022), equations 1 and 2."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def nca_loss(
    vectors: Tensor, labels: Tensor, *, normalise: bool = False, temperature: float = 1.0
) -> Tensor:
    """Negative log-probability that a bag's stochastic neighbour is of its own source.

    With ``d_ab = ‖z_a − z_b‖²`` and ``p_a(b) = exp(−d_ab) / Σ_{c≠a} exp(−d_ac)``, the mean over
    bags of ``−log Σ_{b≠a, m_b=m_a} p_a(b)``: neighbourhood components analysis in its log form,
    the sum inside the logarithm. Computed as a difference of two log-sum-exps. Bags without
    another of their source have no loss and are left out of the mean.

    Args:
        vectors: Bag vectors z of shape (B, D).
        labels: Sources of shape (B,).
        normalise: Scale vectors to unit length first; the paper does not.
        temperature: Distances are divided by it; 1 in the paper.

    Returns:
        A scalar; zero if no bag has another of its source.
    """
    z = vectors.float()
    if normalise:
        z = functional.normalize(z, dim=1)
    # Differences, not a product of matrices: a matrix product would run in bfloat16 there.
    distances = (z[:, None] - z[None]).square().sum(dim=2) / temperature
    others = ~torch.eye(len(z), dtype=torch.bool, device=z.device)
    positive = (labels[:, None] == labels[None]) & others
    anchors = positive.any(dim=1)
    if not bool(anchors.any()):
        return z.sum() * 0.0
    scores = -distances[anchors]
    nearest = torch.logsumexp(scores.masked_fill(~positive[anchors], -torch.inf), dim=1)
    anyone = torch.logsumexp(scores.masked_fill(~others[anchors], -torch.inf), dim=1)
    return (anyone - nearest).mean()


def blind_loss(bags: int, sources: int) -> float | None:
    """`nca_loss` of equal vectors, which tell no source: the log of how few others are its own.

    Args:
        bags: Bags of each source, at least two.
        sources: Number of sources.

    Returns:
        ``log((bags · sources − 1) / (bags − 1))``; None for a single source.
    """
    return None if sources < 2 else math.log((bags * sources - 1) / (bags - 1))
