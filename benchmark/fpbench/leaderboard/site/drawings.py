"""Numbers behind the pictures of a row, small enough to stand in a page."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np

from fpbench.leaderboard.pairs import Pairs
from fpbench.leaderboard.rows import Row
from fpbench.leaderboard.structure import Structure

_SEPARATED = 0x8000
_EXPONENT_STEPS = 1000  # of −log10 p, so p is kept to a quarter of a percent
_HALFWIDTH_STEPS = 1 / 20_000
ALPHA = 0.05


def confusion_numbers(row: Row) -> list[list[int]] | None:
    """Thousandths of each source's images (rows) attributed to each source (columns)."""
    if row.judged is None:
        return None
    found: list[list[int]] = np.rint(row.judged.confusion * 1000).astype(int).tolist()
    return found


def structure_numbers(structure: Structure | None) -> dict[str, Any] | None:
    """Correlations in hundredths, the order of the leaves, and the merges of the tree.

    A merge is two nodes and its height in thousandths; leaves are numbered from 0, merges follow.
    """
    if structure is None:
        return None
    tree = structure.hierarchy
    return {
        "names": list(structure.names),
        "correlations": np.rint(structure.correlations * 100).astype(int).tolist(),
        "order": tree.order.tolist(),
        "merges": [
            [int(step[0]), int(step[1]), round(float(step[2]) * 1000)] for step in tree.linkage
        ],
    }


def packed_pairs(pairs: Pairs) -> str:
    """All pairs in base64: 4 bytes each, of the upper triangle row by row, little-endian.

    The first two bytes are 1000·(−log10 p) of the corrected p-value; the second two hold the half
    95 % interval of the difference in steps of 1/20000, and in their highest bit whether the pair
    is separated.
    """
    upper = np.triu_indices(len(pairs.p_value), 1)
    p = np.maximum(pairs.corrected[upper], 1e-65)
    exponent = np.minimum(np.rint(-np.log10(p) * _EXPONENT_STEPS), 0xFFFF).astype("<u2")
    half = np.rint(pairs.halfwidth[upper] / _HALFWIDTH_STEPS)
    half = np.minimum(half, _SEPARATED - 1).astype("<u2")
    half |= np.where(pairs.corrected[upper] <= ALPHA, _SEPARATED, 0).astype("<u2")
    packed = np.stack([exponent, half], axis=1)
    return b64encode(packed.tobytes()).decode("ascii")
