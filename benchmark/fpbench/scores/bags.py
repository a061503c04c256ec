"""Naming the source of several images judged together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpbench.metrics.bags import accuracy_bag_score, accuracy_of_bags_score
from fpbench.metrics.bootstrap import narrowed
from fpbench.metrics.score import Score
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.evidence import (
    PROBABILITIES,
    Evidence,
    Labels,
    Outcome,
    ScoringSettings,
)
from fpbench.scores.family import Gathered, ScoreFamily

BAG_SIZES = (10, 100)
"""Sizes of the bags that every method is scored on."""

BAGS = Table(
    "bags",
    "Attribution of bags",
    "One decision from several images of one source: by the method itself where it judges sets "
    "(dsf: its classifier on the vector of the bag), else by the mean of log-probabilities. Of a "
    "method that judges sets the columns called by images hold the latter, too.",
)

_BY_IMAGES_SINCE = 4
"""Version of the scoring rules that first has both judgements of a set method."""


def _of_size(size: int) -> ScoreDefinition:
    return ScoreDefinition(
        f"accuracy_bag{size}",
        f"accuracy, bags of {size}",
        f"bags of {size}",
        f"Balanced accuracy from {size} images together.",
        BAGS,
        in_terminal=True,
    )


def _by_images(size: int) -> ScoreDefinition:
    return ScoreDefinition(
        f"accuracy_bag{size}_by_images",
        f"accuracy, bags of {size}, by log-probabilities of their images",
        f"bags of {size}, by images",
        f"A set method's balanced accuracy from {size} images that it judges one by one.",
        BAGS,
        in_terminal=True,
        since=_BY_IMAGES_SINCE,
    )


def bag_accuracy(
    evidence: Evidence, labels: Labels, settings: ScoringSettings, size: int, judges_bags: bool
) -> Score:
    """Accuracy on bags of one size, by the method's own judgement where it makes one.

    Args:
        evidence: Probabilities, and judgements of bags if the method made any.
        labels: Who made which image.
        settings: For the seed.
        size: Images in a bag.
        judges_bags: Whether the mean of log-probabilities may not stand in for a size that the
            method, which judges sets, was not shown.
    """
    y, real, seed, ids = labels.labels, labels.real, settings.seed, labels.ids
    own = next((bag for bag in evidence.bags if bag.size == size), None)
    if own is not None:
        return accuracy_of_bags_score(y, own.members, own.proba, real, seed=seed, ids=ids)
    if judges_bags:
        return Score.missing(f"No source has {size} test images.", n=len(y))
    return accuracy_bag_score(y, evidence.proba, size, real, seed=seed, ids=ids)


class Bags(ScoreFamily):
    """Accuracy on bags of `BAG_SIZES`."""

    name = "bags"
    scores = (
        *(_of_size(size) for size in BAG_SIZES),
        *(_by_images(size) for size in BAG_SIZES),
    )

    def gather(self, outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Gathered:
        """The method's own judgements of bags, where it makes them."""
        arrays: dict[str, NDArray[np.generic]] = {}
        for bag in outcome.bags:
            # Numbers of images and of sources need one or two bytes each, not eight.
            arrays[f"bag{bag.size}_members"] = narrowed(bag.members)
            arrays[f"bag{bag.size}_labels"] = narrowed(bag.labels)
            arrays[f"bag{bag.size}_proba"] = bag.proba
        return Gathered(arrays)

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """One score a size; of a method that judges sets a second one, by images."""
        found = {
            _of_size(size).key: bag_accuracy(evidence, labels, settings, size, judges_bags=False)
            for size in BAG_SIZES
        }
        alone = Evidence({PROBABILITIES: evidence.proba})
        for bag in evidence.bags:
            if bag.size in BAG_SIZES:
                found[_by_images(bag.size).key] = bag_accuracy(
                    alone, labels, settings, bag.size, judges_bags=False
                )
        return found
