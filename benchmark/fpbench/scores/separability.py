"""Fréchet distances between sources over those within (FDR)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fpbench.metrics.projection import principal_axes
from fpbench.metrics.score import NotComputable, Score
from fpbench.metrics.separability import raw_ratio_score, separability_scores
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.evidence import Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import Gathered, ScoreFamily

SEPARABILITY = Table(
    "separability",
    "Separability",
    "Ratio of Fréchet distances between sources to those within (FDR-v1), at the n and d stated "
    "above; chance is 1. It compares rows of one board, never boards.",
)
FDR = ScoreDefinition(
    "fdr",
    "FDR-v1",
    "FDR-v1",
    "Distances between sources over distances within.",
    SEPARABILITY,
    upper=math.inf,
    digits=2,
    in_terminal=True,
)
FDR_INTER = ScoreDefinition(
    "fdr_inter",
    "Fréchet distance between sources",
    "between",
    "Mean Fréchet distance between sources.",
    SEPARABILITY,
    upper=math.inf,
    better="neither",
)
FDR_INTRA = ScoreDefinition(
    "fdr_intra",
    "Fréchet distance within a source",
    "within",
    "Mean Fréchet distance within a source.",
    SEPARABILITY,
    upper=math.inf,
    better="neither",
)
FDR_RAW = ScoreDefinition(
    "fdr_raw",
    "FDR in all dimensions",
    "FDR raw",
    "The literature's form, in all dimensions.",
    SEPARABILITY,
    upper=math.inf,
    better="neither",
    digits=2,
)

_NO_RATIO = "Embeddings define no ratio of Fréchet distances."


class Separability(ScoreFamily):
    """FDR-v1, its two parts, and the literature's form."""

    name = "separability"
    scores = (FDR, FDR_INTER, FDR_INTRA, FDR_RAW)

    def gather(self, outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Gathered:
        """Test embeddings along the d principal axes of the training embeddings.

        ``fdr_features``, float32 of shape (N, d), are the embeddings as they are where they have
        d dimensions or fewer. ``fdr_raw``, float64 of shape (2,), is value and chance of the
        ratio in all dimensions, which cannot follow from less than the whole embeddings.
        """
        test, d = outcome.test_embeddings, settings.fdr_dimensions
        arrays: dict[str, NDArray[np.generic]] = {}
        reasons: dict[str, str] = {}
        try:
            arrays["fdr_features"] = (
                test
                if test.shape[1] <= d
                else (test @ principal_axes(outcome.train_embeddings, d)).astype(np.float32)
            )
        except NotComputable as reason:
            reasons |= {score.key: str(reason) for score in (FDR, FDR_INTER, FDR_INTRA)}
        raw = self._raw(outcome, labels, settings)
        if raw is None:
            reasons[FDR_RAW.key] = _NO_RATIO
        else:
            arrays["fdr_raw"] = np.asarray(raw, np.float64)
        return Gathered(arrays, reasons)

    @staticmethod
    def _raw(
        outcome: Outcome, labels: Labels, settings: ScoringSettings
    ) -> tuple[float, float] | None:
        if settings.fdr_samples < 4:
            return None
        score = raw_ratio_score(
            outcome.test_embeddings[labels.generated],
            labels.labels[labels.generated],
            n=settings.fdr_samples,
            seed=settings.seed,
        )
        if score.value is None or score.chance is None:
            return None
        return score.value, score.chance

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """FDR-v1 with its parts by resampling, and the stored ratio in all dimensions."""
        y = labels.among_generators
        n, d = settings.fdr_samples, settings.fdr_dimensions
        found: dict[str, Score] = {}
        if n < 8:
            reason = f"FDR-v1 needs 8 test images of each source; there are {n}."
            found = {s.key: Score.missing(reason, n=len(y)) for s in (FDR, FDR_INTER, FDR_INTRA)}
        elif "fdr_features" in evidence.arrays:
            rows = evidence.floats("fdr_features")[labels.generated]
            scores = separability_scores(rows, rows, y, n=n, d=d, seed=settings.seed, raw=False)
            found = {s.key: scores[s.key] for s in (FDR, FDR_INTER, FDR_INTRA)}
        elif FDR.key in evidence.reasons:
            found = {
                s.key: Score.missing(evidence.reasons[s.key], n=len(y))
                for s in (FDR, FDR_INTER, FDR_INTRA)
            }
        if "fdr_raw" in evidence.arrays or FDR_RAW.key in evidence.reasons:
            found[FDR_RAW.key] = self._stored(evidence, len(y))
        return found

    @staticmethod
    def _stored(evidence: Evidence, n: int) -> Score:
        if FDR_RAW.key in evidence.reasons:
            return Score.missing(evidence.reasons[FDR_RAW.key], n=n)
        value, chance = evidence.arrays["fdr_raw"].astype(np.float64)
        if not np.isfinite(value):  # as evidence said it before reasons were stored
            return Score.missing(_NO_RATIO, n=n)
        return Score(float(value), n=n, chance=float(chance))
