"""Generators that were not trained on: are they noticed, and are they told from each other?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fpbench.compute.neighbors import ExactNeighbors
from fpbench.images import Source
from fpbench.metrics.attribution import accuracy_score, judged
from fpbench.metrics.features import all_equal
from fpbench.metrics.open_set import (
    OpenImages,
    cluster_unknown,
    directions,
    open_set_scores,
    unknown_ami_score,
)
from fpbench.metrics.predictions import correctness
from fpbench.metrics.score import NotComputable, Score
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.evidence import Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import Gathered, ScoreFamily

NEIGHBOUR = 10
"""Which nearest training embedding the distance `knn` is taken to."""

IMAGES_PER_SOURCE = 200
"""Images of each unknown generator that are clustered, the same for all methods."""

OWN = "unknown_own"
"""Key of the method's own numbers among an outcome's arrays and in evidence."""

KNN = "unknown_knn"
CLUSTERS = "unknown_clusters"

LOOKS = {
    "msp": "1 − the highest probability",
    "knn": f"the distance to the {NEIGHBOUR}th nearest training embedding",
    "own": "the method's own measure",
}
"""How unknown an image looks, by name."""

GROUPS = {
    "architecture": "whose architecture is known",
    "family": "whose family alone is known",
    "new": "of an unknown family",
}
"""Unknown generators from near to far."""

OPEN_SET = Table(
    "open-set",
    "Unknown generators",
    "Trained without some generators, tested on all: unknown ones against known ones by how "
    "unknown an image looks. `msp` is 1 − the highest probability, `knn` the distance to the "
    f"{NEIGHBOUR}th nearest training embedding, `own` the method's own measure.",
)
NEAR_AND_FAR = Table(
    "near-and-far",
    "Near and far unknown generators",
    "The same for the unknown generators whose architecture is known (another instance), whose "
    "family alone is known, and whose family is unknown too.",
)


def _auroc(look: str) -> ScoreDefinition:
    return ScoreDefinition(
        f"open_auroc_{look}",
        f"AUC, unknown v. known, {look}",
        f"AUC {look}",
        f"Area under the ROC curve, unknown against known generators, by {LOOKS[look]}.",
        OPEN_SET,
        in_terminal=True,
    )


def _fpr95(look: str) -> ScoreDefinition:
    return ScoreDefinition(
        f"open_fpr95_{look}",
        f"unknown accepted with 95 % of known, {look}",
        f"accepted {look}",
        f"Share of unknown images accepted where 95 % of known ones are, by {LOOKS[look]}.",
        OPEN_SET,
        better="lower",
        in_terminal=True,
    )


def _apart(look: str, group: str) -> ScoreDefinition:
    return ScoreDefinition(
        f"open_auroc_{look}_{group}",
        f"AUC, unknown v. known, {look}, those {GROUPS[group]}",
        f"{group} {look}",
        f"The AUC of unknown generators {GROUPS[group]}, by {LOOKS[look]}.",
        NEAR_AND_FAR,
    )


OSCR = ScoreDefinition(
    "oscr",
    "OSCR",
    "OSCR",
    "Area under the share of known images accepted and rightly attributed, against the share of "
    "unknown images accepted, by 1 − the highest probability.",
    OPEN_SET,
    in_terminal=True,
)
KNOWN_ACCURACY = ScoreDefinition(
    "known_accuracy",
    "accuracy, known generators",
    "accuracy, known",
    "Balanced accuracy among the known generators.",
    OPEN_SET,
    in_terminal=True,
)
UNKNOWN_AMI = ScoreDefinition(
    "unknown_ami",
    "clusters of unknown generators, AMI",
    "clusters",
    "Adjusted mutual information of clusters of unknown images' embeddings with their sources.",
    OPEN_SET,
    lower=-1.0,
    in_terminal=True,
)


class OpenSet(ScoreFamily):
    """Known against unknown generators; Real is left out, though its probability counts."""

    name = "open-set"
    scores = (
        *(_auroc(look) for look in LOOKS),
        OSCR,
        KNOWN_ACCURACY,
        *(_fpr95(look) for look in LOOKS),
        UNKNOWN_AMI,
        *(_apart(look, group) for look in LOOKS for group in GROUPS),
    )

    def gather(self, outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Gathered:
        """How unknown each test image looks, and which cluster unknown ones are in.

        ``unknown_knn`` is float32 of shape (N,): the Euclidean distance of the embedding, scaled
        to unit length, to the 10th nearest training embedding (Sun et al., ICML 2022).
        ``unknown_own``, likewise, is what the method itself says, where it says anything.
        ``unknown_clusters`` is int16 of shape (N,): clusters of at most `IMAGES_PER_SOURCE` images
        of each unknown generator, as many as there are such generators; −1 for all others.
        """
        arrays: dict[str, NDArray[np.generic]] = {}
        reasons: dict[str, str] = {}
        if OWN in outcome.arrays:
            arrays[OWN] = outcome.arrays[OWN].astype(np.float32)
        try:
            arrays[KNN] = _distances(outcome.train_embeddings, outcome.test_embeddings)
        except NotComputable as reason:
            reasons |= {s.key: str(reason) for s in self.scores if "_knn" in s.key}
        unknown = unknown_sources(labels)
        chosen = labels.some_of_each(unknown, IMAGES_PER_SOURCE)
        try:
            found = cluster_unknown(outcome.test_embeddings[chosen], len(unknown))
            clusters = np.full(len(labels.labels), -1, np.int16)
            clusters[chosen] = found
            arrays[CLUSTERS] = clusters
        except NotComputable as reason:
            reasons[UNKNOWN_AMI.key] = str(reason)
        return Gathered(arrays, reasons)

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """All scores by one resampling of images, but for accuracy and clusters."""
        unknown, made = unknown_sources(labels), labels.generated
        y = labels.labels[made]
        looks: dict[str, NDArray[np.floating]] = {
            "msp": 1 - evidence.proba[made].astype(np.float64).max(axis=1)
        }
        for look, key in (("knn", KNN), ("own", OWN)):
            if key in evidence.arrays:
                looks[look] = evidence.floats(key)[made]
        found: dict[str, Score] = {}
        try:
            images = OpenImages(y, np.isin(y, unknown))
        except NotComputable as error:
            return {s.key: Score.missing(str(error), n=len(y)) for s in self.scores}
        correct, known = _known(evidence, labels, unknown, settings.seed)
        groups, empty = _groups(labels, unknown)
        found = open_set_scores(looks, images, correct=correct, groups=groups, seed=settings.seed)
        found[KNOWN_ACCURACY.key] = known
        if correct is None:
            found[OSCR.key] = Score.missing(known.reason or "", n=len(y))
        for look in looks:
            for group, why in empty.items():
                found[f"open_auroc_{look}_{group}"] = Score.missing(why, n=0, chance=0.5)
        if CLUSTERS in evidence.arrays:
            clusters = evidence.arrays[CLUSTERS].astype(np.int64)
            found[UNKNOWN_AMI.key] = unknown_ami_score(
                clusters[clusters >= 0], labels.labels[clusters >= 0], seed=settings.seed
            )
        found |= {
            key: Score.missing(why, n=len(y))
            for key, why in evidence.reasons.items()
            if key not in found
        }
        return {s.key: found[s.key] for s in self.scores if s.key in found}


def unknown_sources(labels: Labels) -> NDArray[np.int64]:
    """Positions among the tested sources of the generators that were not trained on."""
    known = {source.name for source in labels.columns}
    return np.asarray(
        [k for k in labels.generators if labels.tested[k].name not in known], np.int64
    )


def nearness(source: Source, known: tuple[Source, ...]) -> str | None:
    """Which of `GROUPS` an unknown generator is in; None where its family is not known to us.

    Args:
        source: The unknown generator.
        known: The sources trained on.

    >>> dcgan, other = Source("a", "GAN", "DCGAN"), Source("b", "GAN", "DCGAN")
    >>> nearness(other, (dcgan,)), nearness(Source("c", "VAE", "VQ-VAE"), (dcgan,))
    ('architecture', 'new')
    """
    if any(other.architecture == source.architecture for other in known):
        return "architecture"
    if source.family == "Unknown":
        return None
    return "family" if any(other.family == source.family for other in known) else "new"


def _groups(
    labels: Labels, unknown: NDArray[np.int64]
) -> tuple[Mapping[str, list[int]], Mapping[str, str]]:
    """Unknown sources by group, and why a group is empty."""
    groups: dict[str, list[int]] = {}
    undescribed = []
    for k in unknown.tolist():
        group = nearness(labels.tested[k], labels.columns)
        if group is None:
            undescribed.append(labels.tested[k].name)
        else:
            groups.setdefault(group, []).append(k)
    empty = {}
    for group, title in GROUPS.items():
        if group not in groups:
            empty[group] = f"No unknown generator here is one {title}."
            if undescribed:
                empty[group] += f" The family of {', '.join(undescribed)} is not described."
    return groups, empty


def _known(
    evidence: Evidence, labels: Labels, unknown: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.float64] | None, Score]:
    """How rightly each generated image is attributed (0 for unknown ones), and their accuracy."""
    column = {source.name: k for k, source in enumerate(labels.columns)}
    chosen = labels.generated & ~np.isin(labels.labels, unknown)
    y = np.asarray([column[labels.tested[k].name] for k in labels.labels[chosen]], np.int64)
    proba, ids = evidence.proba[chosen], labels.ids[chosen]
    score = accuracy_score(y, proba, labels.real, seed=seed, ids=ids)
    if score.value is None:
        return None, score
    correct = np.zeros(len(labels.labels))
    correct[chosen] = correctness(*judged(y, proba, labels.real))
    return correct[labels.generated], score


def _distances(train: NDArray[np.float32], test: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(train) < NEIGHBOUR:
        raise NotComputable(f"There are {len(train)} training embeddings; {NEIGHBOUR} are needed.")
    rows = directions(test)
    if all_equal(rows):
        raise NotComputable("All embeddings point one way, so none is nearer than another.")
    found, _ = ExactNeighbors(directions(train)).search(rows, NEIGHBOUR)
    return found[:, -1].astype(np.float32)
