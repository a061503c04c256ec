"""The real images of a recipe: those the generators are trained on, and others of their kind."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets.layout import LABELLED_SPLITS, replacing, write_json
from fpbench.datasets.origins import ImageFiles
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.origin_schema import Origin
    from fpbench.datasets.schema import Recipe
    from fpbench.method import Progress

_BATCH = 64
# Chosen beyond the number wanted, to make up for images that are in the pool twice.
_SPARE = 0.02


@dataclass(frozen=True)
class RealImages:
    """Real images by split, and those to train on.

    Attributes:
        batches: Called with a split; yields ids and pixels, never all at once.
        training: Returns the images (N, S, S, 3) that generators are trained on.
        facts: What is known of them.
    """

    batches: Callable[[str], Iterator[tuple[list[str], NDArray[np.uint8]]]]
    training: Callable[[], NDArray[np.uint8]]
    facts: dict[str, Any]


def gather(recipe: Recipe, card: Path, work: Path, progress: Progress | None) -> RealImages:
    """Choose the real images of every split by the recipe's seed.

    Args:
        recipe: The recipe; it has a field `real`.
        card: Folder that relative paths start from.
        work: Folder for pools of decoded images.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        BadInput: If an origin cannot be had or holds too few different images.
    """
    assert recipe.real is not None  # noqa: S101
    if recipe.real.seen.kind == "photographs":
        return _photographs(recipe)
    counts = recipe.counts
    training = max(counts.training or 0, counts.reference)
    others = counts.train + counts.validation + counts.test
    seen, unseen = recipe.real.seen, recipe.real.unseen
    seen_hashes: set[bytes] = set()
    wanted = training if unseen is not None else training + others
    first = _pool(seen, "seen", recipe, wanted, card, work, seen_hashes, progress)
    second = (
        first.after(training)
        if unseen is None
        else _pool(unseen, "unseen", recipe, others, card, work, seen_hashes, progress)
    )
    starts = {"reference": 0, "train": 0, "validation": counts.train}
    starts["test"] = counts.train + counts.validation

    def batches(split: str) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
        pool = second if split in LABELLED_SPLITS else first
        stop = starts[split] + getattr(counts, split)
        for start in range(starts[split], stop, _BATCH):
            yield pool.slice(start, min(stop, start + _BATCH))

    kinds = first.kinds if second.kinds == first.kinds else first.kinds + second.kinds
    facts = {"origin": seen.kind, "training_images": training, "files": kinds}
    return RealImages(batches, lambda: first.slice(0, training)[1], facts)


def _photographs(recipe: Recipe) -> RealImages:
    from fpbench.datasets import photographs

    if recipe.raw_size != photographs.CROP:
        raise BadInput(
            f"Crops of photographs are {photographs.CROP} pixels wide, but the recipe's size is "
            f"{recipe.size}; set size to {photographs.CROP}."
        )
    counts = {split: getattr(recipe.counts, split) for split in ("reference", *LABELLED_SPLITS)}
    chosen = photographs.choose(counts, recipe.seed)

    def batches(split: str) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
        crops = chosen[split]
        yield [crop.id for crop in crops], photographs.cut(crops)

    facts = {
        "origin": "photographs",
        "photographs": {
            entry.name: {"licence": entry.licence, "by": entry.origin, "reduced": entry.reduce}
            for entry in photographs.PHOTOGRAPHS
        },
    }
    return RealImages(batches, lambda: photographs.cut(chosen["reference"]), facts)


@dataclass(frozen=True)
class _Pool:
    """Rows of a file of equal-sized images, in order, with an id each.

    The file is read and not mapped: mapped pages would count as memory of this process.
    """

    path: Path
    size: int
    rows: NDArray[np.int64]
    ids: list[str]
    kinds: Counter[str]

    def slice(self, start: int, stop: int) -> tuple[list[str], NDArray[np.uint8]]:
        """Ids and pixels of some rows."""
        return self.ids[start:stop], _read_rows(self.path, self.size, self.rows[start:stop])

    def after(self, start: int) -> _Pool:
        """The pool without its first rows."""
        return replace(self, rows=self.rows[start:], ids=self.ids[start:])


def _read_rows(path: Path, size: int, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    pixels = np.empty((len(rows), size, size, 3), np.uint8)
    with path.open("rb", buffering=0) as stream:
        for image, row in zip(pixels, rows.tolist(), strict=True):
            stream.seek(row * image.nbytes)
            # A file that was cut short would otherwise leave what was in memory before.
            if stream.readinto(image.data) != image.nbytes:
                raise BadInput(f"{path} is torn; remove it and build again.")
    return pixels


def _pool(
    origin: Origin,
    field: str,
    recipe: Recipe,
    wanted: int,
    card: Path,
    work: Path,
    hashes: set[bytes],
    progress: Progress | None,
) -> _Pool:
    """Choose `wanted` different images of an origin, in an order given by the recipe's seed."""
    if origin.kind not in ("parquet", "folder"):
        raise BadInput(
            f"Recipe {recipe.name!r}: field real.{field}.kind is {origin.kind!r}, which has no "
            "real images; use parquet, folder or photographs."
        )
    files = ImageFiles(origin, card, recipe.raw_size)  # type: ignore[arg-type]
    order = np.random.default_rng([recipe.seed, *field.encode()]).permutation(files.total)
    order = order[: int(np.ceil(wanted * (1 + _SPARE))) + 8]
    rank = {int(position): index for index, position in enumerate(order)}
    size = recipe.raw_size
    stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files.paths]
    text = f"{size} {recipe.seed} {origin.model_dump_json()} {len(order)} {stamps}"
    target = work / f"{field}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.pool"
    if not target.is_file() or not target.with_suffix(".json").is_file():
        _decode_pool(files, rank, size, target, f"read {field}", progress)
    kept: list[int] = []
    for start in range(0, len(order), _BATCH):
        part = np.arange(start, min(start + _BATCH, len(order)))
        for index, image in zip(part.tolist(), _read_rows(target, size, part), strict=True):
            digest = hashlib.blake2b(image.data, digest_size=16).digest()
            if digest not in hashes and len(kept) < wanted:
                hashes.add(digest)
                kept.append(index)
    if len(kept) < wanted:
        raise BadInput(
            f"Recipe {recipe.name!r} needs {wanted} different images from real.{field}, but "
            f"{files.name} has {len(kept)}; lower counts."
        )
    ids = [f"{files.name}-{order[index]:06d}" for index in kept]
    kinds = Counter(json.loads(target.with_suffix(".json").read_text("utf-8")))
    return _Pool(target, size, np.asarray(kept), ids, kinds)


def _decode_pool(
    files: ImageFiles,
    rank: dict[int, int],
    size: int,
    target: Path,
    what: str,
    progress: Progress | None,
) -> None:
    """Write the images at positions `rank` maps to rows, in the order of the files."""
    with replacing(target) as temporary, temporary.open("wb") as stream:
        for done, (position, image) in enumerate(files.read(sorted(rank)), start=1):
            stream.seek(rank[position] * 3 * size * size)
            stream.write(np.ascontiguousarray(image).data)
            if progress is not None and (done % 100 == 0 or done == len(rank)):
                progress(what, done, len(rank))
    write_json(target.with_suffix(".json"), files.kinds)
