"""Which images go to which split where some belong together, e.g. because they share a file.

What a group has in common (a grid's own stretch, a prompt, an identity) must not tell its images
apart, so no group is on both sides of a split.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from fpbench.errors import BadInput


def choose_by_group(
    groups: Sequence[Hashable], counts: Mapping[str, int], seed: int, name: str
) -> dict[str, list[int]]:
    """Choose images for every split so that no group is in two.

    Whole groups are dealt to the splits, each as many as its share of the images asks for, so
    that all groups are used; within a split every group gives as evenly as it can.

    Args:
        groups: The group of every image.
        counts: Images wanted by split.
        seed: Of the choice.
        name: What to call the source in a message.

    Returns:
        Positions in `groups` by split, as many as wanted.

    Raises:
        BadInput: If the groups do not suffice.
    """
    rng = np.random.default_rng([seed, len(groups)])
    members: dict[Hashable, list[int]] = {}
    for position, group in enumerate(groups):
        members.setdefault(group, []).append(position)
    shuffled = [list(members.values())[i] for i in rng.permutation(len(members))]
    for own in shuffled:
        rng.shuffle(own)
    # The largest first, so that the small ones fill what is left.
    shuffled.sort(key=len, reverse=True)
    dealt: dict[str, list[list[int]]] = {split: [] for split in counts}
    for own in shuffled:
        # To the split that has the least of what it wants; where none wants more, too.
        split = min(counts, key=lambda split: sum(map(len, dealt[split])) / max(1, counts[split]))
        dealt[split].append(own)
    for split, wanted in counts.items():
        held = sum(map(len, dealt[split]))
        if held < wanted:
            raise BadInput(
                f"Source {name!r}: its {len(groups)} images are in {len(members)} groups (files, "
                f"say) of which none may be in two splits; they give {held} for {split}, but the "
                f"recipe's counts.{split} is {wanted}. Lower counts."
            )
    return {split: _evenly(dealt[split], wanted) for split, wanted in counts.items()}


def _evenly(groups: Sequence[Sequence[int]], wanted: int) -> list[int]:
    """The first of each group, then the second of each, and so on."""
    longest = max((len(own) for own in groups), default=0)
    inturn = [own[rank] for rank in range(longest) for own in groups if rank < len(own)]
    return inturn[:wanted]
