"""How images that nobody split become reference, train, validation and test: a stated rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets.layout import LABELLED_SPLITS, SPLITS
from fpbench.errors import BadInput
from fpbench.images import REAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Positions = dict[str, NDArray[np.int64]]

SPLIT_SEED = 0
"""Seed of the assignment of images to splits."""

REFERENCE_SHARE = 0.4
"""Share of the real images that become ``reference``; the rest is split like any other source."""

SHARES = {"train": 0.5, "validation": 0.15, "test": 0.35}
"""Shares of a source's images, after those of ``reference``."""

LEAST = {"train": 8, "validation": 2, "test": 8}
"""Images that a split of a source holds at least, where the rule is not the usual one."""

BY_FOLDER, BY_PREFIX = "by-folder", "by-prefix"
GROUPINGS = (BY_FOLDER, BY_PREFIX)
"""How files name a group: by the folder within the source's, or by the beginning of their names."""


SPLIT_SETTINGS = ("split", "reference", "groups")
"""Settings of a dataset that `rule_of` reads."""


@dataclass(frozen=True)
class SplitRule:
    """How the images of every source are split.

    Attributes:
        sizes: Of train, validation and test: shares of a source's images that sum to 1, or
            numbers of images, of which what is beyond is left out.
        reference: Real images that become ``reference``, before the rest is split: a share, or a
            number where `sizes` are numbers or it is 1 or more.
        groups: One of `GROUPINGS`, or None.
        seed: Of the assignment.
    """

    sizes: tuple[float, float, float] = (0.5, 0.15, 0.35)
    reference: float = REFERENCE_SHARE
    groups: str | None = None
    seed: int = SPLIT_SEED

    @property
    def counted(self) -> bool:
        """Whether `sizes` are numbers of images."""
        return sum(self.sizes) > 1.5

    def of_reference(self, images: int) -> int:
        """How many of so many real images become ``reference``."""
        return round(self.reference * images) if self.reference < 1 else int(self.reference)

    def targets(self, images: int, *, real: bool) -> dict[str, float]:
        """How many images each split of a source shall have.

        Args:
            images: How many the source has.
            real: Whether it is Real.
        """
        reference = self.of_reference(images) if real else 0
        rest = 1 if self.counted else images - reference
        labelled = zip(LABELLED_SPLITS, self.sizes, strict=True)
        return {"reference": reference, **{split: size * rest for split, size in labelled}}

    def told(self) -> str:
        """The rule in words."""
        unit = "images" if self.counted else "shares"
        sizes = ", ".join(
            f"{split} {size:g}" for split, size in zip(LABELLED_SPLITS, self.sizes, strict=True)
        )
        reference = (
            f"{self.reference:g} of Real's" if self.reference < 1 else f"{self.reference:g} of Real"
        )
        groups = f", groups {self.groups}" if self.groups else ""
        return f"{unit} {sizes}, after {reference} for reference{groups}, seed {self.seed}"


def rule_of(settings: Mapping[str, str]) -> SplitRule | None:
    """The rule that a dataset's settings state, or None where they state none.

    Raises:
        BadInput: If one cannot be read.
    """
    stated: dict[str, Any] = {}
    if "split" in settings:
        stated["sizes"] = parse_sizes(settings["split"])
    if "reference" in settings:
        stated["reference"] = parse_share(settings["reference"])
    if "groups" in settings:
        if settings["groups"] not in GROUPINGS:
            raise BadInput(
                f"The groups {settings['groups']!r} are unknown; use {' or '.join(GROUPINGS)}."
            )
        stated["groups"] = settings["groups"]
    return SplitRule(**stated) if stated else None


def parse_sizes(text: str) -> tuple[float, float, float]:
    """Read ``0.5/0.15/0.35`` (shares) or ``300/50/100`` (images).

    >>> parse_sizes("300/50/100")
    (300.0, 50.0, 100.0)

    Raises:
        BadInput: If it is neither.
    """
    how = "write TRAIN/VALIDATION/TEST as shares that sum to 1 (0.5/0.15/0.35) or as images of "
    how += "each source (300/50/100)"
    try:
        sizes = tuple(float(part) for part in text.split("/"))
    except ValueError:
        sizes = ()
    if len(sizes) != 3 or not all(np.isfinite(sizes)) or min(sizes) <= 0:
        raise BadInput(f"The split {text!r} cannot be read; {how}.")
    shares = abs(sum(sizes) - 1) < 1e-6
    if not shares and any(size != round(size) for size in sizes):
        raise BadInput(f"The shares of the split {text!r} sum to {sum(sizes):g}; {how}.")
    return sizes[0], sizes[1], sizes[2]


