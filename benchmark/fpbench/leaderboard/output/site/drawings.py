"""Numbers behind the pictures of a row, small enough to stand in a page."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpbench.leaderboard.ranking.judged import read_confusion
from fpbench.leaderboard.ranking.rows import Row
from fpbench.leaderboard.ranking.structure import Structure
from fpbench.metrics.comparison import Comparisons
from fpbench.metrics.ranking import ALPHA

_LARGEST_EXPONENT = 31  # what is below 1e-31 is packed as 1e-32, with one digit
_HALFWIDTH_STEPS = 4_000_000
_LARGEST_HALFWIDTH = 0x7FFFFF


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


def packed_pairs(pairs: Comparisons) -> str:
    """All pairs in base64: 6 bytes each, of the upper triangle row by row, little-endian.

    The lowest 12 bits are the p-value and the next 12 the corrected one, each with two digits: 7
    bits for a number m up to 100 and 5 for e in ``m · 10^(−e − 1)``. Then come 23 bits for half the
    95 % interval of the difference in steps of 1/4000000, and 1 for whether the pair differs
    significantly.
    """
    upper = np.triu_indices(len(pairs), 1)
    corrected = pairs.corrected[upper]
    half = np.minimum(np.rint(pairs.halfwidth[upper] * _HALFWIDTH_STEPS), _LARGEST_HALFWIDTH)
    packed = _packed_p(pairs.p_value[upper]) | _packed_p(corrected) << 12
    packed |= half.astype(np.uint64) << 24 | (corrected <= ALPHA).astype(np.uint64) << 47
    octets = packed.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :6]
    return b64encode(octets.tobytes()).decode("ascii")


def _packed_p(p: NDArray[np.float64]) -> NDArray[np.uint64]:
    """P-values to two digits in 12 bits."""
    kept = np.maximum(p, 1e-32)
    exponent = np.clip(np.ceil(-np.log10(kept)), 1, _LARGEST_EXPONENT)
    number = np.rint(kept * 10 ** (exponent + 1))
    packed: NDArray[np.uint64] = number.astype(np.uint64) | exponent.astype(np.uint64) << 7
    return packed
