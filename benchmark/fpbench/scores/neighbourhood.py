"""How test images lie among each other in the embedding space: purity and silhouette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpbench.metrics.bootstrap import macro_mean_interval
from fpbench.metrics.neighbourhood import (
    NEIGHBOURS,
    Distances,
    isometric,
    purity_shares,
    silhouette_shares,
)
from fpbench.metrics.score import NotComputable, Score
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.evidence import Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import Gathered, ScoreFamily

IMAGES_PER_SOURCE = 200
"""Test images used of each generator, the same for all methods and seeds."""

_LARGEST_DIMENSION = 4096  # beyond it distances come from inner products, to spare memory

NEIGHBOURHOOD = Table(
    "neighbourhood",
    "Neighbourhood",
    "How test images of one generator lie together in the space of fingerprints, distances taken "
    "as they are.",
)
PURITY = ScoreDefinition(
    "purity",
    f"purity of {NEIGHBOURS} neighbours",
    f"purity of {NEIGHBOURS}",
    f"Share of an image's {NEIGHBOURS} nearest others that are of its own generator.",
    NEIGHBOURHOOD,
    in_terminal=True,
)
SILHOUETTE = ScoreDefinition(
    "silhouette",
    "silhouette",
    "silhouette",
    "How much nearer an image is to its own generator's images than to those of the next one.",
    NEIGHBOURHOOD,
    lower=-1.0,
    in_terminal=True,
)
_UNDEFINED = (
    f"Embeddings define no neighbourhoods: all are equal, there are no more than {NEIGHBOURS}, or "
    "there is one generator only."
)


class Neighbourhood(ScoreFamily):
    """Purity of the nearest neighbours, and silhouette. Real is left out."""

    name = "neighbourhood"
    scores = (PURITY, SILHOUETTE)

    def gather(self, outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Gathered:
        """What each generated test image adds to purity and silhouette, float32 of shape (N,).

        These are the shares of `fpbench.metrics.neighbourhood.purity_shares` and
        `silhouette_shares`: their means over sources are the scores, and they scatter as the
        scores do; single ones may lie outside the scores' range. Not a number for images of Real
        and for images beyond the `IMAGES_PER_SOURCE` used of each generator.
        """
        generators = np.unique(labels.labels[labels.generated])
        chosen = labels.some_of_each(generators, IMAGES_PER_SOURCE)
        rows: NDArray[np.floating] = outcome.test_embeddings[chosen]
        if rows.shape[1] > _LARGEST_DIMENSION and np.ptp(rows) > 0:
            rows = isometric(rows)
        arrays: dict[str, NDArray[np.generic]] = {}
        reasons: dict[str, str] = {}
        try:
            distances = Distances(rows, labels.labels[chosen])
        except NotComputable:
            return Gathered(reasons={score.key: _UNDEFINED for score in self.scores})
        for definition, measure in ((PURITY, purity_shares), (SILHOUETTE, silhouette_shares)):
            try:
                shares = measure(distances)
            except NotComputable:
                reasons[definition.key] = _UNDEFINED
                continue
            values = np.full(len(labels.labels), np.nan, np.float32)
            values[chosen] = shares
            arrays[definition.key] = values
        return Gathered(arrays, reasons)

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """Means over generators of the means of their images.

        Chance of purity is ``1/M Σ_i (n_i − 1)/(n − 1)``, n_i of the n images used being of the
        i-th of M generators; a silhouette has no such level.
        """
        found = {}
        for definition in self.scores:
            if definition.key in evidence.reasons:
                found[definition.key] = Score.missing(evidence.reasons[definition.key])
            elif definition.key in evidence.arrays:
                shares = evidence.floats(definition.key)
                found[definition.key] = _mean(definition, shares, labels.labels, settings.seed)
        return found


def _mean(
    definition: ScoreDefinition, shares: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> Score:
    used = np.isfinite(shares)
    y = labels[used]
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) == 0:  # as evidence said it before reasons were stored
        return Score.missing(_UNDEFINED)
    if len(counts) == 1:
        return Score.missing("There is one generator only.")
    try:
        value, low, high = macro_mean_interval(shares[used], y, seed=seed)
    except NotComputable as reason:
        return Score.missing(str(reason), n=len(y))
    chance = float((counts - 1).mean() / (len(y) - 1)) if definition is PURITY else None
    # Contributions of single images lie beyond the range that their means cannot leave.
    low, high = max(definition.lower, low), min(definition.upper, high)
    return Score(value, low, high, n=len(y), chance=chance)
