"""The images of a transfer job: chosen sources, no image on both sides, sizes by a stated rule."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fpbench.datasets.load import GMDataset
from fpbench.errors import BadInput, suggest
from fpbench.images import ImageSet
from fpbench.runs.folds import Splits
from fpbench.runs.transferjob import TransferSpec
from fpbench.runs.transferrecord import SizeRule


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


def enlarge(images: ImageSet, size: tuple[int, int]) -> ImageSet:
    """The same images at another size, each pixel being its nearest neighbour's."""
    if images.size == size:
        return images
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, images.size, strict=True)
    )
    pixels = np.ascontiguousarray(images.pixels[:, rows][:, :, columns])
    labels = images.labels if images.labelled else None
    return ImageSet(pixels, images.sources, labels, images.ids.tolist())


@dataclass(frozen=True)
class Prepared:
    """Image sets of one transfer job, and what was done to have them."""

    splits: Splits
    train_size: tuple[int, int]
    test_size: tuple[int, int]
    size_rule: SizeRule
    left_out: int


def prepare(spec: TransferSpec, source: GMDataset, target: GMDataset) -> Prepared:
    """The image sets of a transfer job: chosen sources, no image on both sides, sizes by rule.

    Raises:
        BadInput: If a named generator does not exist, the reference images do not have the size
            of the training images, or no test image is left.
    """
    train = restrict_sources(source.train, spec.train.sources, spec.train.name)
    validation = restrict_sources(source.validation, spec.train.sources, spec.train.name)
    test = restrict_sources(target.test, spec.test.sources, spec.test.name)
    reference = target.reference if spec.reference == "target" else source.reference
    sizes = train.size, test.size
    seen = set().union(*(_digests(part) for part in (train, validation, reference)))
    fresh = np.array([digest not in seen for digest in _digests(test)], dtype=bool)
    if not fresh.any():
        raise BadInput(
            f"Every test image of {spec.test.title} is also in the training or reference images "
            f"of {spec.train.title}; nothing is left to test."
        )
    left_out = int((~fresh).sum())
    test = test.select(fresh)
    rule: SizeRule = "same"
    if sizes[0] != sizes[1]:
        rule = "nearest" if spec.resize else "native"
    if rule == "nearest":
        size = max(sizes, key=lambda pair: pair[0] * pair[1])
        reference, train, validation, test = (
            enlarge(part, size) for part in (reference, train, validation, test)
        )
    elif reference.size != train.size:
        raise BadInput(
            f"--reference target is not possible here: the reference images of {spec.test.name} "
            f"are {by(reference.size)}, the training images of {spec.train.name} "
            f"{by(train.size)}. Use --reference source, or --resize, which confounds."
        )
    return Prepared(Splits(reference, train, validation, test), *sizes, rule, left_out)


def _digests(images: ImageSet) -> list[bytes]:
    """One digest an image, of its pixels."""
    return [
        hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
        for batch in images.batches(1024)
        for image in batch
    ]


def by(size: tuple[int, int]) -> str:
    """``32x64``: height by width."""
    return f"{size[0]}x{size[1]}"
