"""The images that a job is given: a dataset's splits or folds, fewer images of them, or sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpbench.datasets.cache import mapped, release
from fpbench.datasets.dataset import GMDataset
from fpbench.datasets.layout import LABELLED_SPLITS
from fpbench.datasets.splitting import divide
from fpbench.errors import BadInput, suggest
from fpbench.images import ImageSet, select_across
from fpbench.runs.job import BLOCKS, FOLDING, Job


@dataclass(frozen=True)
class Splits:
    """The four image sets of one job."""

    reference: ImageSet
    train: ImageSet
    validation: ImageSet
    test: ImageSet


def assign_folds(labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each image, stratified: the folds of one source differ in size by at most one.

    It splits what belongs together; only jobs of before there were blocks are assigned so.

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


def assign_grouped_folds(
    labels: NDArray[np.int64], groups: Sequence[str], folds: int, seed: int
) -> NDArray[np.int64]:
    """Fold of each image such that no group is in two folds, as even by source as groups allow.

    Args:
        labels: Sources of shape (N,).
        groups: Names of the groups of N images; images with an empty one stand alone.
        folds: Number of folds.
        seed: Seed of the assignment.
    """
    members = {str(source): np.flatnonzero(labels == source) for source in np.unique(labels)}
    names = {source: [groups[p] for p in own.tolist()] for source, own in members.items()}
    goal = {source: len(own) / folds for source, own in members.items()}
    parts = divide(names, {str(fold): goal for fold in range(folds)}, seed)
    assigned = np.empty(len(labels), np.int64)
    for source, by_fold in parts.items():
        for fold, chosen in by_fold.items():
            assigned[members[source][chosen]] = int(fold)
    return assigned


def regions_of(ids: Sequence[str]) -> list[str]:
    """Groups of images that no dataset names: crops of one region of a photograph.

    Args:
        ids: Ids of N images.

    Returns:
        The region of each crop (see `region_of`); empty for an image that stands alone.
    """
    from fpbench.datasets.origins.photographs import region_of

    return [region_of(name) or "" for name in ids]


def _groups_of(dataset: GMDataset) -> list[str]:
    """Groups of the images of train, validation and test, in this order."""
    if dataset.groups:
        return [name for split in LABELLED_SPLITS for name in dataset.groups[split]]
    parts = (dataset.train, dataset.validation, dataset.test)
    return regions_of([name for part in parts for name in part.ids.tolist()])


def splits_of_job(dataset: GMDataset, job: Job) -> Splits:
    """The splits that a job is given before its limits.

    Raises:
        BadInput: As `splits_of`.
    """
    return splits_of(dataset, job.fold, job.folds, by_block=job.settings.get(FOLDING) == BLOCKS)


def limit_splits(
    splits: Splits, train_images: int | None, reference_images: int | None, seed: int
) -> Splits:
    """The same splits with fewer training or reference images; of two sizes, one holds the other.

    Args:
        splits: All images.
        train_images: Training images kept of each source, or None for all.
        reference_images: Reference images kept, or None for all.
        seed: Seed of the choice.

    Raises:
        BadInput: If there are fewer than asked for.
    """
    train, reference = splits.train, splits.reference
    rng = np.random.default_rng(seed)
    if train_images is not None:
        members = [np.flatnonzero(train.labels == k) for k in range(len(train.sources))]
        fewest = min(len(own) for own in members)
        if not 1 <= train_images <= fewest:
            raise BadInput(
                f"{train_images} training images a source are not possible; there are {fewest}."
            )
        kept = [rng.permutation(own)[:train_images] for own in members]
        train = train.select(np.sort(np.concatenate(kept)))
    if reference_images is not None:
        if not 1 <= reference_images <= len(reference):
            raise BadInput(
                f"{reference_images} reference images are not possible; there are {len(reference)}."
            )
        # A generator of its own, so that limits on training images do not change the choice.
        order = np.random.default_rng([seed, 1]).permutation(len(reference))
        reference = reference.select(np.sort(order[:reference_images]))
    return Splits(reference, train, splits.validation, splits.test)


def splits_of(
    dataset: GMDataset, fold: int | None, folds: int | None, *, by_block: bool = True
) -> Splits:
    """The dataset's own splits, or those of one fold.

    With folds, the images of train, validation and test are pooled and assigned to folds once
    per dataset (whatever the job's seed, so that methods and seeds are compared on the same
    images): fold `fold` is the test set, the next one the validation set, the others train. No
    group of images is in two folds. The reference set stays. Large sets are memory-mapped as the
    dataset's own splits are.

    Args:
        dataset: The dataset.
        fold: Which fold is tested, or None for the dataset's own splits.
        folds: Their number, or None.
        by_block: Whether crops of one region of a photograph are a group where the dataset names
            none, else single images are assigned.

    Raises:
        BadInput: If a source has fewer images than folds, or groups cannot be put into folds.
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
    if dataset.groups or by_block:
        assigned = assign_grouped_folds(labels, _groups_of(dataset), folds, seed=0)
        emptiest = min(
            int(np.bincount(labels[assigned == k], minlength=len(dataset.sources)).min())
            for k in range(folds)
        )
        if emptiest < 1:
            raise BadInput(
                f"--folds {folds} is not possible on {dataset.identity.name}: its groups of images "
                "are too few or too unequal to give every fold images of every source; use fewer "
                "folds."
            )
    else:
        assigned = assign_folds(labels, folds, seed=0)
    validation = (fold + 1) % folds
    sets = [
        select_across(parts, chosen, mapped)
        for chosen in (
            (assigned != fold) & (assigned != validation),
            assigned == validation,
            assigned == fold,
        )
    ]
    for part in parts:
        release(part.pixels)
    return Splits(dataset.reference, *sets)


def restrict_sources(images: ImageSet, names: Sequence[str], dataset: str) -> ImageSet:
    """The images of Real and of the named generators, labels counted anew; all if none is named.

    Raises:
        BadInput: If the dataset has no such generator.
    """
    if not names:
        return images
    known = [source.name for source in images.sources if not source.is_real]
    for name in names:
        if name not in known:
            raise BadInput(f"{dataset} has no generator {name!r}. {suggest(name, known)}")
    kept = [k for k, s in enumerate(images.sources) if s.is_real or s.name in names]
    chosen = np.flatnonzero(np.isin(images.labels, kept))
    return ImageSet(
        images.pixels[chosen],
        [images.sources[k] for k in kept],
        np.searchsorted(kept, images.labels[chosen]),
        images.ids[chosen].tolist(),
    )
