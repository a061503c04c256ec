"""Builds a GM dataset from its recipe, one source after the other, resumable after a kill."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets import quality
from fpbench.datasets.card import (
    read_front_matter,
    read_recipe,
    read_sources,
    write_sources,
    zoo_entry,
)
from fpbench.datasets.card_text import put_section, sources_section
from fpbench.datasets.equalise import equalised
from fpbench.datasets.external import write_list
from fpbench.datasets.finished import Finished, finished_before, manifest_of, remove_strangers
from fpbench.datasets.layout import (
    LABELLED_SPLITS,
    MANIFEST,
    README,
    RECIPE,
    SOURCES,
    SPLITS,
    file_digest,
    shard_path,
    write_json,
    write_shard,
)
from fpbench.datasets.origins import Workplace, draw_diffusers, draw_files, draw_zoo
from fpbench.datasets.realimages import RealImages, gather
from fpbench.errors import BadInput, suggest
from fpbench.images import REAL
from fpbench.registry import card_folders

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.schema import Recipe, SourceEntry
    from fpbench.method import Progress

WORK = ".build"
"""Folder within a built dataset for checkpoints and finished sources; never shared."""

# Raised when building changes what it writes, so that finished sources are not taken over.
_FORMAT = 1


def card_folder(name_or_folder: str | Path) -> Path:
    """The folder of a card, by its name or as it is.

    Raises:
        BadInput: If there is no such card.
    """
    cards = card_folders()
    if str(name_or_folder) in cards:
        return cards[str(name_or_folder)]
    folder = Path(name_or_folder).expanduser()
    if (folder / RECIPE).is_file():
        return folder
    raise BadInput(
        f"There is no dataset card {str(name_or_folder)!r}. "
        f"{suggest(str(name_or_folder), cards)} Or pass a folder that holds a {RECIPE}."
    )


def build(
    name_or_folder: str | Path,
    out: Path,
    *,
    sources: Sequence[str] | None = None,
    recipe_file: str = RECIPE,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Build a dataset, or finish a build that was stopped.

    Every source is made once: what is complete in `out` and was made from the same recipe is
    kept. The manifest is written last; without it nothing takes the folder for a dataset.

    Args:
        name_or_folder: Name of a card, or a folder with recipe.yaml, sources.yaml and README.md.
        out: Folder to build in; may be the card's own.
        sources: Generators to build, or None for all that can be built.
        recipe_file: Another recipe of the same card, e.g. ``recipe-two.yaml``.
        device: A torch device to train and sample on.
        progress: Called as ``progress(what, done, total)``.

    Returns:
        `out`.

    Raises:
        BadInput: If the recipe is wrong, an origin cannot be had, or the disk is full.
    """
    card = card_folder(name_or_folder)
    if not (card / recipe_file).is_file():
        there = ", ".join(path.name for path in sorted(card.glob("recipe*.yaml")))
        raise BadInput(f"The card {card} has no recipe {recipe_file!r}, only {there}.")
    recipe = read_recipe(card, recipe_file)
    if recipe.real is None:
        raise BadInput(f"Dataset {recipe.name!r} is made on the fly; there is nothing to build.")
    chosen = _chosen(recipe, sources, card)
    read_front_matter(card)
    with _told_where(out):
        work = out / WORK
        work.mkdir(parents=True, exist_ok=True)
        (work / ".gitignore").write_text("*\n", "utf-8")
        finished = finished_before(out, work)
        (out / MANIFEST).unlink(missing_ok=True)
        _copy_card(card, out, recipe_file)
        write_sources(out / SOURCES, _described(recipe, read_sources(card)))
        builder = _Builder(recipe, card, out, work, device, progress, finished)
        records = {REAL: builder.real()}
        for name in chosen:
            records[name] = builder.generator(name)
        remove_strangers(out, records)
        manifest = manifest_of(recipe, records)
        if manifest["external"]:
            write_list(out)
        put_section(out, "sources", sources_section(recipe, read_sources(out), manifest))
        write_json(out / MANIFEST, manifest)
    return out


