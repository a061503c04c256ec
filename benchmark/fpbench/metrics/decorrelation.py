"""Decorrelation: how much alike the fingerprints of different sources are (DSF, eq. 3–6).

Every held-out image of source i is correlated with the fingerprint z_j of every source j, the
mean of the training embeddings of j; ``ρ_ij`` is the mean of |corr| over the held-out images of
i (arXiv 2206.02067, eq. 5). Two numbers tell the story: `self`, the mean of the diagonal, and
`cross`, the mean off the diagonal. The headline is their difference, the margin: 1 for ideal
fingerprints, 0 for noise and 0 for collapsed ones.

The score as printed, ``‖ρ − I‖_F / M²`` for M sources (eq. 6), is kept as ``dsf_printed``. The
paper reads it as "higher is more decorrelated" within [0, 1 + 2/M]; by its formula it lies in
[0, 1/M], 0 being the ideal. No published value can come from it.

With centring (the default) the mean over sources is subtracted from every embedding, without
which a common offset, usual after a ReLU, makes all correlations near 1. The fingerprints then
sum to zero, so M of them cannot all be uncorrelated: where sources are equally far apart,
`cross` is no less than 1/(M−1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fpbench.metrics.bootstrap import REPEATS, multiplicities, percentile_interval
from fpbench.metrics.features import check_features, finite, lengths, resolution
from fpbench.metrics.score import Floats, Ids, NotComputable, Score, check_ids

KEYS = (
    "margin",
    "self",
    "cross",
    "margin_cc",
    "margin_signed",
    "self_signed",
    "cross_signed",
    "dsf_printed",
    "dsf_l1",
)
"""What `decorrelation_scores` returns, in this order."""

_OF_SOURCES = "fingerprints of sources"
_OF_MAGNITUDES = ("margin", "margin_cc", "dsf_printed", "dsf_l1")
_MIRRORED = (
    "Two fingerprints around their mean are each other's negative, so |corr| with both is the same "
    "whatever the images; margin_signed tells two sources apart."
)
_STRETCH = 3  # times the bias of the bootstrap, for the interval of margin_cc
_CC_PARTS = ("self_cc", "cross_cc")
_ALIKE = 1e-6  # correlations may have been stored as float32
_CHUNK = 512  # rows held as float64 at once: residuals have up to 200,000 dimensions


def chance_correlation(dimensions: int) -> float:
    """Mean |corr| of two independent vectors, ``Γ((d−1)/2) / (√π Γ(d/2))``.

    Near ``√(2/(π(d−1)))`` for large d, and 1 for d = 2, where any two vectors are perfectly
    correlated. A method can therefore lower `cross` by nothing more than a longer fingerprint.

    Raises:
        ValueError: If there are fewer than two dimensions.

    >>> [round(chance_correlation(d), 3) for d in (2, 64, 2048)]
    [1.0, 0.101, 0.018]
    """
    from scipy.special import gammaln

    if dimensions < 2:
        raise ValueError(f"a correlation needs two dimensions, not {dimensions}")
    log_ratio = gammaln((dimensions - 1) / 2) - gammaln(dimensions / 2)
    return float(np.exp(log_ratio) / np.sqrt(np.pi))


def dsf_range(sources: int) -> tuple[float, float]:
    """Smallest and largest value of ``dsf_printed`` for M sources: 0 (ideal) and 1/M.

    >>> dsf_range(4)
    (0.0, 0.25)
    """
    return 0.0, 1 / sources


@dataclass(frozen=True)
class SourceFingerprints:
    """One fingerprint a source, learned from training embeddings.

    Attributes:
        centre: What is subtracted from every embedding, shape (D,): the mean over sources, or 0.
        vectors: Shape (M, D), the mean training embedding of each source less `centre`.
        smallest: Shape (M,), the length up to which a vector is rounding and no fingerprint.
    """

    centre: Floats
    vectors: Floats
    smallest: Floats


def source_fingerprints(
    features: ArrayLike, labels: ArrayLike, centre: bool = True
) -> SourceFingerprints:
    """Mean training embedding of each source, less the mean over sources.

    Sources weigh equally in that mean, however many training images they have.

    Args:
        features: Shape (N, D), training embeddings.
        labels: int (N,), from 0 to M−1.
        centre: Whether to subtract the mean over sources.

    Raises:
        ValueError: If shapes do not fit.
        NotComputable: If a source has no image or an embedding is not finite.

    >>> source_fingerprints([[0.0, 1.0], [0.0, 3.0], [2.0, 0.0]], [0, 0, 1]).vectors.tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """
    rows, y = check_features(features, labels)
    counts = np.bincount(y)
    if len(counts) < 2:
        raise NotComputable("There is one source only; decorrelation compares several.")
    if counts.min() < 1:
        raise NotComputable(f"Source {counts.argmin()} has no training image.")
    means = np.zeros((len(counts), rows.shape[1]))
    for start in range(0, len(y), _CHUNK):
        part = finite(rows[start : start + _CHUNK])
        members = y[start : start + _CHUNK] == np.arange(len(counts))[:, None]
        means += members.astype(np.float64) @ part
    means /= counts[:, None]
    middle = means.mean(axis=0) if centre else np.zeros(rows.shape[1])
    smallest = resolution(rows) * np.linalg.norm(means, axis=1)
    return SourceFingerprints(middle, means - middle, smallest)


def item_correlations(features: ArrayLike, fingerprints: SourceFingerprints) -> Floats:
    """Pearson correlation of every held-out embedding with every source's fingerprint.

    Args:
        features: Shape (N, D), embeddings of held-out images, or of bags.
        fingerprints: M of them.

    Returns:
        Shape (N, M), signed, in [−1, 1].

    Raises:
        ValueError: If dimensions differ.
        NotComputable: If an embedding is not finite, or a vector is constant and so has no
            correlation.

    >>> vectors = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]])
    >>> prints = SourceFingerprints(np.zeros(3), vectors, np.zeros(2))
    >>> item_correlations([[2.0, 0.0, -2.0]], prints).round(2).tolist()
    [[1.0, 0.5]]
    """
    rows = np.asarray(features)
    if rows.ndim != 2 or rows.shape[1] != len(fingerprints.centre):
        raise ValueError(
            f"embeddings of shape {rows.shape} do not fit fingerprints of "
            f"{len(fingerprints.centre)} dimensions"
        )
    if rows.shape[1] < 3:
        raise NotComputable(
            f"Embeddings have {rows.shape[1]} dimensions; with fewer than three every "
            "correlation is 1."
        )
    templates = _standardise(fingerprints.vectors.copy(), fingerprints.smallest, _OF_SOURCES)
    result = np.empty((len(rows), len(templates)))
    for start in range(0, len(rows), _CHUNK):
        part = finite(np.array(rows[start : start + _CHUNK], dtype=np.float64))
        smallest = resolution(rows) * lengths(part)
        part -= fingerprints.centre
        _standardise(part, smallest, "embeddings")
        result[start : start + _CHUNK] = part @ templates.T
    return result.clip(-1, 1)


def correlation_matrix(
    correlations: Floats, labels: ArrayLike, sources: int, signed: bool = False
) -> Floats:
    """``ρ_ij``, the mean over held-out images of source i of |corr| with fingerprint j (eq. 5).

    Args:
        correlations: Shape (N, M), of `item_correlations`.
        labels: int (N,).
        sources: M.
        signed: Whether to average corr instead of |corr|.

    Returns:
        Shape (M, M), rows held-out images, columns fingerprints; not symmetric.

    Raises:
        NotComputable: If a source has no held-out image.

    >>> correlation_matrix(np.array([[1.0, -0.5], [0.1, 0.9]]), [0, 1], 2).tolist()
    [[1.0, 0.5], [0.1, 0.9]]
    """
    y = np.asarray(labels)
    counts = np.bincount(y, minlength=sources)
    if counts.min() < 1:
        raise NotComputable(f"Source {counts.argmin()} has no held-out image.")
    values = correlations if signed else np.abs(correlations)
    matrix = np.zeros((sources, sources))
    np.add.at(matrix, y, values)
    return matrix / counts[:, None]


def fingerprint_correlations(fingerprints: SourceFingerprints) -> Floats:
    """Pearson correlation of the sources' fingerprints with each other, for a heat map.

    Returns:
        Shape (M, M), signed, symmetric, with a diagonal of 1.

    Raises:
        NotComputable: If a fingerprint is constant.
    """
    rows = _standardise(fingerprints.vectors.copy(), fingerprints.smallest, _OF_SOURCES)
    matrix: Floats = (rows @ rows.T).clip(-1, 1)
    np.fill_diagonal(matrix, 1.0)
    return matrix


def summarise(rho: Floats, signed: Floats, dimensions: int) -> Mapping[str, Floats]:
    """All variants of the score of correlation matrices.

    ======================  =================================================  ==============
    key                     formula                                            range, ideal
    ======================  =================================================  ==============
    self, cross             mean of ρ_ii; mean of ρ_ij, i ≠ j                  [0, 1]; 1 and 0
    margin                  self − cross                                       [−1, 1]; 1
    …_cc                    the same of max(0, (ρ − c_d)/(1 − c_d))            as above
    …_signed                the same of corr instead of abs(corr)              [−2, 2]; 1
    dsf_printed             ‖ρ − I‖_F / M²  (lower is better)                  [0, 1/M]; 0
    dsf_l1                  Σ abs(ρ − I) / M²  (lower is better)               [0, 1]; 0
    ======================  =================================================  ==============

    Args:
        rho: Shape (..., M, M), of |corr|.
        signed: Shape (..., M, M), of corr.
        dimensions: Dimensions d of the embeddings, for c_d (`chance_correlation`).

    Returns:
        Key to array of shape (...).

    >>> values = summarise(np.eye(4), np.eye(4), 64)
    >>> float(values["margin"]), float(values["dsf_printed"])
    (1.0, 0.0)
    """
    m = rho.shape[-1]
    own, other = _self_cross(rho)
    own_signed, other_signed = _self_cross(signed)
    c = chance_correlation(dimensions)
    own_cc, other_cc = _self_cross(np.maximum(0.0, (rho - c) / (1 - c)))
    error = np.abs(rho - np.eye(m))
    return {
        "margin": own - other,
        "self": own,
        "cross": other,
        "self_cc": own_cc,
        "cross_cc": other_cc,
        "margin_cc": own_cc - other_cc,
        "margin_signed": own_signed - other_signed,
        "self_signed": own_signed,
        "cross_signed": other_signed,
        "dsf_printed": np.sqrt((error**2).sum(axis=(-2, -1))) / m**2,
        "dsf_l1": error.sum(axis=(-2, -1)) / m**2,
    }


def decorrelation_scores(
    correlations: Floats,
    labels: ArrayLike,
    sources: int,
    dimensions: int,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
    ids: Ids = None,
) -> dict[str, Score]:
    """Every key of `summarise` with its bootstrap interval over held-out images.

    The fingerprints stay as they are: the interval is for these fingerprints on new images.

    Two scores call for more than percentiles of the bootstrap (figures in docs/scoring.md). The
    formula of ``margin_cc`` has a kink where an entry lies at chance, which lifts `self_cc` and
    `cross_cc` by noise. How much of it the difference keeps is not known, so its interval is
    moved out at both ends: below by three times the bias that the draws of `self_cc` show, above
    by three times that of `cross_cc`, a factor found by simulation. ``dsf_printed`` sums squares,
    so noise of all M² entries adds up, in the estimate once and in the draws twice: its interval
    is moved back by twice what it adds to the draws.

    Args:
        correlations: Shape (N, M), of `item_correlations`.
        labels: int (N,), from 0 to M−1.
        sources: M.
        dimensions: Dimensions d of the embeddings.
        seed: Seed of the resampling.
        repeats: Number of resamples.
        ids: Distinct names of the held-out images, if known.

    Returns:
        `KEYS` to scores. Chance is the score of independent fingerprints of d dimensions. Two
        centred fingerprints are each other's negative: what compares |corr| has no value then.

    Raises:
        ValueError: If shapes do not fit.
    """
    y = np.asarray(labels)
    if correlations.shape != (len(y), sources):
        raise ValueError(
            f"correlations of shape {correlations.shape} do not fit {len(y)} labels "
            f"of {sources} sources"
        )
    counts = np.bincount(y, minlength=sources)
    try:
        check_ids(ids, len(y))
        if sources < 2:
            raise NotComputable("There is one source only; decorrelation compares several.")
        if counts.min() < 2:
            few = f"Source {counts.argmin()} has {counts.min()} held-out images"
            raise NotComputable(f"{few}; two are needed.")
        if dimensions < 3:
            raise NotComputable(
                f"Embeddings have {dimensions} dimensions; with fewer than three a correlation "
                "tells nothing."
            )
        undefined = int(np.isnan(correlations).any(axis=1).sum())
        if undefined:
            raise NotComputable(
                f"Correlations of {undefined} images are undefined: some embeddings are constant "
                "or not finite."
            )
        if np.ptp(correlations, axis=0).max() <= _ALIKE:
            raise NotComputable(
                "All held-out images correlate alike with every fingerprint: their embeddings are "
                "equal."
            )
    except NotComputable as reason:
        return {key: Score.missing(str(reason), n=len(y)) for key in KEYS}
    noise = np.full((sources, sources), chance_correlation(dimensions))
    chance = summarise(noise, np.zeros((sources, sources)), dimensions)
    rho = correlation_matrix(correlations, y, sources)
    signed = correlation_matrix(correlations, y, sources, signed=True)
    values = summarise(rho, signed, dimensions)
    drawn: dict[str, list[Floats]] = {key: [] for key in (*KEYS, *_CC_PARTS)}
    both = np.concatenate([np.abs(correlations), correlations], axis=1)
    for weights in multiplicities(y, seed, repeats):
        matrices = np.stack(
            [weights[y == i].T.astype(np.float64) @ both[y == i] for i in range(sources)], axis=1
        )
        matrices /= counts[:, None]
        parts = summarise(matrices[..., :sources], matrices[..., sources:], dimensions)
        for key, lists in drawn.items():
            lists.append(parts[key])
    lifted = {key: max(0.0, np.concatenate(drawn[key]).mean() - values[key]) for key in _CC_PARTS}
    scores = {}
    mirrored = sources == 2 and bool(np.allclose(correlations[:, 0], -correlations[:, 1]))
    for key in KEYS:
        if mirrored and key in _OF_MAGNITUDES:
            scores[key] = Score.missing(_MIRRORED, n=len(y))
            continue
        value = float(values[key])
        draws = np.concatenate(drawn[key])
        low, high = percentile_interval(draws)
        if key == "margin_cc":
            low -= _STRETCH * lifted["self_cc"]
            high += _STRETCH * lifted["cross_cc"]
        elif key == "dsf_printed":
            twice = 2 * (draws.mean() - value)
            low, high = max(0.0, low - twice), min(1 / sources, high - twice)
        scores[key] = Score(value, float(low), float(high), len(y), float(chance[key]))
    return scores


def decorrelation(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    features: ArrayLike,
    labels: ArrayLike,
    *,
    centre: bool = True,
    seed: int = 0,
    repeats: int = REPEATS,
    ids: Ids = None,
) -> dict[str, Score]:
    """`decorrelation_scores` from embeddings: fingerprints of train, held-out items of test.

    Args:
        train_features: Shape (N, D).
        train_labels: int (N,), from 0 to M−1.
        features: Shape (N′, D), of images or of bags that the fingerprints have not seen.
        labels: int (N′,), from 0 to M−1.
        centre: Whether to subtract the mean over sources.
        seed: Seed of the resampling.
        repeats: Number of resamples.
        ids: Distinct names of the held-out images, if known.

    Returns:
        `KEYS` to scores, without value where an embedding is constant or not finite.

    Raises:
        ValueError: If shapes do not fit.

    >>> rng = np.random.default_rng(0)
    >>> prints, y = np.eye(3, 50) * 20, np.repeat([0, 1, 2], 40)
    >>> scores = decorrelation(prints[y] + rng.normal(size=(120, 50)), y,
    ...                        prints[y] + rng.normal(size=(120, 50)), y)
    >>> round(scores["margin"].value, 1), round(scores["cross"].value, 1)
    (0.5, 0.5)
    """
    y = np.asarray(labels)
    try:
        fingerprints = source_fingerprints(train_features, train_labels, centre)
        rows, y = check_features(features, labels)
        if len(y) and y.max() >= len(fingerprints.vectors):
            raise NotComputable(f"Source {y.max()} has no training image.")
        correlations = item_correlations(rows, fingerprints)
    except NotComputable as reason:
        return {key: Score.missing(str(reason), n=len(y)) for key in KEYS}
    return decorrelation_scores(
        correlations,
        y,
        len(fingerprints.vectors),
        rows.shape[1],
        seed=seed,
        repeats=repeats,
        ids=ids,
    )


def _self_cross(matrices: Floats) -> tuple[Floats, Floats]:
    m = matrices.shape[-1]
    trace = np.trace(matrices, axis1=-2, axis2=-1)
    rest = matrices.sum(axis=(-2, -1)) - trace
    return trace / m, rest / (m * (m - 1))


def _standardise(rows: Floats, smallest: Floats, what: str) -> Floats:
    """Take away from rows their means and bring them to length 1, in place."""
    rows -= rows.mean(axis=1, keepdims=True)
    length = lengths(rows)
    constant = length <= smallest
    if constant.any():
        raise NotComputable(
            f"{int(constant.sum())} {what} are constant and have no correlation with anything."
        )
    rows /= length[:, None]
    return rows
