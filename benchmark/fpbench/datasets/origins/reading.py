"""Origins whose images are read from files that somebody else made."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from fpbench.datasets.decoding import decode
from fpbench.datasets.origins.origin import Batches, Origin, Workplace
from fpbench.datasets.origins.preprocess import Preprocess, preprocess
from fpbench.datasets.traces import file_traits
from fpbench.errors import BadInput
from fpbench.files import expanded

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED_VARIABLE = "FPBENCH_SHARED_DATA"
"""Environment variable naming a folder that holds files which recipes refer to."""

_BATCH = 128


@dataclass(frozen=True)
class Span:
    """Rows of one file that an origin reads.

    Attributes:
        path: The file.
        first: First row; 0 of an image file.
        last: Last row.
    """

    path: Path
    first: int = 0
    last: int = 0


class ImageFiles(ABC):
    """A sequence of encoded images that is read in order, never all at once.

    Args:
        paths: Image files, or files that hold many.
        total: Number of images.
        name: A short name for ids.
        steps: Crop and resize.
        size: Height and width of every image.

    Attributes:
        kinds: Kinds of the files read so far, with how many there were of each.
    """

    def __init__(
        self, paths: Sequence[Path], total: int, name: str, steps: Preprocess, size: int
    ) -> None:
        self.paths = list(paths)
        self.total = total
        self.name = name
        self.kinds: Counter[str] = Counter()
        self._steps = steps
        self._size = size

    def read(self, chosen: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Images (S, S, 3) at ascending positions, each with its position.

        Raises:
            BadInput: If an image is missing or cannot be decoded, or is not of the recipe's size
                after preprocessing.
        """
        for position, place, data in self.encoded(chosen):
            pixels = decode(data, place)
            self.kinds[self.kind(data)] += 1
            yield position, self.ready(pixels, place)

    def kind(self, data: bytes) -> str:
        """What kind of file an image came from."""
        return file_traits(data).label()

    def ready(self, pixels: NDArray[np.uint8], place: str) -> NDArray[np.uint8]:
        """An image as the dataset wants it.

        Raises:
            BadInput: If it cannot be cut and resized to the recipe's size.
        """
        pixels = preprocess(pixels, self._steps, place)
        if pixels.shape[:2] != (self._size, self._size):
            raise BadInput(
                f"{place} is {pixels.shape[0]}x{pixels.shape[1]} pixels after preprocessing, "
                f"but the recipe's size is {self._size}; set preprocess.crop or "
                "preprocess.resize of this origin."
            )
        return pixels

    @abstractmethod
    def encoded(self, chosen: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
        """Position, place for messages, and bytes of images at ascending positions."""

    @abstractmethod
    def spans(self, count: int) -> list[Span]:
        """What the first `count` images are read from."""


class FilesOrigin(Origin):
    """An origin whose images are read from files; which of them, its kind chooses.

    Attributes:
        preprocess: Crop and resize.
    """

    preprocess: Preprocess = Field(default_factory=Preprocess)

    has_real: ClassVar[bool] = True

    def choose(self, total: int, counts: Mapping[str, int], name: str) -> dict[str, list[int]]:
        """Which images are taken for every split: here the first ones, split after split.

        Args:
            total: Images that there are.
            counts: Images wanted by split.
            name: What to call the source in a message.

        Returns:
            Positions by split, as many as wanted.

        Raises:
            BadInput: If there are too few.
        """
        positions = iter(range(total))
        return {split: list(islice(positions, count)) for split, count in counts.items()}

    def draw(self, name: str, count: int, at: Workplace, facts: dict[str, Any]) -> Batches:
        """The chosen images, split after split."""
        files = self._files(name, count, at)
        facts["files"] = files.kinds
        chosen = self.choose(files.total, at.counts, name)
        done = 0
        for positions in _passes(chosen.values()):
            batch: list[NDArray[np.uint8]] = []
            for _, pixels in files.read(positions):
                batch.append(pixels)
                done += 1
                if len(batch) == _BATCH or done == count:
                    yield np.stack(batch)
                    batch = []
                    if at.progress is not None:
                        at.progress(f"read {name}", done, count)
            if batch:
                yield np.stack(batch)

    def check(self, name: str, count: int, at: Workplace) -> None:
        """Refuse an origin that is not there or has too few images."""
        self.choose(self._files(name, count, at).total, at.counts, name)

    def _files(self, name: str, count: int, at: Workplace) -> ImageFiles:
        files = self.image_files(at.recipe, at.size, offline=at.offline, progress=at.progress)
        assert files is not None  # noqa: S101
        if files.total < count:
            raise BadInput(
                f"Source {name!r}: the recipe's counts ask for {count} images, but its origin has "
                f"{files.total}; lower counts.train, counts.validation or counts.test."
            )
        return files


def _passes(splits: Iterable[Sequence[int]]) -> Iterator[list[int]]:
    """Ascending positions, in as few passes over the files as keep the splits in order."""
    own: list[int] = []
    for positions in splits:
        ascending = sorted(positions)
        if own and ascending and ascending[0] < own[-1]:
            yield own
            own = []
        own = own + ascending
    if own:
        yield own


def find(path: str, recipe: Path) -> Path | None:
    """The first place where `path` is: as it stands, beside the recipe, in the shared folder.

    Raises:
        BadInput: If it cannot be looked at.
    """
    whole = expanded(Path(path))
    shared = os.environ.get(SHARED_VARIABLE)
    places = [recipe / whole, *([expanded(Path(shared)) / whole] if shared else [])]
    try:
        return next((place for place in places if place.exists()), None)
    except OSError as error:
        raise BadInput(
            f"The recipe's path {path!r} cannot be looked at ({error.strerror or error})."
        ) from error
