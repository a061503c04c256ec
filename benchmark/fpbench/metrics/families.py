"""What errors have in common: how many of them stay within the family of the true source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.score import NotComputable

REPEATS = 9999


@dataclass(frozen=True)
class FamilyErrors:
    """Errors that name another source of the true family.

    Attributes:
        share: Share of all errors that do.
        chance: The share if each source's errors fell evenly on all others.
        p_value: One-sided, by permuting the families over the sources: whether errors follow
            families, sources being the sample.
        errors: How many errors there are.
    """

    share: float
    chance: float
    p_value: float
    errors: float


def family_errors(confusion: ArrayLike, families: Sequence[str], seed: int = 0) -> FamilyErrors:
    """Share of errors within families, from a confusion matrix.

    Sources that are mistaken for each other may be of one family because families leave common
    traces. Of K sources with families f and confusion counts C, errors being off the diagonal,
    ``share = Σ_{i≠j, f_i = f_j} C_ij / Σ_{i≠j} C_ij`` and
    ``chance = Σ_i e_i (m_i − 1) / (K − 1) / Σ_i e_i``, e_i the errors of source i and m_i the size
    of its family. p is the share of permutations of the families over the sources that
    have as high a share.

    Args:
        confusion: Shape (K, K), images of each source (rows) that are given each name.
        families: K families.
        seed: Of the permutations.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If there is no error, or no two sources share a family.

    >>> counts = [[8, 2, 0, 0], [1, 9, 0, 0], [0, 0, 9, 1], [1, 0, 0, 9]]
    >>> found = family_errors(counts, ["GAN", "GAN", "VAE", "VAE"])
    >>> round(found.share, 3), round(found.chance, 3)
    (0.8, 0.333)
    """
    counts = np.array(confusion, dtype=np.float64)
    size = len(families)
    if counts.shape != (size, size):
        raise ValueError(f"confusion of shape {counts.shape} for {size} sources")
    np.fill_diagonal(counts, 0.0)
    total = counts.sum()
    if total <= 0:
        raise NotComputable("No image is named wrongly.")
    _, keys, sizes = np.unique(np.asarray(families), return_inverse=True, return_counts=True)
    if sizes.max() < 2:
        raise NotComputable("No two sources share a family.")
    alike = keys[:, None] == keys[None, :]
    share = float(counts[alike].sum() / total)
    spread = (sizes[keys] - 1) / (size - 1)
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(keys, (REPEATS, 1)), axis=1)
    permuted = np.array([counts[order[:, None] == order[None, :]].sum() for order in orders])
    as_high = int((permuted / total >= share - 1e-12).sum())
    return FamilyErrors(
        share=share,
        chance=float((counts.sum(axis=1) * spread).sum() / total),
        p_value=(1 + as_high) / (REPEATS + 1),
        errors=float(total),
    )
