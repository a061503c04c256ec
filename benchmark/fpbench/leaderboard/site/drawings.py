"""Numbers behind the pictures of a row, small enough to stand in a page."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpbench.leaderboard.judged import read_confusion
from fpbench.leaderboard.pairs import Pairs
from fpbench.leaderboard.rows import Row
from fpbench.leaderboard.structure import Structure

_EXPONENT_STEPS = 200  # of −log10 p: p to one percent, down to 3e-21
_LARGEST_EXPONENT = 0xFFF
_HALFWIDTH_STEPS = 4000
_LARGEST_HALFWIDTH = 0x7FF
ALPHA = 0.05


def packed_shares(values: NDArray[np.floating[Any]]) -> str:
    """Numbers in [−1, 1] as hundredths, a byte each with 100 added, in base64.

    >>> packed_shares(np.asarray([-1.0, 0.0, 0.256]))
    'AGR+'
    """
    octets = np.clip(np.rint(values * 100) + 100, 0, 200).astype(np.uint8)
    return b64encode(octets.tobytes()).decode("ascii")


def confusion_numbers(row: Row) -> str | None:
    """Shares of each source's images (rows) attributed to each source (columns), packed."""
    confusion = read_confusion(row.entries)
    return None if confusion is None else packed_shares(confusion)


def structure_numbers(structure: Structure | None) -> dict[str, Any] | None:
    """Correlations, the order of the leaves, and the merges of the tree.

    Correlations are the packed rows of the lower triangle without the diagonal. A merge is two
    nodes and its height in thousandths; leaves are numbered from 0, merges follow.
    """
    if structure is None:
        return None
    tree = structure.hierarchy
    lower = np.tril_indices(len(structure.correlations), -1)
    return {
        "correlations": packed_shares(structure.correlations[lower]),
        "order": tree.order.tolist(),
        "merges": [
            [int(step[0]), int(step[1]), round(float(step[2]) * 1000)] for step in tree.linkage
        ],
    }


def packed_pairs(pairs: Pairs) -> str:
    """All pairs in base64: 3 bytes each, of the upper triangle row by row, little-endian.

    The lowest 12 bits are 200·(−log10 p) of the corrected p-value, the next 11 the half 95 %
    interval of the difference in steps of 1/4000, the highest whether the pair is separated.
    """
    upper = np.triu_indices(len(pairs.p_value), 1)
    p = np.maximum(pairs.corrected[upper], 1e-300)
    exponent = np.minimum(np.rint(-np.log10(p) * _EXPONENT_STEPS), _LARGEST_EXPONENT)
    half = np.minimum(np.rint(pairs.halfwidth[upper] * _HALFWIDTH_STEPS), _LARGEST_HALFWIDTH)
    packed = exponent.astype(np.uint32) | half.astype(np.uint32) << 12
    packed |= (pairs.corrected[upper] <= ALPHA).astype(np.uint32) << 23
    octets = packed.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3]
    return b64encode(octets.tobytes()).decode("ascii")
