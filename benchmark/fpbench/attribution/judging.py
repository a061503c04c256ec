"""Judges images of unknown origin by a fitted model, a batch at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.attribution.facts import Warning, warnings_of
from fpbench.attribution.model import FittedModel, load_model
from fpbench.attribution.reading import Refused, Taken, other_size, read_batches
from fpbench.attribution.verdict import BagVerdict, Verdict, kind_of, ranked
from fpbench.compute.shared import SHARED
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.metrics.conformal import BAG_DRAWS, smallest_bag_p_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = str | Path | Sequence[str | Path] | ImageSet | NDArray[np.uint8]

# Values of images that never come again are not kept for long.
_ROOM = 32 << 20

Judged = tuple[Verdict, Taken | None, "NDArray[np.float32] | None"]
"""A verdict, and the image with its probabilities where it was judged."""


def attribute(
    images: Images, model: FittedModel | str | Path, alpha: float = 0.1
) -> Iterator[Verdict]:
    """Which known source made each image: one, several that are possible, or none.

    What is held in memory does not grow with the number of images, but for the names of a
    folder's files.

    Args:
        images: Paths of files or folders, one or several; or pixels, an `ImageSet` or uint8 of
            shape (N, H, W, 3), of whose files nothing is known.
        model: As `load_model` reads it, or its folder.
        alpha: How often the true source may be left out, between 0 and 1.

    Returns:
        An iterator over verdicts, in the order of images, as they are made; one on an image that
        cannot be judged has the reason.

    Raises:
        BadInput: If α is no error, the model cannot be read, or the method cannot judge.
    """
    _check_alpha(alpha)
    read = _read_model(model)
    return (verdict for verdict, _, _ in judge_stream(images, read, alpha))


def attribute_bag(
    images: Images,
    model: FittedModel | str | Path,
    alpha: float = 0.1,
    *,
    seed: int = 0,
    each: Callable[[Verdict, Taken | None], None] | None = None,
) -> BagVerdict:
    """One verdict on images that are all of one source, from the score of the bag.

    Of each image the K probabilities are kept, and nothing else.

    Args:
        images: As for `attribute`.
        model: As there.
        alpha: As there.
        seed: Seed of the subsets that the bag is compared with.
        each: Called with the verdict on each image and what was read, e.g. to show them.

    Raises:
        BadInput: If α is no error, the model cannot be read, or the method cannot judge.
    """
    _check_alpha(alpha)
    model = _read_model(model)
    names = [source.name for source in model.sources]
    rows: list[NDArray[np.float32]] = []
    refused: list[Verdict] = []
    facts: Counter[str] = Counter()
    first: dict[str, Warning] = {}
    for verdict, taken, proba in judge_stream(images, model, alpha):
        if each is not None:
            each(verdict, taken)
        if proba is None:
            refused.append(verdict)
            continue
        rows.append(proba)
        for warning in verdict.warnings:
            facts[warning.kind] += 1
            first.setdefault(warning.kind, warning)
    if not rows:
        return BagVerdict(0, "not judged", (), {}, {}, alpha, refused=tuple(refused))
    proba = np.stack(rows)
    p_values = model.calibration.bag_p_values(proba, seed=seed, draws=BAG_DRAWS)
    sources = ranked(names, p_values, alpha)
    counts = model.calibration.counts.tolist()
    return BagVerdict(
        images=len(rows),
        kind=kind_of(sources),
        sources=sources,
        p_values=dict(zip(names, p_values.tolist(), strict=True)),
        smallest={
            name: smallest_bag_p_value(n, len(rows)) for name, n in zip(names, counts, strict=True)
        },
        alpha=alpha,
        warnings=tuple((first[kind], count) for kind, count in facts.most_common()),
        refused=tuple(refused),
    )


def judge_stream(images: Images, model: FittedModel, alpha: float) -> Iterator[Judged]:
    """Verdicts with the images that they are of, for a page that shows them."""
    with SHARED.holding(_ROOM):
        for batch in _batches(images, model):
            yield from _judge(batch, model, alpha)


def _read_model(model: FittedModel | str | Path) -> FittedModel:
    return load_model(model) if isinstance(model, str | Path) else model


def _check_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise BadInput(f"α = {alpha:g} is no error; give one between 0 and 1, e.g. 0.1.")


def _batches(images: Images, model: FittedModel) -> Iterator[list[Taken | Refused]]:
    if isinstance(images, str | Path):
        images = [images]
    if isinstance(images, np.ndarray):
        images = ImageSet(images)
    if not isinstance(images, ImageSet):
        yield from read_batches(images, model.size, model.batch)
        return
    start = 0
    for pixels in images.batches(model.batch):
        places = images.ids[start : start + len(pixels)].tolist()
        start += len(pixels)
        if images.size == model.size:
            # Pixels alone say nothing of a file's format.
            yield [
                Taken(f"image {p}", x, is_file=False) for p, x in zip(places, pixels, strict=True)
            ]
        else:
            called = [f"image {place}" for place in places]
            yield [Refused(p, other_size(p, images.size, model.size)) for p in called]


def _judge(batch: Iterable[Taken | Refused], model: FittedModel, alpha: float) -> Iterator[Judged]:
    read = list(batch)
    taken = [one for one in read if isinstance(one, Taken)]
    names = [source.name for source in model.sources]
    found: Iterator[Judged] = iter(())
    if taken:
        pixels = np.stack([one.pixels for one in taken])
        proba = model.predict_proba(ImageSet(pixels))
        p_values = model.calibration.p_values(proba)
        facts = warnings_of(model, taken)
        found = iter(
            [
                (_verdict(names, one, p, row, alpha, warnings), one, row)
                for one, p, row, warnings in zip(taken, p_values, proba, facts, strict=True)
            ]
        )
    for one in read:
        if isinstance(one, Refused):
            yield Verdict(one.place, "not judged", reason=one.reason), None, None
        else:
            yield next(found)


def _verdict(
    names: Sequence[str],
    one: Taken,
    p_values: NDArray[np.float64],
    proba: NDArray[np.float32],
    alpha: float,
    warnings: Sequence[Warning],
) -> Verdict:
    sources = ranked(names, p_values, alpha)
    return Verdict(
        place=one.place,
        kind=kind_of(sources),
        sources=sources,
        p_values=dict(zip(names, p_values.tolist(), strict=True)),
        probabilities=dict(zip(names, proba.tolist(), strict=True)),
        warnings=tuple(warnings),
    )
