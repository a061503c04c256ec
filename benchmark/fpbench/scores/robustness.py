"""Images that were compressed, resized, blurred or posted again: is their source still named?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpbench.compute.perturbations import PERTURBATIONS, TABLE
from fpbench.metrics.attribution import accuracy_score, judged, weighted_auc
from fpbench.metrics.bootstrap import multiplicities, percentile_interval, unseen_rate
from fpbench.metrics.predictions import correctness
from fpbench.metrics.score import Floats, NotComputable, Score
from fpbench.scores.attribution import ACCURACY
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.evidence import Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import Gathered, ScoreFamily

PERTURBED = "perturbed"
"""Key of the probabilities of perturbed images: among an outcome's arrays as they are, float32 of
shape (S, N, K) for S strengths; in evidence as `pack` writes them."""

BITS = 11
"""Bits of a stored probability."""

_ROUNDING = 1e-9  # of sums of weights

ROBUSTNESS = Table(
    "robustness",
    "Robustness",
    "Trained on clean images, tested on perturbed ones. The mean is over perturbations, each being "
    "the mean over its strengths; the worst is the smallest of those.",
)
STRENGTHS = Table(
    "strengths",
    "Accuracy at each strength",
    "JPEG and WebP by quality, resizing and cropping by share of the side, blur by pixels, noise "
    "by grey levels, gamma by exponent.",
)
ROBUST_MEAN = ScoreDefinition(
    "robust_mean",
    "accuracy of perturbed images, mean",
    "mean",
    "Balanced accuracy among generators, mean over perturbations.",
    ROBUSTNESS,
    in_terminal=True,
)
ROBUST_WORST = ScoreDefinition(
    "robust_worst",
    "accuracy under the worst perturbation",
    "worst",
    "Balanced accuracy among generators, of the perturbation where it is lowest.",
    ROBUSTNESS,
    in_terminal=True,
)
ROBUST_REAL = ScoreDefinition(
    "robust_real",
    "AUC, real v. generated, perturbed images",
    "AUC real",
    "Area under the ROC curve, real against generated images, mean over perturbations.",
    ROBUSTNESS,
    in_terminal=True,
)


def _at(index: int) -> ScoreDefinition:
    strength = TABLE[index]
    return ScoreDefinition(
        f"robust_{strength.key}",
        f"accuracy, {strength.title}",
        strength.title,
        f"Balanced accuracy among generators of images perturbed by {strength.title}.",
        STRENGTHS,
    )


AT_STRENGTH = tuple(_at(index) for index in range(len(TABLE)))
"""One score a strength, in the order of the table."""


class Robustness(ScoreFamily):
    """Accuracy of clean and of perturbed images, and real against generated."""

    name = "robustness"
    scores = (ROBUST_MEAN, ROBUST_WORST, ROBUST_REAL, ACCURACY, *AT_STRENGTH)

    def gather(self, outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Gathered:
        """Probabilities of the perturbed images, as `pack` writes them."""
        return Gathered({PERTURBED: pack(outcome.arrays[PERTURBED].astype(np.float32, copy=False))})

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """All strengths by one paired bootstrap: the same images are drawn for each of them."""
        y, real = labels.labels, labels.real
        clean = accuracy_score(y, evidence.proba, real, seed=settings.seed, ids=labels.ids)
        packed = evidence.arrays[PERTURBED].astype(np.uint8, copy=False)
        perturbed = unpack(packed, evidence.proba.shape[1], len(y))
        try:
            found = _scores(y, perturbed, real, settings.seed)
        except NotComputable as reason:
            found = {s.key: Score.missing(str(reason), n=len(y)) for s in self.scores}
        found[ACCURACY.key] = clean
        return {s.key: found[s.key] for s in self.scores}


def _scores(
    y: NDArray[np.int64], perturbed: NDArray[np.float32], real: int | None, seed: int
) -> dict[str, Score]:
    classes = perturbed.shape[2]
    correct = []
    for proba in perturbed:
        # Rounding shifts sums by more than rows of probabilities may be off.
        labels, among = judged(y, proba / proba.sum(axis=1, keepdims=True), real)
        correct.append(correctness(labels, among))
    right = np.stack(correct)
    generated = np.ones(len(y), bool) if real is None else y != real
    sizes = np.bincount(y[generated], minlength=classes)
    generators = int(np.count_nonzero(sizes))
    weights = 1 / (generators * sizes[y[generated]])
    areas = real is not None and int((~generated).sum()) >= 2
    drawn: list[Floats] = []
    for counts in multiplicities(y, np.random.default_rng(seed)):
        # No matrix product, whose last digits hang on the number of threads.
        accuracies = np.einsum("sn,nr->sr", right, counts[generated] * weights[:, None])
        rows = [accuracies]
        if areas:
            rows.append(_areas(perturbed[:, :, real], generated, counts))
        drawn.append(np.stack(rows))
    draws = np.concatenate(drawn, axis=2)
    point = np.stack([right @ weights])
    if areas:
        ones = np.ones((len(y), 1), np.int64)
        point = np.stack([point[0], _areas(perturbed[:, :, real], generated, ones)[:, 0]])
    limit = unseen_rate(int(sizes[sizes > 0].min()) * generators)
    n, chance = int(generated.sum()), 1 / generators
    found = {
        score.key: _score(point[0, index], draws[0, index], n, chance, limit)
        for index, score in enumerate(AT_STRENGTH)
    }
    means, mean_draws = by_perturbation(point[0]), by_perturbation(draws[0])
    found[ROBUST_MEAN.key] = _score(means.mean(), mean_draws.mean(axis=0), n, chance, limit)
    found[ROBUST_WORST.key] = _score(means.min(), mean_draws.min(axis=0), n, chance, limit)
    if areas:
        sure = unseen_rate(int(min(generated.sum(), (~generated).sum())))
        mean, mean_draw = (by_perturbation(part).mean(axis=0) for part in (point[1], draws[1]))
        found[ROBUST_REAL.key] = _score(mean, mean_draw, len(y), 0.5, sure)
    else:
        found[ROBUST_REAL.key] = Score.missing(
            "No source is Real." if real is None else "There are fewer than two real images.",
            n=len(y),
            chance=0.5,
        )
    return found


def _areas(
    p_real: NDArray[np.float32], generated: NDArray[np.bool_], counts: NDArray[np.int64]
) -> Floats:
    """Area under the ROC curve of real against generated, at each strength in each resample."""
    p = p_real.astype(np.float64)
    return np.stack(
        [
            weighted_auc(row[~generated], row[generated], counts[~generated], counts[generated])
            for row in p
        ]
    )


def by_perturbation(values: Floats) -> Floats:
    """Means over the strengths of each perturbation.

    Args:
        values: Shape (S, ...), in the order of the table.

    Returns:
        Shape (P, ...).
    """
    return np.stack([values[list(own)].mean(axis=0) for own in PERTURBATIONS.values()])


def _score(value: float, draws: Floats, n: int, chance: float, limit: float) -> Score:
    """A score with its interval; where all images are right or wrong, with the exact limit."""
    low, high = percentile_interval(np.clip(draws, 0, 1))
    if value >= 1 - _ROUNDING:
        value, low = 1.0, 1 - limit
    if value <= _ROUNDING:
        value, high = 0.0, limit
    return Score(float(value), min(low, float(value)), max(high, float(value)), n, chance)


def pack(proba: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Probabilities of perturbed images in `BITS` bits each.

    Each is written as ``round((2¹¹ − 1) · 2/π · arcsin √p)``, most significant bit first: about
    as fine as half precision around ½, finer near 1. That is a third less than half precision.

    Args:
        proba: Shape (S, N, K).

    Returns:
        Shape (S, B), B = ⌈11 N K / 8⌉ bytes.

    >>> rows = np.random.default_rng(0).dirichlet(np.ones(5), (3, 7)).astype(np.float32)
    >>> packed = pack(rows)
    >>> packed.shape, float(np.abs(unpack(packed, 5, 7) - rows).max()) < 4e-4
    ((3, 49), True)
    """
    weight = np.arange(BITS - 1, -1, -1)
    rows = []
    for part in proba:
        p = np.clip(np.asarray(part, np.float64).ravel(), 0, 1)
        code = np.rint(np.arcsin(np.sqrt(p)) * (2 / np.pi) * (2**BITS - 1)).astype(np.uint16)
        bits = (code[:, None] >> weight) & 1
        rows.append(np.packbits(bits.astype(np.uint8).ravel()))
    return np.stack(rows)


def unpack(packed: NDArray[np.uint8], classes: int, images: int) -> NDArray[np.float32]:
    """What `pack` wrote: float32 of shape (S, N, K).

    Args:
        packed: Shape (S, B).
        classes: K.
        images: N.

    Raises:
        ValueError: If there are other strengths than in the table, or another number of images.
    """
    count = images * classes
    if packed.ndim != 2 or packed.shape[1] != -(-count * BITS // 8):
        raise ValueError(f"{PERTURBED} of shape {packed.shape} is not of {images} images")
    weight = 1 << np.arange(BITS - 1, -1, -1)
    parts = []
    for row in packed:
        code = np.unpackbits(row, count=count * BITS).reshape(count, BITS) @ weight
        parts.append(np.sin(code * (np.pi / 2 / (2**BITS - 1))) ** 2)
    return np.stack(parts).astype(np.float32).reshape(len(packed), images, classes)
