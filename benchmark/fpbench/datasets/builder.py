"""Makes the sources of a dataset one after the other; those that are complete are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets import quality
from fpbench.datasets.downloads.fetch import fetch
from fpbench.datasets.equalise import equalised
from fpbench.datasets.finished import CONTACT, Finished
from fpbench.datasets.layout import LABELLED_SPLITS, SPLITS, shard_path, write_shard
from fpbench.datasets.origins.origin import Origin, RealImages, Workplace
from fpbench.datasets.origins.reading import Span
from fpbench.datasets.realimages import gather
from fpbench.errors import BadInput
from fpbench.files import file_sha256, writing_file
from fpbench.images import REAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.downloads.wanted import Wanted
    from fpbench.datasets.schema import Recipe
    from fpbench.method import Progress

# Raised when building changes what it writes, so that finished sources are not taken over.
_FORMAT = 1

_NO_IMAGES = np.zeros((0, 1, 1, 3), np.uint8)


class Builder:
    """The steps of one build.

    Args:
        recipe: The recipe; it has a field `real`.
        card: Folder that relative paths start from.
        out: Folder of the dataset.
        work: Folder for checkpoints and finished sources.
        device: A torch device.
        progress: Called as ``progress(what, done, total)``.
        finished: Sources that earlier builds completed in `out`.
        offline: Whether the Hub may not be asked.
    """

    def __init__(
        self,
        recipe: Recipe,
        card: Path,
        out: Path,
        work: Path,
        *,
        device: str,
        progress: Progress | None,
        finished: dict[str, Finished],
        offline: bool = False,
    ) -> None:
        self._recipe = recipe
        self._card = card
        self._out = out
        self._work = work
        self._device = device
        self._progress = progress
        self._offline = offline
        self._real_images: RealImages | None = None
        assert recipe.real is not None  # noqa: S101
        beside = [part for origin in recipe.real_origins for part in self._read_beside(origin)]
        self._real_key = self._key(
            recipe.real.model_dump(), recipe.counts.model_dump(), recipe.seed, *beside
        )
        self._complete = {
            name: record
            for name, record in finished.items()
            if (name == REAL or name in recipe.sources)
            and record.key == self.key(name)
            and record.is_whole(out)
        }

    def key(self, name: str) -> str:
        """Hash of everything that the images of a source depend on.

        Raises:
            BadInput: If the recipe names something that is not there.
        """
        if name == REAL:
            return self._real_key
        origin = self._recipe.sources[name]
        counts = list(self._counts.values())
        depends = [*origin.depends_on(self._real_key), *self._read_beside(origin)]
        return self._key(name, origin.model_dump(), counts, depends)

    def _read_beside(self, origin: Origin) -> list[str]:
        """Hashes of the files of the card that an origin reads."""
        paths = (self._card / name for name in origin.card_files())
        return [file_sha256(path) for path in paths if path.is_file()]

    def _key(self, *parts: Any) -> str:
        recipe = self._recipe
        equalise = recipe.equalise.model_dump() if recipe.equalise else None
        text = json.dumps([_FORMAT, recipe.size, equalise, *parts], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def check(self, names: Sequence[str]) -> None:
        """Refuse, before anything is written, what cannot be built.

        Args:
            names: The generators.

        Raises:
            BadInput: If an origin is not available or holds too few images, or two sources would
                have the same ones.
        """
        for name in names:
            origin = self._recipe.sources[name]
            if name not in self._complete:
                origin.check(name, self._wanted, self._workplace(name, origin))
        fetch(self.downloads(names), offline=self._offline, progress=self._progress)
        spans = {REAL: self._real_spans()}
        for name in names:
            spans[name] = self._spans(name, self._recipe.sources[name], self._wanted)
        _refuse_shared(spans)

    def downloads(self, names: Sequence[str]) -> list[Wanted]:
        """The files that building will ask for by URL unless they are here, all sources together.

        Args:
            names: The generators.

        Raises:
            BadInput: If a list of files cannot be read, or names too few.
        """
        found: list[Wanted] = []
        if REAL not in self._complete:
            # Which of all images are taken is up to the seed.
            for real in self._recipe.real_origins:
                found += real.downloads(self._card, None, REAL)
        for name in names:
            if name not in self._complete:
                found += self._recipe.sources[name].downloads(self._card, self._counts, name)
        return found

    @property
    def _counts(self) -> dict[str, int]:
        return {split: getattr(self._recipe.counts, split) for split in LABELLED_SPLITS}

    @property
    def _wanted(self) -> int:
        return sum(self._counts.values())

    def _real_spans(self) -> list[Span]:
        # Which of all images are taken is up to the seed.
        return [
            span for origin in self._recipe.real_origins for span in self._spans(REAL, origin, None)
        ]

    def _spans(self, name: str, origin: Origin, count: int | None) -> list[Span]:
        complete = name in self._complete
        try:
            files = origin.image_files(
                self._card, self._recipe.raw_size, offline=self._offline or complete
            )
        except BadInput:
            if complete:
                # Its files are needed no more and may be gone.
                return []
            raise
        return [] if files is None else files.spans(files.total if count is None else count)

    def real(self) -> Finished:
        """The real images, in all four splits.

        Raises:
            BadInput: If they are not available.
        """
        if REAL in self._complete:
            return self._complete[REAL]
        images = self._images()
        return self._write(REAL, images.batches, dict(images.facts), SPLITS)

    def generator(self, name: str) -> Finished:
        """The images of one generator, in train, validation and test.

        Raises:
            BadInput: If they are not available.
        """
        if name in self._complete:
            return self._complete[name]
        recipe = self._recipe
        origin = recipe.sources[name]
        facts: dict[str, Any] = {"origin": origin.kind}
        at = self._workplace(name, origin)
        cursor = _Cursor(origin.draw(name, self._wanted, at, facts))

        def batches(split: str) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
            start = 0
            for part in cursor.take(getattr(recipe.counts, split)):
                ids = [f"{name}-{split}-{start + index:05d}" for index in range(len(part))]
                yield ids, part
                start += len(part)

        return self._write(name, batches, facts, LABELLED_SPLITS)

    def _workplace(self, name: str, origin: Origin) -> Workplace:
        lasting = origin.model_dump(exclude=set(origin.limits))
        return Workplace(
            recipe=self._card,
            scratch=self._work,
            checkpoint=self._key(name, lasting, origin.depends_on(self._real_key)),
            counts=self._counts,
            size=self._recipe.raw_size,
            training=lambda: self._images().training(),
            device=self._device,
            progress=self._progress,
            offline=self._offline,
        )

    def _images(self) -> RealImages:
        if self._real_images is None:
            self._real_images = gather(
                self._recipe, self._card, self._work, self._progress, offline=self._offline
            )
        return self._real_images

    def _write(
        self,
        name: str,
        batches: Callable[[str], Iterator[tuple[list[str], NDArray[np.uint8]]]],
        facts: dict[str, Any],
        splits: Sequence[str],
    ) -> Finished:
        small: dict[str, list[NDArray[np.float32]]] = {split: [] for split in splits}
        sheet: list[NDArray[np.uint8]] = []
        record = Finished(self.key(name), {}, {}, {}, facts)

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
                "sha256": file_sha256(file),
                "size": file.stat().st_size,
                "images": images,
            }
        quality.contact_sheet(np.concatenate(sheet), self._out / CONTACT / f"{name}.png")
        features, reference = self._reference(name, small)
        drawn = np.concatenate([part for split in LABELLED_SPLITS for part in small[split]])
        record.quality.update(quality.quality(features, reference, drawn))
        if name == REAL:
            record.facts["yardsticks"] = quality.yardsticks(features, reference, len(drawn))
        record.save(name, self._work)
        return record

    def _reference(
        self, name: str, small: dict[str, list[NDArray[np.float32]]]
    ) -> tuple[quality.PixelFeatures, NDArray[np.float32]]:
        """Thumbnails of the real reference images, and the features fitted to them."""
        path = self._work / f"thumbnails-{self._real_key[:8]}.npy"
        if name == REAL:
            reference = np.concatenate(small["reference"])
            with writing_file(path) as scratch:
                np.save(scratch, reference)
        elif path.is_file():
            reference = np.load(path)
        else:
            parts = [
                quality.thumbnails(equalised(pixels, self._recipe.equalise))
                for _, pixels in self._images().batches("reference")
            ]
            reference = np.concatenate(parts)
        return quality.PixelFeatures(reference), reference


def _refuse_shared(spans: dict[str, list[Span]]) -> None:
    """Refuse two sources that read the same rows of the same files."""
    owners: dict[tuple[int, int], list[tuple[str, Span]]] = {}
    for name, own in spans.items():
        for span in own:
            # By number and not by name: links lead to the same images.
            status = span.path.stat()
            before = owners.setdefault((status.st_dev, status.st_ino), [])
            for other, found in before:
                if other != name and found.first <= span.last and span.first <= found.last:
                    raise BadInput(
                        f"The sources {other!r} and {name!r} read the same images of {span.path}; "
                        "no image may stand twice in a dataset, so give each source its own."
                    )
            before.append((name, span))


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
