"""From what a method gave to scores: the evidence, and the scores that follow from it alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpbench.datasets.load import GMDataset
from fpbench.images import Source
from fpbench.metrics.attribution import accuracy_score, auc_real_score, auc_score
from fpbench.metrics.bags import accuracy_bag_score, accuracy_of_bags_score
from fpbench.metrics.decorrelation import (
    decorrelation_scores,
    fingerprint_correlations,
    item_correlations,
    source_fingerprints,
)
from fpbench.metrics.projection import principal_axes
from fpbench.metrics.score import NotComputable, Score, check_ids
from fpbench.metrics.separability import raw_ratio_score, separability_scores
from fpbench.runs.artifacts import Evidence
from fpbench.runs.folds import Splits
from fpbench.runs.neighbourhoods import gather_neighbourhoods, neighbourhood_scores
from fpbench.runs.outcome import BAG_SIZES, Outcome
from fpbench.runs.record import ScoreEntry

_DECORRELATION = {
    "margin": "decorrelation_margin",
    "self": "decorrelation_self",
    "cross": "decorrelation_cross",
    "margin_cc": "decorrelation_margin_cc",
    "margin_signed": "decorrelation_margin_signed",
    "dsf_printed": "decorrelation_dsf",
    "dsf_l1": "decorrelation_dsf_l1",
}
"""Keys of the metric to keys of the record."""


@dataclass(frozen=True)
class Protocol:
    """What scoring must know beside the evidence.

    Attributes:
        real: Column of Real, or None.
        fdr_samples: Test images per source in FDR-v1 (n).
        fdr_dimensions: Dimension in FDR-v1 (d).
        seed: Seed of every resampling.
    """

    real: int | None
    fdr_samples: int
    fdr_dimensions: int
    seed: int


def real_column(sources: tuple[Source, ...]) -> int | None:
    """Column of the source of real images, or None."""
    return next((k for k, source in enumerate(sources) if source.is_real), None)


def make_protocol(dataset: GMDataset, splits: Splits, seed: int) -> Protocol:
    """The dataset's protocol; with folds, n is what the smallest source leaves in a test fold."""
    counts = np.bincount(splits.test.labels, minlength=len(dataset.sources))
    samples = min(dataset.fdr_samples, int(counts.min()))
    return Protocol(
        real=real_column(dataset.sources),
        fdr_samples=samples,
        fdr_dimensions=max(1, min(dataset.fdr_dimensions, samples // 8)),
        seed=seed,
    )


def gather_evidence(outcome: Outcome, splits: Splits, protocol: Protocol) -> Evidence:
    """Reduce embeddings to what scores need: d principal components, and correlations.

    The ratio of Fréchet distances in all dimensions cannot follow from less than the whole
    embeddings, so its value itself is evidence.

    Args:
        outcome: What the method gave.
        splits: Image sets of the job.
        protocol: For the dimension d and the sample size n of FDR-v1.
    """
    sources = splits.test.sources
    generators = np.asarray([k for k, source in enumerate(sources) if not source.is_real])
    train, test = outcome.train_embeddings, outcome.test_embeddings
    generated = np.isin(splits.train.labels, generators)
    correlations = np.full((len(test), len(generators)), np.nan, np.float32)
    own = np.full((len(generators), len(generators)), np.nan, np.float32)
    try:
        fingerprints = source_fingerprints(
            train[generated], np.searchsorted(generators, splits.train.labels[generated])
        )
        correlations = item_correlations(test, fingerprints).astype(np.float32)
        own = fingerprint_correlations(fingerprints).astype(np.float32)
    except NotComputable:
        # Not a number in the evidence becomes a null score; its reason is found again there.
        pass
    projected = np.full((len(test), protocol.fdr_dimensions), np.nan, np.float32)
    try:
        if test.shape[1] <= protocol.fdr_dimensions:
            projected = test
        else:
            axes = principal_axes(train, protocol.fdr_dimensions)
            projected = (test @ axes).astype(np.float32)
    except NotComputable:
        # As above.
        pass
    raw = _raw_fdr(test, splits, protocol)
    purity, silhouette = gather_neighbourhoods(
        test, splits.test.labels, np.isin(splits.test.labels, generators)
    )
    return Evidence(
        ids=splits.test.ids,
        names=tuple(source.name for source in sources),
        labels=splits.test.labels,
        proba=outcome.proba,
        probe_proba=outcome.probe_proba,
        fdr_features=projected,
        fdr_raw=np.asarray(raw, np.float64),
        correlations=correlations,
        fingerprint_correlations=own,
        dimension=test.shape[1],
        bags=outcome.bags,
        purity=purity,
        silhouette=silhouette,
    )


def compute_scores(evidence: Evidence, protocol: Protocol) -> dict[str, Score]:
    """All scores of one job, from stored arrays alone, so that anybody can follow them."""
    y, p, real, seed = evidence.labels, evidence.proba, protocol.real, protocol.seed
    ids = evidence.ids
    scores = {
        "accuracy": accuracy_score(y, p, real, seed=seed, ids=ids),
        "accuracy_with_real": accuracy_score(y, p, real, with_real=True, seed=seed, ids=ids),
    }
    judged = {bag.size: bag for bag in evidence.bags}
    for size in BAG_SIZES:
        key = f"accuracy_bag{size}"
        if size in judged:
            bag = judged[size]
            scores[key] = accuracy_of_bags_score(
                y, bag.members, bag.proba, real, seed=seed, ids=ids
            )
        else:
            scores[key] = accuracy_bag_score(y, p, size, real, seed=seed, ids=ids)
    scores["auc"] = auc_score(y, p, real, seed=seed, ids=ids)
    scores["auc_with_real"] = auc_score(y, p, real, with_real=True, seed=seed, ids=ids)
    scores["auc_real"] = auc_real_score(y, p, real, seed=seed, ids=ids)
    scores["probe_accuracy"] = accuracy_score(y, evidence.probe_proba, real, seed=seed, ids=ids)
    scores |= _separability(evidence, protocol)
    scores |= _decorrelation(evidence, protocol)
    if evidence.purity is not None and evidence.silhouette is not None:
        scores |= neighbourhood_scores(evidence.purity, evidence.silhouette, y, seed)
    try:
        check_ids(ids, len(y))
    except NotComputable as reason:
        # A copied image is counted twice by every score, also by those that are not given ids.
        return {key: Score.missing(str(reason), n=len(y)) for key in scores}
    return scores


def _generated(evidence: Evidence, real: int | None) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which images are of generators, and their labels counted among generators."""
    generators = np.asarray([k for k in range(len(evidence.names)) if k != real])
    chosen = np.isin(evidence.labels, generators)
    return chosen, np.searchsorted(generators, evidence.labels[chosen]).astype(np.int64)


def _raw_fdr(test: NDArray[np.float32], splits: Splits, protocol: Protocol) -> tuple[float, float]:
    """Value and chance of ``fdr_raw``, not a number where there is none."""
    generated = np.isin(
        splits.test.labels,
        [k for k, source in enumerate(splits.test.sources) if not source.is_real],
    )
    if protocol.fdr_samples < 4:
        return float("nan"), float("nan")
    score = raw_ratio_score(
        test[generated],
        splits.test.labels[generated],
        n=protocol.fdr_samples,
        seed=protocol.seed,
    )
    if score.value is None or score.chance is None:
        return float("nan"), float("nan")
    return score.value, score.chance


def _separability(evidence: Evidence, protocol: Protocol) -> dict[str, Score]:
    chosen, labels = _generated(evidence, protocol.real)
    rows = evidence.fdr_features[chosen]
    keys = ("fdr", "fdr_inter", "fdr_intra")
    n, d = protocol.fdr_samples, protocol.fdr_dimensions
    if n < 8:
        reason = f"FDR-v1 needs 8 test images of each source; there are {n}."
        found = {key: Score.missing(reason, n=len(labels)) for key in keys}
    else:
        scores = separability_scores(rows, rows, labels, n=n, d=d, seed=protocol.seed, raw=False)
        found = {key: scores[key] for key in keys}
    value, chance = evidence.fdr_raw
    found["fdr_raw"] = (
        Score(float(value), n=len(labels), chance=float(chance))
        if np.isfinite(value)
        else Score.missing("Embeddings define no ratio of Fréchet distances.", n=len(labels))
    )
    return found


def _decorrelation(evidence: Evidence, protocol: Protocol) -> dict[str, Score]:
    chosen, labels = _generated(evidence, protocol.real)
    rows = evidence.correlations[chosen].astype(np.float64)
    # With one source, or two dimensions, that is not what is wrong: the metric has the reason.
    comparable = rows.shape[1] >= 2 and evidence.dimension != 2
    if comparable and not np.isfinite(rows).all():
        reason = "A source's fingerprint, or an image's, is constant: it correlates with nothing."
        return {key: Score.missing(reason, n=len(labels)) for key in _DECORRELATION.values()}
    found = decorrelation_scores(
        rows, labels, rows.shape[1], evidence.dimension, seed=protocol.seed
    )
    return {name: found[key] for key, name in _DECORRELATION.items()}


def score_entries(scores: Mapping[str, Score]) -> dict[str, ScoreEntry]:
    """Scores as they stand in a record."""
    return {
        key: ScoreEntry(
            value=score.value,
            ci_low=score.ci_low,
            ci_high=score.ci_high,
            n=score.n,
            chance=score.chance,
            reason=score.reason,
        )
        for key, score in scores.items()
    }


def scores_of(entries: Mapping[str, ScoreEntry]) -> dict[str, Score]:
    """The scores of a record: what `score_entries` was given."""
    return {
        key: Score(e.value, e.ci_low, e.ci_high, e.n, e.chance, e.reason)
        for key, e in entries.items()
    }
