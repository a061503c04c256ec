"""How much more images correlate with their own source's fingerprint than with others'."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpbench.metrics.decorrelation import (
    decorrelation_scores,
    fingerprint_correlations,
    item_correlations,
    source_fingerprints,
)
from fpbench.metrics.score import Floats, Integers, NotComputable, Score
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.evidence import Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import Gathered, ScoreFamily

DECORRELATION = Table(
    "decorrelation",
    "Decorrelation",
    "How much more the images of a source correlate with its own fingerprint than with others' "
    "(1 ideal, 0 noise or collapse). Of a method that reads sets, items are disjoint bags of 10 "
    "images and fingerprints are means over such bags, since the second version of dsf. The "
    "columns called printed hold the published formula, where 0 is ideal.",
)
MARGIN = ScoreDefinition(
    "decorrelation_margin",
    "decorrelation margin",
    "margin",
    "Own less others' correlation.",
    DECORRELATION,
    lower=-1.0,
    in_terminal=True,
)
SELF = ScoreDefinition(
    "decorrelation_self",
    "correlation with the own fingerprint",
    "self",
    "Correlation with the own fingerprint.",
    DECORRELATION,
    better="neither",
)
CROSS = ScoreDefinition(
    "decorrelation_cross",
    "correlation with other fingerprints",
    "cross",
    "Correlation with other fingerprints.",
    DECORRELATION,
    better="lower",
)
MARGIN_CORRECTED = ScoreDefinition(
    "decorrelation_margin_cc",
    "decorrelation margin, corrected for chance",
    "margin, corrected",
    "Margin less what chance gives.",
    DECORRELATION,
    lower=-1.0,
)
MARGIN_SIGNED = ScoreDefinition(
    "decorrelation_margin_signed",
    "decorrelation margin, signed",
    "margin, signed",
    "Margin without absolute values.",
    DECORRELATION,
    lower=-2.0,
    upper=2.0,
)
PRINTED = ScoreDefinition(
    "decorrelation_dsf",
    "decorrelation as printed",
    "printed",
    "DSF eq. 6 as printed; 0 is ideal.",
    DECORRELATION,
    better="lower",
    digits=4,
)
PRINTED_L1 = ScoreDefinition(
    "decorrelation_dsf_l1",
    "decorrelation as printed, l1",
    "printed, l1",
    "The same in the l1 norm.",
    DECORRELATION,
    better="lower",
)
KEYS = {
    "margin": MARGIN,
    "self": SELF,
    "cross": CROSS,
    "margin_cc": MARGIN_CORRECTED,
    "margin_signed": MARGIN_SIGNED,
    "dsf_printed": PRINTED,
    "dsf_l1": PRINTED_L1,
}
"""What `fpbench.metrics.decorrelation` calls each score."""

CONSTANT = "A source's fingerprint, or an image's, is constant: it correlates with nothing."


class Decorrelation(ScoreFamily):
    """Margin, its parts and corrections, and the published formula."""

    name = "decorrelation"
    scores = tuple(KEYS.values())

    def gather(self, outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Gathered:
        """Correlations of each centred test embedding, Real's too, with each fingerprint.

        ``correlations`` are float32 of shape (N, M), ``fingerprint_correlations`` float32 of
        shape (M, M), M generators; ``dimension`` is that of the embeddings. The fingerprint of a
        source is the mean of its training embeddings.

        Of a method that reads sets the same of its vectors of disjoint bags is kept as well:
        ``bag_correlations`` of shape (B, M) of the bags of generators, ``bag_correlation_labels``
        (B,), counted among generators, and ``bag_correlation_size``.
        """
        test, train_labels = outcome.test_embeddings, outcome.train_labels
        count, dimension = len(labels.generators), test.shape[1]
        made = labels.made_by_generator(train_labels)
        try:
            prints = source_fingerprints(
                outcome.train_embeddings[made], labels.count_among_generators(train_labels[made])
            )
            correlations = item_correlations(test, prints).astype(np.float32)
            own = fingerprint_correlations(prints).astype(np.float32)
        except NotComputable:
            y = labels.among_generators
            undefined = np.full((len(y), count), np.nan)
            reason = _reason(undefined, y, dimension) or CONSTANT
            return Gathered(reasons={score.key: reason for score in self.scores})
        arrays: dict[str, NDArray[np.generic]] = {
            "correlations": correlations,
            "fingerprint_correlations": own,
            "dimension": np.asarray([dimension], np.int64),
        }
        try:
            arrays |= _of_bags(outcome, labels)
        except NotComputable:
            reasons = {score.key: f"{CONSTANT} It is one of bags." for score in self.scores}
            return Gathered(arrays, reasons)
        return Gathered(arrays)

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """All of `KEYS` by resampling images."""
        y = labels.among_generators
        if MARGIN.key in evidence.reasons:
            return {s.key: Score.missing(evidence.reasons[s.key], n=len(y)) for s in self.scores}
        if "correlations" not in evidence.arrays:
            return {}
        if "bag_correlations" in evidence.arrays:
            y = evidence.arrays["bag_correlation_labels"].astype(np.int64)
            rows = evidence.arrays["bag_correlations"].astype(np.float64)
        else:
            rows = evidence.arrays["correlations"][labels.generated].astype(np.float64)
        dimension = int(evidence.arrays["dimension"][0])
        if not np.isfinite(rows).all():  # as evidence said it before reasons were stored
            reason = _reason(rows, y, dimension) or CONSTANT
            return {s.key: Score.missing(reason, n=len(y)) for s in self.scores}
        found = decorrelation_scores(rows, y, rows.shape[1], dimension, seed=settings.seed)
        return {definition.key: found[key] for key, definition in KEYS.items()}


def _of_bags(outcome: Outcome, labels: Labels) -> dict[str, NDArray[np.generic]]:
    """Correlations of vectors of bags with fingerprints made from vectors of bags; none without.

    Raises:
        NotComputable: If one of them is constant.
    """
    bags = outcome.bag_vectors
    if bags is None:
        return {}
    trained = labels.made_by_generator(bags.train_labels)
    tested = labels.made_by_generator(bags.test_labels)
    prints = source_fingerprints(
        bags.train[trained], labels.count_among_generators(bags.train_labels[trained])
    )
    return {
        "bag_correlations": item_correlations(bags.test[tested], prints).astype(np.float32),
        "bag_correlation_labels": labels.count_among_generators(bags.test_labels[tested]),
        "bag_correlation_size": np.asarray([bags.size], np.int64),
    }


def _reason(rows: Floats, labels: Integers, dimension: int) -> str | None:
    """Why undefined correlations are no fault of a constant fingerprint, or None if they are."""
    sources = rows.shape[1]
    if sources >= 2 and dimension != 2:
        return None
    return decorrelation_scores(rows, labels, sources, dimension)["margin"].reason
