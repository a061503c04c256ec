"""Transfer: trained on the sources of one GM dataset, tested on those of another.

A classifier knows the sources it was trained on, and the test dataset holds others. Three
questions can be asked, and their scores are never mixed:

* XD-shared: of images whose architecture both datasets hold, which architecture is it?
* XD-family: of all images, which family is it? A family's probability is the sum of its columns.
* XD-disjoint: the same of images whose architecture was not in training, the only question that
  asks about models never seen.

All are averaged over classes (architectures or families) with equal weight, and intervals come
from resampling images within each test source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fpbench.metrics.bootstrap import REPEATS, macro_mean_interval
from fpbench.metrics.predictions import check_predictions, correctness
from fpbench.metrics.score import Floats, Ids, NotComputable, Score

REAL_FAMILY = "Real"

KEYS = ("shared_masked", "shared_unmasked", "family", "disjoint")
"""What `transfer_scores` returns, in this order."""


@dataclass(frozen=True)
class TransferTask:
    """Probabilities over training sources for images of test sources, and who is who.

    Attributes:
        proba: float (N, K), columns in the order of the training sources.
        column_architectures: K names; equal names are one class.
        column_families: K names, ``Real`` for real images.
        image_sources: N names, the test source of each image (what is resampled).
        image_architectures: N names.
        image_families: N names.
        ids: Distinct names of the images, if known.

    Raises:
        ValueError: If shapes do not fit.
    """

    proba: ArrayLike
    column_architectures: Sequence[str]
    column_families: Sequence[str]
    image_sources: Sequence[str] | NDArray[np.str_]
    image_architectures: Sequence[str] | NDArray[np.str_]
    image_families: Sequence[str] | NDArray[np.str_]
    ids: Ids = None

    def __post_init__(self) -> None:
        shape = np.asarray(self.proba).shape
        images = {
            len(self.image_sources),
            len(self.image_architectures),
            len(self.image_families),
        }
        columns = {len(self.column_architectures), len(self.column_families)}
        if len(shape) != 2 or images != {shape[0]} or columns != {shape[1]}:
            raise ValueError(
                f"probabilities of shape {shape} do not fit names of {sorted(images)} images "
                f"and {sorted(columns)} columns"
            )


def shared_score(
    task: TransferTask,
    *,
    masked: bool,
    with_real: bool = False,
    seed: int = 0,
    repeats: int = REPEATS,
) -> Score:
    """XD-shared: accuracy on the architectures that both datasets hold.

    Probabilities of training sources of one architecture are summed. Masked, the highest is
    sought among the S shared architectures, chance 1/S; unmasked, among all A that were trained
    on, chance 1/A.

    Args:
        task: Probabilities and names.
        masked: Whether to leave out the architectures that the test dataset lacks.
        with_real: Whether Real is one of the classes; otherwise its images and columns are
            left out.
        seed: Seed of the resampling.
        repeats: Number of resamples.

    Returns:
        Score; without value if fewer than two architectures are shared.
    """
    return _score(
        task,
        np.asarray(task.column_architectures),
        np.asarray(task.image_architectures),
        with_real,
        masked,
        np.ones(len(task.image_sources), dtype=bool),
        seed,
        repeats,
        "architectures",
    )


def shared_confusion(task: TransferTask) -> tuple[tuple[str, ...], Floats]:
    """Confusion between the architectures that both datasets hold, answers limited to those.

    The mean of the diagonal is the value of `shared_score`, masked and without Real.

    Args:
        task: Probabilities and names.

    Returns:
        S names, and shape (S, S): share of the images of each (rows) that is given each name;
        a tie gives each its part. S is 0 if none is shared.
    """
    columns = np.asarray(task.column_families) != REAL_FAMILY
    rows = np.asarray(task.image_families) != REAL_FAMILY
    trained, tested = np.asarray(task.column_architectures), np.asarray(task.image_architectures)
    shared = np.intersect1d(trained[columns], tested[rows])
    proba = np.asarray(task.proba, dtype=np.float64)
    summed = [proba[:, columns & (trained == name)].sum(axis=1) for name in shared]
    if not summed:
        return (), np.zeros((0, 0))
    stacked = np.stack(summed, axis=1)
    best = stacked == stacked.max(axis=1, keepdims=True)
    given: Floats = best / best.sum(axis=1, keepdims=True)
    found: Floats = np.stack([given[rows & (tested == name)].mean(axis=0) for name in shared])
    return tuple(str(name) for name in shared), found


def family_score(
    task: TransferTask, *, with_real: bool = True, seed: int = 0, repeats: int = REPEATS
) -> Score:
    """XD-family: accuracy on the families that both datasets hold, averaged over families.

    Args:
        task: Probabilities and names.
        with_real: Whether Real is one of the classes.
        seed: Seed of the resampling.
        repeats: Number of resamples.

    Returns:
        Score, chance one over the number of shared families; without value if there are fewer
        than two.
    """
    return _score(
        task,
        np.asarray(task.column_families),
        np.asarray(task.image_families),
        with_real,
        True,
        np.ones(len(task.image_sources), dtype=bool),
        seed,
        repeats,
        "families",
    )


def disjoint_score(
    task: TransferTask, *, with_real: bool = False, seed: int = 0, repeats: int = REPEATS
) -> Score:
    """XD-disjoint: family accuracy on architectures that were not in training.

    The families to choose from are those of `family_score`, which keeps the chance level; the
    average is over those that hold an unseen architecture.

    Args:
        task: Probabilities and names.
        with_real: Whether Real is one of the families to choose from; its images are never
            tested, being no unseen architecture.
        seed: Seed of the resampling.
        repeats: Number of resamples.

    Returns:
        Score; without value if no architecture is new, fewer than two families are shared, or
        the new architectures that can be judged are of one family: naming it always would then
        be right always.
    """
    seen = np.isin(np.asarray(task.image_architectures), np.asarray(task.column_architectures))
    new = ~seen & (np.asarray(task.image_families) != REAL_FAMILY)
    if not new.any():
        return Score.missing("Every architecture of the test dataset was in training.")
    score = _score(
        task,
        np.asarray(task.column_families),
        np.asarray(task.image_families),
        with_real,
        True,
        new,
        seed,
        repeats,
        "families",
    )
    judged = set(np.asarray(task.image_families)[new]) & set(task.column_families)
    if score.value is not None and len(judged) == 1:
        return Score.missing(
            f"All unseen architectures are of one family ({judged.pop()}): naming it always would "
            "be right always.",
            n=score.n,
        )
    return score


def transfer_scores(
    task: TransferTask, *, seed: int = 0, repeats: int = REPEATS
) -> dict[str, Score]:
    """All of `KEYS` with their defaults: Real is a class of ``family`` alone.

    >>> proba = np.repeat([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.5, 0.1, 0.4]], 30, axis=0)
    >>> names = lambda a, b, c: np.repeat([a, b, c], 30)
    >>> task = TransferTask(proba, ["DCGAN", "WGAN", "NVAE"], ["GAN", "GAN", "VAE"],
    ...                     names("x", "y", "z"), names("DCGAN", "NVAE", "PGGAN"),
    ...                     names("GAN", "VAE", "GAN"))
    >>> {key: score.value for key, score in transfer_scores(task).items()}
    {'shared_masked': 1.0, 'shared_unmasked': 1.0, 'family': 1.0, 'disjoint': None}
    """
    return {
        "shared_masked": shared_score(task, masked=True, seed=seed, repeats=repeats),
        "shared_unmasked": shared_score(task, masked=False, seed=seed, repeats=repeats),
        "family": family_score(task, seed=seed, repeats=repeats),
        "disjoint": disjoint_score(task, seed=seed, repeats=repeats),
    }


def closed_set_cap(trained: Sequence[str], tested: Sequence[str], with_real: bool = False) -> float:
    """Highest accuracy that naming the model can reach on all models of the test dataset.

    A classifier can only name what it was trained on: the cap is the share of the tested models
    that were. With Real, both hold it as one model more. Published accuracies above it must
    have been scored on shared models only, or on coarser labels.

    Args:
        trained: Names of the generators trained on, e.g. architectures.
        tested: Names of the generators tested, each counting once.
        with_real: Whether Real counts as one more model of both.

    Raises:
        ValueError: If nothing is tested.

    >>> ours, theirs = [f"m{i}" for i in range(12)], [f"m{i}" for i in range(5, 20)]
    >>> round(closed_set_cap(ours, theirs), 3), round(closed_set_cap(ours, theirs, True), 3)
    (0.467, 0.5)
    """
    if not tested:
        raise ValueError("no model is tested")
    known = sum(name in set(trained) for name in tested)
    return (known + with_real) / (len(tested) + with_real)


def _score(
    task: TransferTask,
    column_names: NDArray[np.str_],
    image_names: NDArray[np.str_],
    with_real: bool,
    masked: bool,
    tested: NDArray[np.bool_],
    seed: int,
    repeats: int,
    what: str,
) -> Score:
    """Accuracy over classes of columns with equal names, on the images named by one of them."""
    images = len(image_names)
    try:
        _, proba = check_predictions(np.zeros(images, dtype=np.int64), task.proba, None, task.ids)
        columns, rows = np.ones(len(column_names), dtype=bool), np.ones(images, dtype=bool)
        if not with_real:
            columns = np.asarray(task.column_families) != REAL_FAMILY
            rows = np.asarray(task.image_families) != REAL_FAMILY
        shared = np.intersect1d(column_names[columns], image_names[rows])
        if len(shared) < 2:
            raise NotComputable(
                f"The datasets share {len(shared)} {what} ({', '.join(shared) or 'none'}); "
                "two are needed."
            )
        classes = shared if masked else np.unique(column_names[columns])
        rows = rows & tested & np.isin(image_names, shared)
        if not rows.any():
            raise NotComputable(f"No tested image is of the shared {what}.")
        summed: Floats = np.stack(
            [proba[:, columns & (column_names == name)].sum(axis=1) for name in classes], axis=1
        )
        hit = correctness(np.searchsorted(classes, image_names[rows]), summed[rows])
        sources = np.asarray(task.image_sources)[rows]
        value, low, high = macro_mean_interval(
            hit, image_names[rows], sources, seed=seed, repeats=repeats
        )
    except NotComputable as reason:
        return Score.missing(str(reason), n=images)
    return Score(value, low, high, n=int(rows.sum()), chance=1 / len(classes))
