"""Images that were compressed, resized, blurred or posted again: is their source still named?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpbench.compute.perturbations import PERTURBATIONS, TABLE
from fpbench.metrics.attribution import accuracy_score, judged, weighted_auc
from fpbench.metrics.bootstrap import multiplicities, percentile_interval, unseen_rate
from fpbench.metrics.predictions import columns_of, correctness
from fpbench.metrics.score import Floats, NotComputable, Score
from fpbench.scores.attribution import ACCURACY
from fpbench.scores.definition import ScoreDefinition, Table
from fpbench.scores.evidence import Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import Gathered, ScoreFamily

PERTURBED = "perturbed"
"""Key of the probabilities of perturbed images: among an outcome's arrays as they are, float32 of
shape (S, N, K) for S strengths; in evidence as `pack` writes them."""

RANGES = "perturbed_ranges"
ANSWERS = "perturbed_answers"

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
        """What the method says of the perturbed images, in less than half precision.

        ``perturbed``, with ``perturbed_ranges``, are the probabilities as `pack` writes them.
        ``perturbed_answers``, of shape (S, N), is the generator with the highest probability, as
        a column; the number of columns where several share it. Where Real takes all, or sources
        are all but equal, rounded probabilities do not tell which generator is the likeliest.
        """
        proba = outcome.arrays[PERTURBED].astype(np.float32, copy=False)
        packed, ranges = pack(proba)
        return Gathered(
            {PERTURBED: packed, RANGES: ranges, ANSWERS: answers_of(proba, labels.real)}
        )

    def score(
        self, evidence: Evidence, labels: Labels, settings: ScoringSettings
    ) -> dict[str, Score]:
        """All strengths by one paired bootstrap: the same images are drawn for each of them."""
        y, real = labels.labels, labels.real
        found = _scores(evidence, y, real, settings.seed)
        found[ACCURACY.key] = accuracy_score(
            y, evidence.proba, real, seed=settings.seed, ids=labels.ids
        )
        return {s.key: found[s.key] for s in self.scores}


def answers_of(proba: NDArray[np.float32], real: int | None) -> NDArray[np.unsignedinteger]:
    """The generator with the highest probability of each image at each strength.

    Args:
        proba: Shape (S, N, K).
        real: Column of Real, or None.

    Returns:
        Shape (S, N), columns; K where several generators share the highest probability.

    >>> answers_of(np.array([[[0.6, 0.1, 0.3], [0.2, 0.4, 0.4]]], np.float32), 0).tolist()
    [[2, 3]]
    """
    classes = proba.shape[2]
    columns = columns_of(classes, real, False)
    among = proba[:, :, columns]
    shared = (among == among.max(axis=2, keepdims=True)).sum(axis=2) > 1
    answers = np.where(shared, classes, columns[among.argmax(axis=2)])
    small: NDArray[np.unsignedinteger] = answers.astype(np.uint8 if classes < 256 else np.uint16)
    return small


def _right(evidence: Evidence, y: NDArray[np.int64], real: int | None) -> Floats:
    """How rightly each generated image is attributed at each strength, shape (S, N′)."""
    clean = evidence.proba
    judged(y, clean, real)  # there are two generators at least, of two images each
    chosen = np.ones(len(y), bool) if real is None else y != real
    answers = evidence.arrays[ANSWERS].astype(np.int64)
    right: Floats = (answers[:, chosen] == y[chosen]).astype(np.float64)
    for index in np.flatnonzero((answers[:, chosen] == clean.shape[1]).any(axis=1)):
        proba = _probabilities(evidence, int(index))
        shared = answers[index, chosen] == clean.shape[1]
        # Rounding shifts sums by more than rows of probabilities may be off.
        labels, among = judged(y, proba / proba.sum(axis=1, keepdims=True), real)
        right[index, shared] = correctness(labels, among)[shared]
    return right


def _probabilities(evidence: Evidence, index: int) -> NDArray[np.float32]:
    """Those at one strength, float32 of shape (N, K)."""
    part = slice(index, index + 1)
    packed, ranges = evidence.arrays[PERTURBED][part], evidence.arrays[RANGES][part]
    images, classes = evidence.proba.shape
    found = unpack(packed.astype(np.uint8), ranges.astype(np.float32), classes, images)
    proba: NDArray[np.float32] = found[0]
    return proba


def _scores(
    evidence: Evidence, y: NDArray[np.int64], real: int | None, seed: int
) -> dict[str, Score]:
    for key in (PERTURBED, RANGES, ANSWERS):
        if len(evidence.arrays[key]) != len(TABLE):
            raise ValueError(f"{key} holds {len(evidence.arrays[key])} of {len(TABLE)} strengths")
    try:
        right = _right(evidence, y, real)
    except NotComputable as reason:
        return {s.key: Score.missing(str(reason), n=len(y)) for s in Robustness.scores}
    generated = np.ones(len(y), bool) if real is None else y != real
    sizes = np.bincount(y[generated])
    generators = int(np.count_nonzero(sizes))
    weights = 1 / (generators * sizes[y[generated]])
    p_real = None
    if real is not None and int((~generated).sum()) >= 2:
        p_real = np.stack([_probabilities(evidence, k)[:, real] for k in range(len(TABLE))])
    accuracies: list[Floats] = []
    areas: list[Floats] = []
    for counts in multiplicities(y, seed):
        # No matrix product, whose last digits hang on the number of threads.
        drawn = counts[generated] * weights[:, None]
        accuracies.append(np.einsum("sn,nr->sr", right, drawn))
        if p_real is not None:
            areas.append(_areas(p_real, generated, counts))
    point, draws = right @ weights, np.concatenate(accuracies, axis=1)
    limit = unseen_rate(int(sizes[sizes > 0].min()) * generators)
    n, chance = int(generated.sum()), 1 / generators
    found = {
        score.key: _score(point[index], draws[index], n, chance, limit)
        for index, score in enumerate(AT_STRENGTH)
    }
    means, mean_draws = by_perturbation(point), by_perturbation(draws)
    found[ROBUST_MEAN.key] = _score(means.mean(), mean_draws.mean(axis=0), n, chance, limit)
    found[ROBUST_WORST.key] = _score(means.min(), mean_draws.min(axis=0), n, chance, limit)
    if p_real is None:
        found[ROBUST_REAL.key] = Score.missing(
            "No source is Real." if real is None else "There are fewer than two real images.",
            n=len(y),
            chance=0.5,
        )
        return found
    whole = _areas(p_real, generated, np.ones((len(y), 1), np.int64))[:, 0]
    mean, mean_draw = (
        by_perturbation(part).mean(axis=0) for part in (whole, np.concatenate(areas, axis=1))
    )
    sure = unseen_rate(int(min(generated.sum(), (~generated).sum())))
    found[ROBUST_REAL.key] = _score(mean, mean_draw, len(y), 0.5, sure)
    return found


def _areas(
    p_real: NDArray[np.float32], generated: NDArray[np.bool_], counts: NDArray[np.integer]
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


def pack(proba: NDArray[np.floating]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Probabilities of perturbed images in `BITS` bits each.

    Written is arcsin √p, in steps of a 2047th of its range at that strength, most significant bit
    first: about as fine as half precision around ½, finer near 0 and 1.

    Args:
        proba: Shape (S, N, K).

    Returns:
        Bytes of shape (S, ⌈11 N K / 8⌉), and the smallest and largest arcsin √p, shape (S, 2).

    >>> rows = np.random.default_rng(0).dirichlet(np.ones(5), (3, 7)).astype(np.float32)
    >>> packed, ranges = pack(rows)
    >>> packed.shape, float(np.abs(unpack(packed, ranges, 5, 7) - rows).max()) < 4e-4
    ((3, 49), True)
    """
    weight = np.arange(BITS - 1, -1, -1)
    ranges = np.empty((len(proba), 2), np.float32)
    rows = []
    for index, part in enumerate(proba):
        angle = np.arcsin(np.sqrt(np.clip(np.asarray(part, np.float64).ravel(), 0, 1)))
        ranges[index] = angle.min(), angle.max()
        low, high = ranges[index].astype(np.float64)
        steps = (angle - low) / (high - low if high > low else 1) * (2**BITS - 1)
        code = np.clip(np.rint(steps), 0, 2**BITS - 1).astype(np.uint16)
        bits = (code[:, None] >> weight) & 1
        rows.append(np.packbits(bits.astype(np.uint8).ravel()))
    return np.stack(rows), ranges


def unpack(
    packed: NDArray[np.uint8], ranges: NDArray[np.float32], classes: int, images: int
) -> NDArray[np.float32]:
    """What `pack` wrote: float32 of shape (S, N, K).

    Args:
        packed: Shape (S, B).
        ranges: Shape (S, 2).
        classes: K.
        images: N.

    Raises:
        ValueError: If these are other shapes.
    """
    count = images * classes
    if packed.ndim != 2 or packed.shape[1] != -(-count * BITS // 8):
        raise ValueError(f"{PERTURBED} of shape {packed.shape} is not of {images} images")
    if ranges.shape != (len(packed), 2):
        raise ValueError(f"{RANGES} of shape {ranges.shape} are not of {len(packed)} strengths")
    weight = 1 << np.arange(BITS - 1, -1, -1)
    parts = []
    for row, (low, high) in zip(packed, ranges.astype(np.float64), strict=True):
        code = np.unpackbits(row, count=count * BITS).reshape(count, BITS) @ weight
        parts.append(np.sin(low + code * ((high - low) / (2**BITS - 1))) ** 2)
    return np.stack(parts).astype(np.float32).reshape(len(packed), images, classes)
