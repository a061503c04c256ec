"""K-fold splits of a GM dataset: folds are assigned to images before any bag is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpbench.datasets.load import GMDataset
from fpbench.errors import BadInput
from fpbench.images import ImageSet


@dataclass(frozen=True)
class Splits:
    """The four image sets of one job."""

    reference: ImageSet
    train: ImageSet
    validation: ImageSet
    test: ImageSet


def assign_folds(labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each image, stratified: the folds of one source differ in size by at most one.

    Args:
        labels: Sources of shape (N,).
        folds: Number of folds.
        seed: Seed of the assignment.
    """
    generator = np.random.default_rng(seed)
    assigned = np.empty(len(labels), dtype=np.int64)
    for source in np.unique(labels):
        members = np.flatnonzero(labels == source)
        assigned[generator.permutation(members)] = np.arange(len(members)) % folds
    return assigned


def splits_of(dataset: GMDataset, fold: int | None, folds: int | None) -> Splits:
    """The dataset's own splits, or those of one fold.

    With folds, the images of train, validation and test are pooled and assigned to folds once
    per dataset (whatever the job's seed, so that methods and seeds are compared on the same
    images): fold `fold` is the test set, the next one the validation set, the others train. The
    reference set stays.

    Raises:
        BadInput: If a source has fewer images than folds.
    """
    if fold is None or folds is None:
        return Splits(dataset.reference, dataset.train, dataset.validation, dataset.test)
    parts = (dataset.train, dataset.validation, dataset.test)
    labels = np.concatenate([part.labels for part in parts])
    smallest = int(np.bincount(labels, minlength=len(dataset.sources)).min())
    if folds < 3 or smallest < folds:
        raise BadInput(
            f"--folds {folds} is not possible on {dataset.identity.name}: it takes 3 folds or "
            f"more (train, validation, test), and at most {smallest}, the images of its smallest "
            "source."
        )
    pooled = ImageSet(
        np.concatenate([part.pixels for part in parts]),
        dataset.sources,
        labels,
        np.concatenate([part.ids for part in parts]).tolist(),
    )
    assigned = assign_folds(labels, folds, seed=0)
    validation = (fold + 1) % folds
    return Splits(
        dataset.reference,
        pooled.select((assigned != fold) & (assigned != validation)),
        pooled.select(assigned == validation),
        pooled.select(assigned == fold),
    )
