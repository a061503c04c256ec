"""Copies within a dataset, as an audit tells them: between splits, sources and positions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets.duplicates import NearPair, near_duplicates
from fpbench.datasets.layout import SPLITS
from fpbench.datasets.twins import shared_positions
from fpbench.images import REAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.dataset import GMDataset
    from fpbench.images import ImageSet
    from fpbench.method import Progress

_EXAMPLES = 5


class _AllImages:
    """The images of all splits, counted through; never all in memory, where they may not fit."""

    def __init__(self, dataset: GMDataset) -> None:
        self._sets: list[ImageSet] = [getattr(dataset, split) for split in SPLITS]
        self._starts = np.cumsum([0, *(len(part) for part in self._sets)])
        self.splits = np.repeat(SPLITS, [len(part) for part in self._sets])
        self.labels = np.concatenate([part.labels for part in self._sets])
        self.ids = np.concatenate([part.ids for part in self._sets])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        where = np.searchsorted(self._starts, chosen, side="right") - 1
        found = [
            self._sets[part].pixels[position - self._starts[part]]
            for part, position in zip(where, chosen, strict=True)
        ]
        return np.stack(found)


def find_duplicates(dataset: GMDataset, progress: Progress | None) -> dict[str, Any]:
    """Near duplicates by the splits and sources of the two images, and twin sources.

    Args:
        dataset: A dataset; it has no equal images, or it would not have loaded.
        progress: Called as ``progress(what, done, total)``.
    """
    images = _AllImages(dataset)
    names = [source.name for source in dataset.sources]

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress("near duplicates", done, total)

    pairs = near_duplicates(images.take, len(images), report)
    return {"exact": 0, **_counts(pairs, images, names), "twins": _twins(images, names)}


def find_near(dataset: GMDataset, most: int) -> dict[str, Any]:
    """Near duplicates by the splits and sources of the two images, of a sample.

    Args:
        dataset: A dataset.
        most: Images looked at, taken evenly from all; positions of sources are not compared.
    """
    images = _AllImages(dataset)
    names = [source.name for source in dataset.sources]
    count = min(most, len(images))
    sample = np.linspace(0, len(images) - 1, count).astype(np.int64)
    pairs = [
        replace(pair, first=int(sample[pair.first]), second=int(sample[pair.second]))
        for pair in near_duplicates(lambda chosen: images.take(sample[chosen]), count)
    ]
    return _counts(pairs, images, names)


def _counts(pairs: list[NearPair], images: _AllImages, names: Sequence[str]) -> dict[str, Any]:
    splits, labels, ids = images.splits, images.labels, images.ids
    within: Counter[str] = Counter()
    across: Counter[str] = Counter()
    between: Counter[str] = Counter()
    memorised: Counter[str] = Counter()
    for pair in pairs:
        one, two = str(splits[pair.first]), str(splits[pair.second])
        source, other = sorted((int(labels[pair.first]), int(labels[pair.second])))
        # What nearly equals a reference image is memorised; that is told of its own.
        if source != other and "reference" not in (one, two):
            between[f"{names[source]} and {names[other]}"] += 1
        if one == two:
            within[one] += 1
            continue
        across[f"{one}/{two}"] += 1
        # The reference holds real images alone.
        if one == "reference" and names[labels[pair.second]] != REAL:
            memorised[names[labels[pair.second]]] += 1
    ranked = sorted(pairs, key=lambda pair: -pair.similarity)
    # Pairs within a split do least harm, so examples show the others first.
    ranked.sort(key=lambda pair: splits[pair.first] == splits[pair.second])
    return {
        "near_within": dict(within),
        "near_across": dict(across),
        "near_between": dict(between),
        "memorised": dict(memorised),
        "examples": [
            {
                "first": f"{splits[pair.first]}: {ids[pair.first]}",
                "second": f"{splits[pair.second]}: {ids[pair.second]}",
                "similarity": round(pair.similarity, 3),
                "mirrored": pair.mirrored,
            }
            for pair in ranked[:_EXAMPLES]
        ],
    }


def _twins(images: _AllImages, names: Sequence[str]) -> list[dict[str, Any]]:
    places = {name: np.flatnonzero(images.labels == label) for label, name in enumerate(names)}
    found = shared_positions(
        {name: images.ids[own].tolist() for name, own in places.items()},
        lambda name, chosen: images.take(places[name][list(chosen)]),
    )
    return [
        {
            "first": twins.first,
            "second": twins.second,
            "same": round(twins.same, 4),
            "other": round(twins.other, 4),
            "ci_low": round(twins.low, 4),
            "ci_high": round(twins.high, 4),
            "images": twins.images,
        }
        for twins in found
    ]
