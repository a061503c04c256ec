"""Which images of a dataset that somebody brings go into which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fpbench.datasets.layout import LABELLED_SPLITS, SPLITS
from fpbench.datasets.splitting import (
    BY_FOLDER,
    SplitRule,
    divide,
    refuse_crossing,
    refuse_thin,
    split_groups,
    split_positions,
)
from fpbench.errors import BadInput
from fpbench.images import REAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINIMUM = 32
"""Images that a generator needs at least, split by the usual rule."""

MINIMUM_REAL = 54
"""Real images needed at least, because ``reference`` takes its share first."""


class Placeable(Protocol):
    """An image of which is known what its place says."""

    @property
    def split(self) -> str:
        """The split that it is given to, or ""."""

    @property
    def group(self) -> str:
        """Name of its group, or ""."""


def assign(
    files: Mapping[str, Sequence[Placeable]], rule: SplitRule | None, place: str
) -> dict[str, dict[str, NDArray[np.int64]]]:
    """Positions by source and split: as is said of the images, by groups, or one by one.

    Args:
        files: Images by source, each in a fixed order.
        rule: How images are split of which nothing is said; None is the usual rule.
        place: The dataset, for messages.

    Raises:
        BadInput: If a split would have next to nothing of a source, or groups cross given splits.
    """
    if any(placed.split for images in files.values() for placed in images):
        return _given(place, files, rule)
    grouped = any(placed.group for images in files.values() for placed in images)
    if rule is not None and rule.groups == BY_FOLDER and not grouped:
        raise BadInput(
            f"{place} has no sub-folders in its sources' folders, so --groups {BY_FOLDER} finds "
            "no groups; put each group of a source into a folder, or leave it out."
        )
    if not grouped and (rule is None or rule == SplitRule()):
        _refuse_few(place, {name: len(images) for name, images in files.items()})
        return {name: split_positions(len(images), name) for name, images in files.items()}
    chosen = rule or SplitRule()
    if grouped:
        found = split_groups({n: [p.group for p in own] for n, own in files.items()}, chosen)
    else:
        found = {name: split_positions(len(own), name, chosen) for name, own in files.items()}
    remedy = "add images" + (" or groups" if grouped else "") + ", or write another --split"
    for name, positions in found.items():
        refuse_thin(name, positions, place, remedy)
    return found


def _refuse_few(place: str, counts: Mapping[str, int]) -> None:
    needed = {name: MINIMUM_REAL if name == REAL else MINIMUM for name in counts}
    few = [
        f"{name!r} has {count} images, but at least {needed[name]} are needed"
        for name, count in counts.items()
        if count < needed[name]
    ]
    if few:
        raise BadInput(
            f"{place} cannot be split into training, validation and test images: source "
            f"{'; source '.join(few)}; add more."
        )


def _given(
    place: str, files: Mapping[str, Sequence[Placeable]], rule: SplitRule | None
) -> dict[str, dict[str, NDArray[np.int64]]]:
    """The splits that are given.

    Without reference images, their share of Real's training images; without
    validation images, the usual share of what training and validation have together.
    """
    rule = rule or SplitRule()
    if rule.sizes != SplitRule().sizes:
        raise BadInput(
            f"{place} has folders named train and test, which say how its images are split; leave "
            "out --split, or put each source's images into one folder."
        )
    found: dict[str, dict[str, NDArray[np.int64]]] = {}
    for name, images in files.items():
        splits = np.array([placed.split for placed in images])
        found[name] = {split: np.flatnonzero(splits == split) for split in SPLITS}
        if name != REAL and len(found[name]["reference"]):
            raise BadInput(
                f"{place}: the split reference holds images of {name!r}, but only real images "
                "belong there; remove them."
            )
    if REAL in found:
        taken = rule.of_reference(len(found[REAL]["train"]))
        _take(files, found, "reference", {REAL: taken}, rule.seed)
    train, validation, _ = rule.sizes
    share = validation / (train + validation)
    wanted = {name: share * len(own["train"]) for name, own in found.items()}
    _take(files, found, "validation", wanted, rule.seed)
    for name, own in found.items():
        refuse_thin(name, own, place, "add images to that split")
    refuse_crossing(
        {
            name: {
                split: [files[name][p].group for p in found[name][split]]
                for split in (*LABELLED_SPLITS, "reference")
            }
            for name in files
        },
        place,
    )
    return found


def _take(
    files: Mapping[str, Sequence[Placeable]],
    found: dict[str, dict[str, NDArray[np.int64]]],
    split: str,
    wanted: Mapping[str, float],
    seed: int,
) -> None:
    """Take a split that is not given from the training images, by group."""
    needy = {name: count for name, count in wanted.items() if not len(found[name][split])}
    whole = {name: found[name]["train"] for name in needy}
    names = {name: [files[name][p].group for p in whole[name]] for name in needy}
    parts = {split: needy, "train": {name: len(whole[name]) - n for name, n in needy.items()}}
    for name, positions in divide(names, parts, seed).items():
        for part, chosen in positions.items():
            found[name][part] = whole[name][chosen]
