"""Naming the source of one image: accuracy and areas under ROC curves, and the common probe's."""

from __future__ import annotations

from fpbench.metrics.attribution import accuracy_score, auc_real_score, auc_score
from fpbench.metrics.score import Score
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.evidence import PROBE, Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import Gathered, ScoreFamily

ATTRIBUTION = Table(
    "attribution",
    "Attribution of single images",
    "Balanced accuracy of naming the source of one image. The headline leaves Real out: a method "
    "gains nothing by telling real from generated images.",
)
ACCURACY = ScoreDefinition(
    "accuracy",
    "accuracy, generators only",
    "accuracy",
    "Balanced accuracy among generators: the headline.",
    ATTRIBUTION,
    in_terminal=True,
)
ACCURACY_WITH_REAL = ScoreDefinition(
    "accuracy_with_real",
    "accuracy, Real included",
    "with Real",
    "Balanced accuracy, Real being a source too.",
    ATTRIBUTION,
    in_terminal=True,
)
AUC = ScoreDefinition(
    "auc",
    "AUC, generators one v. rest",
    "AUC",
    "Area under the ROC curve, one generator against the rest, mean.",
    ATTRIBUTION,
    in_terminal=True,
)
AUC_WITH_REAL = ScoreDefinition(
    "auc_with_real",
    "AUC, Real included",
    "AUC with Real",
    "The same, Real being a source too.",
    ATTRIBUTION,
)
AUC_REAL = ScoreDefinition(
    "auc_real",
    "AUC, real v. generated",
    "AUC real",
    "Area under the ROC curve, real against generated.",
    ATTRIBUTION,
    in_terminal=True,
)
PROBE_ACCURACY = ScoreDefinition(
    "probe_accuracy",
    "accuracy of the common probe",
    "probe",
    "Accuracy of the common probe on the fingerprints.",
    ATTRIBUTION,
    in_terminal=True,
)


class Attribution(ScoreFamily):
    """Scores of the probabilities that stand for the method."""

    name = "attribution"
    scores = (ACCURACY, ACCURACY_WITH_REAL, AUC, AUC_WITH_REAL, AUC_REAL)

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """Accuracy and AUC with and without Real, and AUC of real against generated."""
        y, p, real, ids = labels.labels, evidence.proba, labels.real, labels.ids
        seed = settings.seed
        return {
            ACCURACY.key: accuracy_score(y, p, real, seed=seed, ids=ids),
            ACCURACY_WITH_REAL.key: accuracy_score(y, p, real, with_real=True, seed=seed, ids=ids),
            AUC.key: auc_score(y, p, real, seed=seed, ids=ids),
            AUC_WITH_REAL.key: auc_score(y, p, real, with_real=True, seed=seed, ids=ids),
            AUC_REAL.key: auc_real_score(y, p, real, seed=seed, ids=ids),
        }


class Probe(ScoreFamily):
    """Accuracy of the common probe: one small classifier trained on every method's embeddings."""

    name = "probe"
    scores = (PROBE_ACCURACY,)

    def gather(self, outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Gathered:
        """The probe's probabilities."""
        return Gathered({PROBE: outcome.probe_proba})

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """Balanced accuracy among generators."""
        if PROBE not in evidence.arrays:
            return {}
        found = accuracy_score(
            labels.labels, evidence.floats(PROBE), labels.real, seed=settings.seed, ids=labels.ids
        )
        return {PROBE_ACCURACY.key: found}
