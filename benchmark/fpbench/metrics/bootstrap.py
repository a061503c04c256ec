"""The bootstrap over images: resampling with replacement within each source.

The percentile interval of Efron (1979), stratified: every resample holds as many images of each
source as the test set does, because the test set was built with those numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.score import Floats, NotComputable

Counts = NDArray[np.unsignedinteger]

REPEATS = 1000
LEVEL = 0.95
KEPT = 1 << 25
"""Numbers that a resampling may hold to be kept for the next score of the same images."""

_CHUNK = 256  # resamples held in memory at once
_MANY = 100  # different values in a stratum, on average, from which drawing takes most of the time


def percentile_interval(draws: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """The central `level` of bootstrap draws.

    >>> low, high = percentile_interval(range(1001))
    >>> round(low), round(high)
    (25, 975)
    """
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(draws, dtype=np.float64), [tail, 1 - tail])
    return float(low), float(high)


def unseen_rate(trials: float, level: float = LEVEL) -> float:
    """Largest rate of an event that `trials` independent trials may well not have shown once.

    The Clopper–Pearson limit for no event in n trials, ``1 − ((1−level)/2)^(1/n)``. It stands in
    where a bootstrap cannot: resampling images that are all right gives the interval [1, 1], as
    if nothing could ever go wrong.

    >>> round(unseen_rate(100), 3)
    0.036
    """
    return float(-np.expm1(np.log((1 - level) / 2) / trials))


def multiplicities(
    strata: ArrayLike, seed: int, repeats: int = REPEATS, chunk: int = _CHUNK
) -> Iterator[Counts]:
    """How often each image is in each resample, a chunk of resamples at a time.

    It depends on the strata and the seed alone: scores of the same test images, of whatever
    method, share what was drawn for the first of them.

    Args:
        strata: Shape (N,), the source of each image; its numbers of images stay as they are.
        seed: Seed of the resampling.
        repeats: Number of resamples.
        chunk: Largest number of resamples in one array.

    Yields:
        Read-only arrays of small unsigned integers, of shape (N, R), R at most `chunk`, whose
        columns are resamples.

    >>> counts = next(multiplicities([0, 0, 0, 1, 1], 0, 4))
    >>> counts[:3].sum(axis=0).tolist(), counts[3:].sum(axis=0).tolist()
    ([3, 3, 3, 3], [2, 2, 2, 2])
    """
    _, stratum = np.unique(np.asarray(strata), return_inverse=True)
    if len(stratum) * repeats > KEPT:
        yield from _multiplicities(stratum, seed, repeats, chunk)
    else:
        yield from _kept_multiplicities(stratum.tobytes(), seed, repeats, chunk)


@lru_cache(maxsize=8)
def _kept_multiplicities(stratum: bytes, seed: int, repeats: int, chunk: int) -> tuple[Counts, ...]:
    return tuple(_multiplicities(np.frombuffer(stratum, np.intp), seed, repeats, chunk))


def _multiplicities(
    stratum: NDArray[np.intp], seed: int, repeats: int, chunk: int
) -> Iterator[Counts]:
    members = [np.flatnonzero(stratum == s) for s in range(int(stratum.max()) + 1)]
    rng = np.random.default_rng(seed)
    for start in range(0, repeats, chunk):
        size = min(chunk, repeats - start)
        counts = np.empty((len(stratum), size), dtype=np.int64)
        for images in members:
            drawn = rng.integers(len(images), size=(len(images), size))
            flat = drawn * size + np.arange(size)
            counts[images] = np.bincount(flat.ravel(), minlength=len(images) * size).reshape(
                len(images), size
            )
        yield narrowed(counts)


def narrowed(drawn: NDArray[np.integer]) -> Counts:
    """Numbers from 0 in as few bytes as they need, read-only."""
    small = drawn.astype(np.min_scalar_type(int(drawn.max(initial=0))))
    small.flags.writeable = False
    return small


def strata_means(values: ArrayLike, strata: ArrayLike, seed: int, repeats: int = REPEATS) -> Floats:
    """Bootstrap draws of the mean of `values` in each stratum, without drawing single images.

    Where values repeat (right and wrong, say) the number of times each is drawn is multinomial,
    which costs the same for ten images and for ten thousand.

    Args:
        values: Shape (N,).
        strata: Shape (N,), the source of each image.
        seed: Seed of the resampling.
        repeats: Number of resamples R.

    Returns:
        Shape (R, S), the strata in sorted order.

    >>> draws = strata_means([1, 0, 1, 1], [0, 0, 1, 1], 0, 500)
    >>> draws.shape, bool(abs(draws[:, 0].mean() - 0.5) < 0.05), float(draws[:, 1].min())
    ((500, 2), True, 1.0)
    """
    array = np.asarray(values, dtype=np.float64)
    keys = np.asarray(strata)
    split = [np.unique(array[keys == key], return_counts=True) for key in np.unique(keys)]
    counts = [count for _, count in split]
    different = sum(len(count) for count in counts)
    drawn: Iterable[NDArray[np.integer]]
    if _MANY * len(counts) <= different <= KEPT // repeats:
        drawn = _kept_multinomials(tuple(c.tobytes() for c in counts), seed, repeats)
    else:
        drawn = _multinomials(counts, seed, repeats)
    columns = [
        times @ levels / int(count.sum())
        for times, (levels, count) in zip(drawn, split, strict=True)
    ]
    return np.stack(columns, axis=1)


@lru_cache(maxsize=4)
def _kept_multinomials(counts: tuple[bytes, ...], seed: int, repeats: int) -> tuple[Counts, ...]:
    read = [np.frombuffer(count, np.intp) for count in counts]
    return tuple(narrowed(drawn) for drawn in _multinomials(read, seed, repeats))


def _multinomials(
    counts: Sequence[NDArray[np.intp]], seed: int, repeats: int
) -> Iterator[NDArray[np.integer]]:
    """How often each value of each stratum is drawn, shape (R, values), a stratum at a time."""
    rng = np.random.default_rng(seed)
    for count in counts:
        size = int(count.sum())
        yield rng.multinomial(size, count / size, size=repeats)


def macro_weights(classes: ArrayLike, strata: ArrayLike) -> Floats:
    """Weight of each stratum's mean in the mean over classes of the means of their images.

    Args:
        classes: Shape (N,), what is averaged with equal weight, e.g. families.
        strata: Shape (N,), what is resampled, e.g. sources; each lies within one class.

    Returns:
        Shape (S,), summing to 1, the strata in sorted order.

    Raises:
        ValueError: If a stratum reaches over two classes.

    >>> macro_weights(["GAN", "GAN", "GAN", "VAE"], ["a", "a", "b", "c"]).round(3).tolist()
    [0.333, 0.167, 0.5]
    """
    names, members = np.unique(np.asarray(classes), return_inverse=True)
    keys, stratum = np.unique(np.asarray(strata), return_inverse=True)
    table = np.zeros((len(keys), len(names)))
    np.add.at(table, (stratum, members), 1.0)
    if (np.count_nonzero(table, axis=1) != 1).any():
        raise ValueError("a stratum reaches over two classes")
    weights: Floats = (table / table.sum(axis=0)).sum(axis=1) / len(names)
    return weights


def macro_mean_interval(
    values: ArrayLike,
    classes: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    seed: int = 0,
    repeats: int = REPEATS,
) -> tuple[float, float, float]:
    """Mean over classes of the mean of `values`, with its bootstrap interval.

    Args:
        values: Shape (N,), one number an image, e.g. 1 where it was attributed correctly.
        classes: Shape (N,), averaged with equal weight.
        strata: Shape (N,), resampled within; by default the classes.
        seed: Seed of the resampling.
        repeats: Number of resamples.

    Returns:
        Value, lower and upper end. Values that lie all at 0 or all at 1 get the exact binomial
        limit of `unseen_rate` at their far end instead of an interval of no length.

    Raises:
        NotComputable: If a stratum has fewer than two images.

    >>> value, low, high = macro_mean_interval([1, 1, 1, 0] * 50, [0, 0, 1, 1] * 50)
    >>> value, bool(0.68 < low < 0.72), bool(0.78 < high < 0.82)
    (0.75, True, True)
    """
    array = np.asarray(values, dtype=np.float64)
    keys = np.asarray(classes if strata is None else strata)
    names, sizes = np.unique(keys, return_counts=True)
    if sizes.min() < 2:
        raise NotComputable(f"Source {names[sizes.argmin()]} has one image; two are needed.")
    weights = macro_weights(classes, keys)
    means = np.array([array[keys == name].mean() for name in names])
    value = float(weights @ means)
    low, high = percentile_interval(strata_means(array, keys, seed, repeats) @ weights)
    # Among all rates within reach the mean moves most where weight per image is largest.
    limit = unseen_rate(float((sizes / weights).min()))
    if (array == 1).all():
        low = 1 - limit
    if (array == 0).all():
        high = limit
    return value, low, high
