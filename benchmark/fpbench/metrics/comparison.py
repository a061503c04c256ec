"""Differences in accuracy between methods judged on the same images, which know of seeds.

Another seed is another network, so a difference between two methods varies for two reasons: other
test images, and other trainings. For rows a and b, correctness averaged over S_a and S_b runs,

    ``se² = v_img + s_a² / S_a + s_b² / S_b``,

s² being the variance of the balanced accuracy between the runs of one row, and v_img the variance
of the mean paired difference over images, balanced over sources. What a run gets right by chance on
single images moves both s² and the paired differences; it is counted in s² alone, as in studies of
several readers who judge the same cases (Dorfman, Berbaum and Metz, 1992; Hillis, 2007):

    ``v_img = max(0, Σ_k var_i∈k(gap_i) / (K² n_k) − r_a / S_a − r_b / S_b)``,

r being the variance between runs that single images alone bring about (images by runs, residual
mean square). The seeds' part of se² has the degrees of freedom of Satterthwaite (1946) and Welch
(1947),

    ``ν = (s_a²/S_a + s_b²/S_b)² / (s_a⁴ / (S_a² (S_a − 1)) + s_b⁴ / (S_b² (S_b − 1)))``,

v_img so many that it is taken for known. What ``t = d / se`` must exceed at level α is Cochran's
mean (1964) of the normal quantile and of Student's, weighted by the two variances,

    ``c(α) = (v_img z(α) + (s_a²/S_a + s_b²/S_b) t_ν(α)) / se²``,

as in Dunnett's procedure C for pairs of unequal variance (1980). With one part alone it is the
usual test: paired over images, or Welch's over seeds. One number of degrees of freedom for both
parts, ``ν se⁴ / (s_a²/S_a + s_b²/S_b)²``, does for a single pair at α = 0.05; but Holm's correction
for m pairs asks for α = 0.05 / m. That far out it takes a variance of three runs that is small by
chance for a well-known one: at 10⁻⁴ it rejects up to 13 times too often, and among 13 equal methods
with three seeds each it calls some different on 14 % of boards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.bootstrap import LEVEL
from fpbench.metrics.score import Floats, Integers
from fpbench.metrics.statistics import holm

Bools = NDArray[np.bool_]

_ROUNDING = 1e-12  # relative; what sums of products leave of a variance that is 0
_STEPS = 12
_FURTHEST = 37.0  # standard errors, beyond which the normal tail underflows
_MANY = 1e9  # degrees of freedom, as good as infinitely many
_SURE = 60  # images that differ, from where the randomisation test has no say: p ≥ 2⁻⁵⁹


@dataclass(frozen=True)
class RunSummary:
    """What the runs of one row got right, all on the same images.

    Attributes:
        correct: float64 of shape (N,), the share of runs that were right on each image.
        runs: Number of runs S.
        between: Variance s² of the balanced accuracy between runs; 0 for a single one.
        noise: The part r of `between` that single images bring about; 0 for a single run.
        deterministic: Whether another run is known to give the same predictions.
    """

    correct: Floats
    runs: int
    between: float = 0.0
    noise: float = 0.0
    deterministic: bool = False

    @property
    def one_run(self) -> bool:
        """Whether how much runs differ is unknown: there is one, and another may be another."""
        return self.runs == 1 and not self.deterministic


def summarise_runs(
    correct: ArrayLike, sources: ArrayLike, *, deterministic: bool = False
) -> RunSummary:
    """Mean over runs, and how much their balanced accuracy varies.

    Args:
        correct: Shape (S, N), correctness in [0, 1] of each run on each image.
        sources: Shape (N,), the images' sources; each has two images or more.
        deterministic: Whether the method is known to draw nothing at random. It matters for a
            single run only: of several the numbers tell.

    Raises:
        ValueError: If shapes do not fit or a source has fewer than two images.

    >>> row = summarise_runs([[1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 0, 1]], [0, 0, 1, 1])
    >>> row.correct.round(2).tolist(), row.runs, row.between
    ([1.0, 0.67, 0.67, 0.67], 3, 0.0)
    """
    x = np.asarray(correct, dtype=np.float64)
    if x.ndim != 2 or len(x) == 0:
        raise ValueError(f"correctness has shape {x.shape}; give runs by images")
    keys, counts = _sources(sources, x.shape[1])
    runs, mean = len(x), x.mean(axis=0)
    if runs == 1 or (x == x[0]).all():
        return RunSummary(mean, runs, deterministic=deterministic or runs > 1)
    of_sources = _source_means(x, keys, counts)
    residual = x - mean - (of_sources - of_sources.mean(axis=0))[:, keys]
    mean_square = np.bincount(keys, (residual**2).sum(axis=0)) / ((runs - 1) * (counts - 1))
    return RunSummary(
        mean,
        runs,
        between=float(of_sources.mean(axis=1).var(ddof=1)),
        noise=float((mean_square / counts).sum()) / len(counts) ** 2,
    )


@dataclass(frozen=True)
class Comparisons:
    """All pairs of R rows; arrays have shape (R, R), the first row less the second.

    Attributes:
        difference: Difference of balanced accuracies.
        error: Its standard error.
        freedom: Degrees of freedom ν of the seeds' part; infinite where no seeds vary.
        p_value: Two-sided, of no difference, before correction; 1 on the diagonal.
        corrected: After Holm's correction for all pairs of rows.
        halfwidth: Half the 95 % interval of the difference, of this pair alone: not corrected.
        one_run: bool, whether the comparison tells of a run and not of a method, because one of
            the two is the only run of a method whose runs may differ.
    """

    difference: Floats
    error: Floats
    freedom: Floats
    p_value: Floats
    corrected: Floats
    halfwidth: Floats
    one_run: Bools

    def __len__(self) -> int:
        return len(self.difference)

    @property
    def pairs(self) -> int:
        """How many pairs the correction is for."""
        return len(self) * (len(self) - 1) // 2

    def in_order(self, order: Sequence[int]) -> Comparisons:
        """The same for rows in another order."""
        grid = np.ix_(order, order)
        return Comparisons(
            self.difference[grid],
            self.error[grid],
            self.freedom[grid],
            self.p_value[grid],
            self.corrected[grid],
            self.halfwidth[grid],
            self.one_run[grid],
        )


def compare_rows(
    rows: Sequence[RunSummary], sources: ArrayLike, folds: ArrayLike | None = None
) -> Comparisons:
    """Compare every pair of rows on the same images; see the module for the formulas.

    A row with one run of a method whose runs may differ is compared as that run: nothing stands
    for its training, so the difference tells of the run and not of the method (`one_run`).

    Folds of a cross-validation are trainings of their own on images of their own. The paired
    difference is taken on each fold, over seeds if there are several, and averaged over folds:
    ``se² = max(v_img, s_d² / F)``, s_d² the variance of the difference between the F folds and
    v_img that of the union of their images, with F − 1 degrees of freedom, as
    `fpbench.metrics.runs.combine` has it. Folds share training images, so even this is rather too
    narrow (Nadeau and Bengio, 2003).

    No p-value is below ``2^(1 − m)``, the least that swapping the two rows on the m images on which
    they differ could give: a handful of images is no proof, however alike they look.

    Args:
        rows: R rows, each of N images in the same order.
        sources: Shape (N,), the images' sources; each has two images or more.
        folds: Shape (N,), the fold that each image is tested in, or None for fixed splits.

    Raises:
        ValueError: If shapes do not fit, a source has fewer than two images, or there is one
            fold.

    >>> rng = np.random.default_rng(0)
    >>> sources, hard = np.repeat([0, 1], 300), rng.random(600)
    >>> rows = [summarise_runs([hard < level], sources, deterministic=True) for level in (0.5, 0.7)]
    >>> found = compare_rows(rows, sources)
    >>> round(float(found.difference[1, 0]), 2), bool(found.corrected[1, 0] < 0.001)
    (0.21, True)
    """
    x = np.stack([row.correct for row in rows])
    keys, counts = _sources(sources, x.shape[1])
    if folds is None:
        weights = 1 / (len(counts) * counts[keys])
        images, seeds, freedom = _over_seeds(rows, _image_variance(x, keys, counts, weights))
    else:
        parts = np.asarray(folds)
        weights = _fold_weights(keys, parts)
        images, seeds, freedom = _over_folds(
            x * weights, parts, _image_variance(x, keys, counts, weights)
        )
    accuracy = x @ weights
    difference = accuracy[:, None] - accuracy[None, :]
    difference[np.abs(difference) < _ROUNDING] = 0.0
    upper = np.triu_indices(len(x), 1)
    size = np.abs(difference[upper])
    terms = images[upper], seeds[upper], freedom[upper]
    p = _p_values(size, *terms)
    p = np.maximum(p, _least(x, upper, size / weights.max(), p))
    alone = np.array([row.one_run and folds is None for row in rows], dtype=np.bool_)
    return Comparisons(
        difference,
        _square(np.sqrt(terms[0] + terms[1]), upper, 0.0),
        freedom,
        _square(p, upper, 1.0),
        _square(holm(p), upper, 1.0),
        _square(_halfwidth(*terms), upper, 0.0),
        np.logical_or.outer(alone, alone) & ~np.eye(len(x), dtype=np.bool_),
    )


def _square(values: Floats, upper: tuple[Integers, Integers], diagonal: float) -> Floats:
    """A symmetric array from its upper triangle."""
    rows = int((1 + np.sqrt(1 + 8 * len(values))) / 2)
    found = np.full((rows, rows), diagonal)
    found[upper] = found.T[upper] = values
    return found


def _sources(sources: ArrayLike, images: int) -> tuple[Integers, Integers]:
    """Source of each image, counted from 0, and the number of images of each."""
    names = np.asarray(sources)
    if names.shape != (images,):
        raise ValueError(f"correctness of {images} images but sources of shape {names.shape}")
    _, keys, counts = np.unique(names, return_inverse=True, return_counts=True)
    if len(counts) == 0 or counts.min() < 2:
        raise ValueError("a source has fewer than two images")
    return keys, counts


def _source_means(x: Floats, keys: Integers, counts: Integers) -> Floats:
    """Means of the images of each source, shape (R, K)."""
    members = np.equal(keys[:, None], np.arange(len(counts))).astype(np.float64)
    means: Floats = (x @ members) / counts
    return means


def _ratio(top: Floats, bottom: Floats, otherwise: float) -> Floats:
    """``top / bottom``; where `bottom` is 0, 0 over it is 0 and the rest is `otherwise`."""
    start = np.where(top > 0, otherwise, 0.0)
    return np.divide(top, bottom, out=start, where=bottom > 0)


def _squared_gaps(rows: Floats) -> Floats:
    """``Σ_i (r_ai − r_bi)²`` for all pairs; traces of rounding are no gap."""
    gram = rows @ rows.T
    own = np.diag(gram)
    squared = own[:, None] + own[None, :] - 2 * gram
    squared[squared < _ROUNDING * (own[:, None] + own[None, :])] = 0.0
    np.fill_diagonal(squared, 0.0)
    return squared


def _image_variance(x: Floats, keys: Integers, counts: Integers, weights: Floats) -> Floats:
    """Variance over images, drawn within sources, of the weighted mean of paired differences."""
    centred = x - _source_means(x, keys, counts)[:, keys]
    return _squared_gaps(centred * (weights * np.sqrt(counts / (counts - 1))[keys]))


def _over_seeds(rows: Sequence[RunSummary], images: Floats) -> tuple[Floats, Floats, Floats]:
    """Variances of images and of seeds, and the degrees of freedom of the latter."""
    runs = np.array([row.runs for row in rows], dtype=np.float64)
    between = np.array([row.between for row in rows]) / runs
    noise = np.array([row.noise for row in rows]) / runs
    seeds = between[:, None] + between[None, :]
    np.fill_diagonal(seeds, 0.0)
    spread = between**2 / np.maximum(runs - 1, 1)
    own = _ratio(seeds**2, spread[:, None] + spread[None, :], np.inf)
    own[seeds == 0] = np.inf
    return np.maximum(images - (noise[:, None] + noise[None, :]), 0.0), seeds, own


def _fold_weights(keys: Integers, folds: NDArray[np.generic]) -> Floats:
    """Weight of each image in the mean over folds of their balanced accuracies."""
    if folds.shape != keys.shape:
        raise ValueError(f"{len(keys)} images but folds of shape {folds.shape}")
    names, parts = np.unique(folds, return_inverse=True)
    if len(names) < 2:
        raise ValueError("there is one fold; leave folds out for fixed splits")
    table = np.zeros((len(names), int(keys.max()) + 1))
    np.add.at(table, (parts, keys), 1.0)
    present = (table > 0).sum(axis=1)
    weights: Floats = 1 / (len(names) * present[parts] * table[parts, keys])
    return weights


def _over_folds(
    weighted: Floats, folds: NDArray[np.generic], images: Floats
) -> tuple[Floats, Floats, Floats]:
    """As `_over_seeds`: all of the variance has one degree of freedom less than there are folds."""
    names, parts = np.unique(folds, return_inverse=True)
    count = len(names)
    of_folds = count * weighted @ np.equal(parts[:, None], np.arange(count)).astype(np.float64)
    centred = of_folds - of_folds.mean(axis=1, keepdims=True)
    between = _squared_gaps(centred) / (count * (count - 1))
    seeds = np.maximum(images, between)
    return np.zeros_like(images), seeds, np.where(seeds > 0, count - 1.0, np.inf)


def _least(x: Floats, upper: tuple[Integers, Integers], at_least: Floats, p: Floats) -> Floats:
    """The least p-value that swapping rows on single images could give, ``2^(1 − m)``.

    Args:
        x: Correctness, shape (R, N).
        upper: Pairs of rows, P of them.
        at_least: Shape (P,), a number of images on which the two rows surely differ.
        p: Shape (P,), p-values; where they are surely higher, images are not counted.
    """
    floor = np.exp2(1 - np.minimum(np.ceil(at_least - 1e-6), _SURE))
    found = np.zeros_like(p)
    for k in np.flatnonzero((p < floor) & (at_least < _SURE)):
        differing = int(np.count_nonzero(x[upper[0][k]] != x[upper[1][k]]))
        found[k] = min(1.0, 2.0 ** (1 - min(differing, 1000)))
    return found


def _p_values(size: Floats, images: Floats, seeds: Floats, freedom: Floats) -> Floats:
    """The α at which `size` is ``c(α)`` standard errors, two-sided."""
    # The bare functions: importing scipy.stats takes longer than all of a board.
    from scipy.special import erfc, gammaln, ndtri, stdtr

    t = _ratio(size, np.sqrt(images + seeds), np.inf)
    p: Floats = np.where(seeds > 0, 2 * stdtr(np.minimum(freedom, _MANY), -t), erfc(t / np.sqrt(2)))
    mixed = (images > 0) & (seeds > 0) & (size > 0)
    v, e, f, t = images[mixed], seeds[mixed], freedom[mixed], t[mixed]
    target = size[mixed] * np.sqrt(v + e)
    scale = gammaln((f + 1) / 2) - gammaln(f / 2) - np.log(f / 2) / 2
    # Newton's steps in t, z being that of the same α: z is a concave function of t and not above
    # it, so they come from below and never pass the root of v z + e t = target.
    for _ in range(_STEPS):
        z = np.minimum(-ndtri(stdtr(f, -t)), _FURTHEST)
        slope = np.exp(scale - (f + 1) / 2 * np.log1p(t**2 / f) + z**2 / 2)  # dz / dt
        t = t + (target - v * z - e * t) / (v * slope + e)
    p[mixed] = 2 * stdtr(f, -t)
    return p


def _halfwidth(images: Floats, seeds: Floats, freedom: Floats) -> Floats:
    """Half the interval at `LEVEL`, ``c(α) se``."""
    from scipy.special import ndtri, stdtrit

    level = (1 + LEVEL) / 2
    quantiles = images * ndtri(level) + seeds * stdtrit(np.minimum(freedom, _MANY), level)
    return _ratio(quantiles, np.sqrt(images + seeds), 0.0)