def parse_share(text: str) -> float:
    """Read a share of the real images (``0.4``) or a number of them (``400``); 0 is none.

    Raises:
        BadInput: If it is neither.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 10**9 or (value >= 1 and value != round(value)):
        raise BadInput(
            f"{text!r} real images for the reference split are not possible; write a share below "
            "1 (0.4) or a number of images (400)."
        )
    return value


def split_positions(count: int, source: str, rule: SplitRule | None = None) -> Positions:
    """Positions (of the images in a fixed order) that belong to each split.

    Args:
        count: Number of images of the source.
        source: Its name; ``reference`` is empty unless it is Real.
        rule: The rule, without groups; None is the usual one.

    Raises:
        BadInput: If there are fewer images than the rule's numbers ask for.
    """
    rule = rule or SplitRule()
    order = np.random.default_rng([rule.seed, *source.encode()]).permutation(count)
    targets = rule.targets(count, real=source == REAL)
    edges = [0]
    for split in SPLITS:
        edges.append(edges[-1] + round(targets[split]))
    wanted = edges[-1] if rule.counted else edges[1]
    if wanted > count:
        raise _too_few(source, count, wanted)
    if not rule.counted:
        edges[-1] = count
    return {
        split: np.sort(order[edges[index] : edges[index + 1]]) for index, split in enumerate(SPLITS)
    }


def split_groups(groups: Mapping[str, Sequence[str]], rule: SplitRule) -> dict[str, Positions]:
    """Split images so that no group falls on two sides, whichever sources it has images of.

    Sides are training, validation and test; ``reference`` is of the training side, where the real
    images of a group are either reference or training images (see `divide`). Numbers of images
    are reached by leaving out what is beyond.

    Args:
        groups: Name of the group of each image, by source; images with an empty one stand alone.
        rule: The rule.

    Raises:
        BadInput: If a source has too few images.
    """
    wanted = {s: rule.targets(len(own), real=s == REAL) for s, own in groups.items()}
    for source, targets in wanted.items():
        if rule.counted and sum(targets.values()) > len(groups[source]):
            raise _too_few(source, len(groups[source]), int(sum(targets.values())))
    sides = {split: {s: wanted[s][split] for s in groups} for split in LABELLED_SPLITS}
    sides["train"] = {s: wanted[s]["train"] + wanted[s]["reference"] for s in groups}
    found = divide(groups, sides, rule.seed)
    for source, positions in found.items():
        positions["reference"] = np.empty(0, np.int64)
        if wanted[source]["reference"] > 0:
            whole = positions["train"]
            own = {source: [groups[source][position] for position in whole.tolist()]}
            parts = {split: {source: wanted[source][split]} for split in ("reference", "train")}
            for split, chosen in divide(own, parts, rule.seed)[source].items():
                positions[split] = whole[chosen]
        if rule.counted:
            rng = np.random.default_rng([rule.seed, *source.encode()])
            for split, chosen in positions.items():
                kept = rng.permutation(chosen)[: int(wanted[source][split])]
                positions[split] = np.sort(kept)
    return found


def divide(
    groups: Mapping[str, Sequence[str]], parts: Mapping[str, Mapping[str, float]], seed: int
) -> dict[str, Positions]:
    """Divide the images of several sources into parts that share no group.

    Groups are taken in the order of their size, those of one size at random, each by the part
    that is furthest from its goal for the sources that the group has images of.

    Args:
        groups: Name of the group of each image, by source; images with an empty one stand alone.
        parts: Images that each part shall have of each source.
        seed: Of the order.

    Returns:
        Positions of the images of each part, by source.
    """
    counts, members = _by_group(groups)
    goal = np.array([[own[source] for source in groups] for own in parts.values()], np.float64)
    order = np.random.default_rng([seed, 1]).permutation(len(counts))
    order = order[np.argsort(-counts[order].max(axis=1, initial=0), kind="stable")]
    missing = goal.copy()
    chosen: list[list[list[int]]] = [[[] for _ in groups] for _ in parts]
    for group in order.tolist():
        share = np.where(goal > 0, missing / np.maximum(goal, 1e-9), -np.inf)
        brought = counts[group] > 0
        # A part that is to have none of a source takes no group of it.
        part = int(np.argmax(share[:, brought] @ counts[group][brought]))
        missing[part] -= counts[group]
        for own, more in zip(chosen[part], members[group], strict=True):
            own.extend(more)
    return {
        source: {
            name: np.sort(np.asarray(chosen[part][index], np.int64))
            for part, name in enumerate(parts)
        }
        for index, source in enumerate(groups)
    }


def _by_group(
    groups: Mapping[str, Sequence[str]],
) -> tuple[NDArray[np.int64], list[list[list[int]]]]:
    """Images of each group by source: how many (G, S), and which."""
    index: dict[tuple[str, int, str], int] = {}
    members: list[list[list[int]]] = []
    for number, (source, names) in enumerate(groups.items()):
        for position, name in enumerate(names):
            key = (name, 0, "") if name else ("", position, source)
            own = index.setdefault(key, len(members))
            if own == len(members):
                members.append([[] for _ in groups])
            members[own][number].append(position)
    counts = np.array([[len(part) for part in own] for own in members], np.int64)
    return counts.reshape(len(members), len(groups)), members


def refuse_thin(source: str, positions: Positions, place: str, remedy: str) -> None:
    """Refuse a source of which a split has next to nothing.

    Args:
        source: Its name.
        positions: Its images by split.
        place: The dataset, for the message.
        remedy: What to do.

    Raises:
        BadInput: With the split and the numbers.
    """
    for split, least in LEAST.items():
        if len(positions[split]) < least:
            raise BadInput(
                f"{place} cannot be split so: source {source!r} would have "
                f"{len(positions[split])} images in {split}, but at least {least} are needed; "
                f"{remedy}."
            )


def refuse_crossing(groups: Mapping[str, Mapping[str, Sequence[str]]], place: str) -> None:
    """Refuse a given split in which a group falls on two sides.

    Args:
        groups: Names of the groups by source and split.
        place: The dataset, for the message.

    Raises:
        BadInput: Naming the first group that does.
    """
    side: dict[str, str] = {}
    for by_split in groups.values():
        for split, names in by_split.items():
            own = "train" if split == "reference" else split
            for name in names:
                first = side.setdefault(name, own) if name else own
                if first != own:
                    raise BadInput(
                        f"{place}: the group {name!r} has images in {first} and in {own}, so that "
                        "what it shows leaks from one into the other; put a group into one split."
                    )


def _too_few(source: str, there: int, wanted: int) -> BadInput:
    return BadInput(
        f"Source {source!r} has {there} images, but the split takes {wanted} of it; ask for fewer, "
        "or write shares."
    )
