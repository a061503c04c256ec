"""Numbers behind the pictures of a row, small enough to stand in a page."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np

from fpbench.leaderboard.judged import read_confusion
from fpbench.leaderboard.pairs import Pairs
from fpbench.leaderboard.rows import Row
from fpbench.leaderboard.structure import Structure

_EXPONENT_STEPS = 200  # of −log10 p: p to one percent, down to 3e-21
_LARGEST_EXPONENT = 0xFFF
_HALFWIDTH_STEPS = 4000
_LARGEST_HALFWIDTH = 0x7FF
ALPHA = 0.05


def confusion_numbers(row: Row) -> list[list[int]] | None:
    """Hundredths of each source's images (rows) attributed to each source (columns)."""
    confusion = read_confusion(row.entries)
    if confusion is None:
        return None
    found: list[list[int]] = np.rint(confusion * 100).astype(int).tolist()
    return found


def structure_numbers(structure: Structure | None) -> dict[str, Any] | None:
    """Correlations in hundredths, the order of the leaves, and the merges of the tree.

    Correlations are the rows of the lower triangle without the diagonal. A merge is two nodes and
    its height in thousandths; leaves are numbered from 0, merges follow.
    """
    if structure is None:
        return None
    tree = structure.hierarchy
    hundredths = np.rint(structure.correlations * 100).astype(int)
    return {
        "correlations": [line[:k].tolist() for k, line in enumerate(hundredths)][1:],
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