def _chosen(recipe: Recipe, sources: Sequence[str] | None, card: Path) -> list[str]:
    """Generators to build, in the order of the recipe."""
    described = read_sources(card)
    for name in [REAL, *recipe.sources]:
        if name not in described:
            raise BadInput(
                f"{card / SOURCES} does not describe the source {name!r} of {RECIPE}; add its "
                "family, architecture and design."
            )
    available = [name for name, origin in recipe.sources.items() if origin.kind != "unavailable"]
    if sources is None:
        return available
    for name in sources:
        if name not in recipe.sources:
            raise BadInput(
                f"Dataset {recipe.name!r} has no source {name!r}. {suggest(name, available)}"
            )
        origin = recipe.sources[name]
        if origin.kind == "unavailable":
            raise BadInput(f"Source {name!r} cannot be built: {origin.reason}")
    return [name for name in available if name in sources]


@contextmanager
def _told_where(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kept = "Sources that are complete are kept; run the same command again."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BadInput(
                f"The disk is full while building in {out} ({error.filename or 'no file'}): free "
                f"some space. {kept}"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR):
            raise BadInput(
                f"{error.filename or out} cannot be written ({error.strerror}); build into another "
                "folder."
            ) from error
        raise


def _copy_card(card: Path, out: Path, recipe_file: str) -> None:
    if card.resolve() == out.resolve():
        if recipe_file != RECIPE:
            raise BadInput(
                f"{recipe_file} cannot be built in the card's own folder, which belongs to "
                f"{RECIPE}; build into another folder."
            )
        return
    shutil.copyfile(card / README, out / README)
    shutil.copyfile(card / recipe_file, out / RECIPE)


def _described(recipe: Recipe, entries: dict[str, SourceEntry]) -> dict[str, SourceEntry]:
    """Entries of the recipe's sources, those of the zoo as its table has them today."""
    described = {REAL: entries[REAL]}
    for name, origin in recipe.sources.items():
        entry = entries[name]
        if origin.kind == "zoo":
            row = zoo_entry(origin.model)
            # The card may say more than the row.
            entry = row if not entry.summary.startswith(row.summary) else entry
            entry = entry.model_copy(update={"design": row.design, "family": row.family})
        described[name] = entry
    return described


class _Builder:
    """The steps of one build."""

    def __init__(
        self,
        recipe: Recipe,
        card: Path,
        out: Path,
        work: Path,
        device: str,
        progress: Progress | None,
        finished: dict[str, Finished],
    ) -> None:
        self._recipe = recipe
        self._card = card
        self._out = out
        self._work = work
        self._device = device
        self._progress = progress
        self._finished = finished
        self._real_images: RealImages | None = None
        self._real_key = ""

    def _key(self, *parts: Any) -> str:
        recipe = self._recipe
        equalise = recipe.equalise.model_dump() if recipe.equalise else None
        text = json.dumps([_FORMAT, recipe.size, equalise, *parts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _complete(self, name: str, key: str) -> Finished | None:
        record = self._finished.get(name)
        if record is None or record.key != key:
            return None
        return record if record.is_whole(self._out) else None

    def _images(self) -> RealImages:
        if self._real_images is None:
            self._real_images = gather(self._recipe, self._card, self._work, self._progress)
        return self._real_images

    def real(self) -> Finished:
        """The real images, in all four splits."""
        recipe = self._recipe
        assert recipe.real is not None  # noqa: S101
        key = self._key(recipe.real.model_dump(), recipe.counts.model_dump(), recipe.seed)
        self._real_key = key
        record = self._complete(REAL, key)
        if record is None:
            images = self._images()
            record = self._write(REAL, key, images.batches, dict(images.facts), SPLITS)
        return record

    def generator(self, name: str) -> Finished:
        """The images of one generator, in train, validation and test."""
        recipe = self._recipe
        origin = recipe.sources[name]
        counts = [getattr(recipe.counts, split) for split in LABELLED_SPLITS]
        # What a row of the zoo's table says belongs to what its images depend on.
        trained_on = [self._real_key, _row(origin.model)] if origin.kind == "zoo" else []
        description = origin.model_dump()
        key = self._key(name, description, counts, trained_on)
        record = self._complete(name, key)
        if record is not None:
            return record
        facts: dict[str, Any] = {"origin": origin.kind}
        # A longer training goes on from the checkpoint of a shorter one; anything else does not.
        limits = {"minutes", "steps"} if origin.kind == "zoo" else set()
        lasting = {field: value for field, value in description.items() if field not in limits}
        checkpoint = self._key(name, lasting, trained_on)
        training = self._images().training() if origin.kind == "zoo" else _NO_IMAGES
        at = Workplace(
            self._card, self._work, recipe.raw_size, training, self._device, self._progress
        )
        total = sum(counts)
        if origin.kind == "zoo":
            drawn = draw_zoo(origin, name, checkpoint, total, at, facts)
        elif origin.kind == "diffusers":
            drawn = draw_diffusers(origin, name, total, at, facts)
        elif origin.kind in ("parquet", "folder"):
            drawn = draw_files(origin, name, total, at, facts)  # type: ignore[arg-type]
        else:
            raise BadInput(f"Source {name!r}: a generator cannot have the origin {origin.kind}.")
        cursor = _Cursor(drawn)

        def batches(split: str) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
            start = 0
            for part in cursor.take(getattr(recipe.counts, split)):
                ids = [f"{name}-{split}-{start + index:05d}" for index in range(len(part))]
                yield ids, part
                start += len(part)

        return self._write(name, key, batches, facts, LABELLED_SPLITS)

    def _write(
        self,
        name: str,
        key: str,
        batches: Callable[[str], Iterator[tuple[list[str], NDArray[np.uint8]]]],
        facts: dict[str, Any],
        splits: Sequence[str],
    ) -> Finished:
        small: dict[str, list[NDArray[np.float32]]] = {split: [] for split in splits}
        sheet: list[NDArray[np.uint8]] = []
        record = Finished(key, {}, {}, {}, facts)

        def seen(split: str) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
            for ids, pixels in batches(split):
                ready = equalised(pixels, self._recipe.equalise)
                small[split].append(quality.thumbnails(ready))
                if split == "train" and sum(map(len, sheet)) < 36:
                    sheet.append(ready[:36].copy())
                yield ids, ready

        for split in splits:
            path = shard_path(split, name)
            images, content = write_shard(self._out / path, name, seen(split))
            expected = getattr(self._recipe.counts, split)
            if images != expected:
                raise BadInput(
                    f"Source {name!r} gave {images} images for the split {split}, but the recipe's "
                    f"counts.{split} is {expected}."
                )
            file = self._out / path
            record.counts[split] = images
            record.content[split] = content
            record.files[path] = {
                "sha256": file_digest(file),
                "size": file.stat().st_size,
                "images": images,
            }
        quality.contact_sheet(np.concatenate(sheet), self._out / "contact" / f"{name}.png")
        features, reference = self._reference(name, small)
        drawn = np.concatenate([part for split in LABELLED_SPLITS for part in small[split]])
        record.quality.update(quality.quality(features, reference, drawn))
        if name == REAL:
            record.facts["yardsticks"] = quality.yardsticks(features, reference, len(drawn))
        record.save(name, self._work)
        self._finished[name] = record
        return record

    def _reference(
        self, name: str, small: dict[str, list[NDArray[np.float32]]]
    ) -> tuple[quality.PixelFeatures, NDArray[np.float32]]:
        """Thumbnails of the real reference images, and the features fitted to them."""
        path = self._work / f"thumbnails-{self._real_key[:8]}.npy"
        if name == REAL:
            reference = np.concatenate(small["reference"])
            np.save(path, reference)
        elif path.is_file():
            reference = np.load(path)
        else:
            parts = [
                quality.thumbnails(equalised(pixels, self._recipe.equalise))
                for _, pixels in self._images().batches("reference")
            ]
            reference = np.concatenate(parts)
        return quality.PixelFeatures(reference), reference


def _row(model: str) -> dict[str, Any]:
    from fpbench.zoo.table import model as find

    return find(model).hyperparameters()


_NO_IMAGES = np.zeros((0, 1, 1, 3), np.uint8)


class _Cursor:
    """Takes numbers of images out of batches of any size."""

    def __init__(self, batches: Iterator[NDArray[np.uint8]]) -> None:
        self._batches = batches
        self._rest = _NO_IMAGES

    def take(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """The next `count` images, or as many as are left."""
        while count > 0:
            if len(self._rest) == 0:
                following = next(self._batches, None)
                if following is None:
                    return
                self._rest = following
            part, self._rest = self._rest[:count], self._rest[count:]
            count -= len(part)
            yield part
