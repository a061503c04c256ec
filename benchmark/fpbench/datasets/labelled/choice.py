"""Which rows are taken: enough of every source, from as few blocks as can be.

Of a block all is fetched, also where one of its rows is wanted. Rows are therefore chosen block by
block: next is always the block of which the largest part is still wanted, and of those with an
equal part one drawn by the seed. Within a block no row is preferred. Rows that lie together in
the dataset are so chosen together; where they are more alike than others (frames of one scene),
say so by a group column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Beyond this many numbers of blocks times sources, blocks come in random order alone.
_GREEDY = 20_000_000


@dataclass(frozen=True)
class Chosen:
    """Rows that are taken.

    Attributes:
        rows: Their numbers, ascending.
        blocks: Numbers of the blocks that hold them, ascending.
    """

    rows: NDArray[np.int64]
    blocks: NDArray[np.int64]


def choose_rows(
    kinds: NDArray[np.int64],
    blocks: NDArray[np.int64],
    wanted: Mapping[int, int],
    seed: int,
) -> Chosen:
    """Choose rows of each kind, from as few blocks as a greedy choice comes to.

    Args:
        kinds: Kind of each row (N,): a source, or a source within a split; −1 is never taken.
        blocks: Block of each row (N,), numbered from 0.
        wanted: Rows to take by kind; where there are fewer, all are taken.
        seed: Of the order of blocks and of rows within them.
    """
    rng = np.random.default_rng([seed, 2])
    total = int(blocks.max(initial=-1)) + 1
    most = int(max(kinds.max(initial=-1), max(wanted, default=-1))) + 1
    left = np.zeros(most + 1, np.int64)
    for kind, number in wanted.items():
        left[kind] = number
    able = np.flatnonzero((kinds >= 0) & (left[kinds] > 0))
    left[:most] = np.minimum(left[:most], np.bincount(kinds[able], minlength=most))
    members = _members(able, blocks, total)
    sizes = np.bincount(blocks, minlength=total)
    # An order of blocks drawn once: where two are worth the same, the first in it is taken.
    order = rng.permutation(total)
    counts = None
    if total * most <= _GREEDY:
        counts = np.zeros((total, most), np.int32)
        np.add.at(counts, (blocks[able], kinds[able]), 1)
        counts, part = counts[order], sizes[order]
    taken: list[int] = []
    used: list[int] = []
    for step in range(total):
        if not left.any():
            break
        if counts is None:
            block = int(order[step])
        else:
            useful = np.minimum(counts, left[:most]).sum(axis=1)
            best = int(np.argmax(useful / np.maximum(part, 1)))
            if useful[best] == 0:
                break
            counts[best] = 0
            block = int(order[best])
        before = len(taken)
        for row in rng.permutation(members[block]).tolist():
            if left[kinds[row]] > 0:
                left[kinds[row]] -= 1
                taken.append(row)
        if len(taken) > before:
            used.append(block)
    return Chosen(np.sort(np.asarray(taken, np.int64)), np.sort(np.asarray(used, np.int64)))


def _members(
    able: NDArray[np.int64], blocks: NDArray[np.int64], total: int
) -> list[NDArray[np.int64]]:
    """Rows that may be taken, by block."""
    own = able[np.argsort(blocks[able], kind="stable")]
    edges = np.searchsorted(blocks[own], np.arange(total + 1))
    return [own[edges[block] : edges[block + 1]] for block in range(total)]
