"""The real images of a recipe: those the generators are trained on, and others of their kind."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.layout import LABELLED_SPLITS, write_json
from fpbench.datasets.origins.origin import Origin, RealImages
from fpbench.datasets.origins.reading import ImageFiles
from fpbench.errors import BadInput
from fpbench.files import parse_json, read_limited, writing_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.schema import Recipe
    from fpbench.method import Progress

_BATCH = 64
# Chosen beyond the number wanted, to make up for images that are in the pool twice.
_SPARE = 0.02


def gather(
    recipe: Recipe,
    card: Path,
    work: Path,
    progress: Progress | None,
    *,
    offline: bool = False,
) -> RealImages:
    """Choose the real images of every split by the recipe's seed.

    Args:
        recipe: The recipe; it has a field `real`.
        card: Folder that relative paths start from.
        work: Folder for pools of decoded images.
        progress: Called as ``progress(what, done, total)``.
        offline: Whether the Hub may not be asked.

    Raises:
        BadInput: If an origin is not available or holds too few different images.
    """
    assert recipe.real is not None  # noqa: S101
    seen, unseen = recipe.real.seen, recipe.real.unseen
    counts = recipe.counts
    whole = seen.real_images(counts, recipe.seed, recipe.raw_size)
    if whole is not None:
        return whole
    training = max(counts.training or 0, counts.reference)
    others = counts.train + counts.validation + counts.test
    pools = _Pools(recipe, card, work, progress, offline)
    first = pools.choose("seen", seen, training if unseen is not None else training + others)
    second = first.after(training) if unseen is None else pools.choose("unseen", unseen, others)
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


class _Pools:
    """Chooses real images of the origins of one recipe, none twice."""

    def __init__(
        self, recipe: Recipe, card: Path, work: Path, progress: Progress | None, offline: bool
    ) -> None:
        self._recipe = recipe
        self._card = card
        self._work = work
        self._progress = progress
        self._offline = offline
        self._hashes: set[bytes] = set()

    def choose(self, field: str, origin: Origin, wanted: int) -> _Pool:
        """`wanted` different images of an origin, in an order given by the recipe's seed."""
        recipe, size = self._recipe, self._recipe.raw_size
        files = origin.image_files(self._card, size, offline=self._offline, progress=self._progress)
        # The recipe is refused else.
        assert files is not None  # noqa: S101
        order = np.random.default_rng([recipe.seed, *field.encode()]).permutation(files.total)
        order = order[: int(np.ceil(wanted * (1 + _SPARE))) + 8]
        rank = {int(position): index for index, position in enumerate(order)}
        stamps = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files.paths]
        text = f"{size} {recipe.seed} {origin.model_dump_json()} {len(order)} {stamps}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        target = self._work / f"{field}-{digest[:12]}.pool"
        if not target.is_file() or not target.with_suffix(".json").is_file():
            _decode_pool(files, rank, size, target, f"read {field}", self._progress)
        kept: list[int] = []
        for start in range(0, len(order), _BATCH):
            part = np.arange(start, min(start + _BATCH, len(order)))
            for index, image in zip(part.tolist(), _read_rows(target, size, part), strict=True):
                own = hashlib.blake2b(image.data, digest_size=16).digest()
                if own not in self._hashes and len(kept) < wanted:
                    self._hashes.add(own)
                    kept.append(index)
        if len(kept) < wanted:
            raise BadInput(
                f"Recipe {recipe.name!r} needs {wanted} different images from real.{field}, but "
                f"{files.name} has {len(kept)}; lower counts."
            )
        ids = [f"{files.name}-{order[index]:06d}" for index in kept]
        listed = target.with_suffix(".json")
        kinds = parse_json(read_limited(listed, "list of kinds"), listed, "list of kinds")
        return _Pool(target, size, np.asarray(kept), ids, Counter(kinds))


def _decode_pool(
    files: ImageFiles,
    rank: dict[int, int],
    size: int,
    target: Path,
    what: str,
    progress: Progress | None,
) -> None:
    """Write the images at positions `rank` maps to rows, in the order of the files."""
    with writing_file(target) as temporary, temporary.open("wb") as stream:
        for done, (position, image) in enumerate(files.read(sorted(rank)), start=1):
            stream.seek(rank[position] * 3 * size * size)
            stream.write(np.ascontiguousarray(image).data)
            if progress is not None and (done % 100 == 0 or done == len(rank)):
                progress(what, done, len(rank))
    write_json(target.with_suffix(".json"), files.kinds)
