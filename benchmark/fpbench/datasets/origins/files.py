"""``files``: public files that a list beside the recipe names, single images or grids of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fpbench.datasets.decoding import decode
from fpbench.datasets.downloads import fetch, store
from fpbench.datasets.downloads.wanted import Wanted
from fpbench.datasets.origins.grouping import choose_by_group
from fpbench.datasets.origins.manifests import manifest_path, read_manifest
from fpbench.datasets.origins.parquet import ParquetOrigin
from fpbench.datasets.origins.preprocess import Preprocess
from fpbench.datasets.origins.reading import FilesOrigin, ImageFiles, Span, find
from fpbench.documents import Document
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.method import Progress


class Tiles(Document):
    """A grid of images in one file, row by row, with padding around and between them.

    Attributes:
        columns: Images in a row.
        rows: Rows.
        size: Height and width of each image in pixels.
        pad: Pixels between two images, and around all.
    """

    columns: int = Field(gt=0)
    rows: int = Field(gt=0)
    size: int = Field(gt=0)
    pad: int = Field(0, ge=0)

    @property
    def count(self) -> int:
        """Images in a grid."""
        return self.columns * self.rows

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of a whole grid in pixels."""
        step = self.size + self.pad
        return self.rows * step + self.pad, self.columns * step + self.pad

    def cut(self, grid: NDArray[np.uint8], tile: int, place: str) -> NDArray[np.uint8]:
        """One image (size, size, 3) of a grid, as its pixels are.

        Raises:
            BadInput: If the grid is of another size.
        """
        if grid.shape[:2] != self.shape:
            raise BadInput(
                f"{place} is {grid.shape[0]}x{grid.shape[1]} pixels, but {self.columns} columns "
                f"and {self.rows} rows of {self.size} pixels with padding of {self.pad} make "
                f"{self.shape[0]}x{self.shape[1]}; correct tiles of the recipe's origin."
            )
        row, column = divmod(tile, self.columns)
        top, left = (self.pad + at * (self.size + self.pad) for at in (row, column))
        return grid[top : top + self.size, left : left + self.size]


class Ready(Document):
    """Local images that stand in for the downloads, in the order of the list, tile by tile.

    Attributes:
        path: A Parquet file or a folder of them, as of the origin `parquet`.
        preprocess: What is left to be done with them; None where they are the files' own bytes,
            so that each is checked like a download. Tiles that were cut are never that.
    """

    path: str
    preprocess: Preprocess | None = None


class ManifestOrigin(FilesOrigin):
    """Public files of a list: each had by its URL, checked, and kept by its SHA-256.

    Which images are taken is drawn by seed. Those of one grid never fall on two splits.

    Attributes:
        manifest: The list, relative to the recipe: tab-separated url, sha256, bytes.
        tiles: How the images stand in each file, or None where a file is one image.
        ready: Local images that stand in for the downloads, where they are there.
        without: Images that are not taken, by position in the list, tile by tile: e.g. near twins
            of others, which must not stand on two sides.
        seed: Of the choice.
    """

    kind: Literal["files"]
    manifest: str
    tiles: Tiles | None = None
    ready: Ready | None = None
    without: list[int] = Field(default_factory=list)
    seed: int = 0

    def image_files(
        self,
        recipe: Path,
        size: int,
        *,
        offline: bool = False,
        progress: Progress | None = None,
    ) -> ImageFiles:
        """All images of the list; a file is had when one of its images is read."""
        files = read_manifest(manifest_path(self.manifest, recipe))
        name = Path(self.manifest).stem
        found = self._stand_in(recipe)
        if found is None or self.ready is None:
            return _Listed(files, self.tiles, name, self.preprocess, size, offline, progress)
        steps = self.preprocess if self.ready.preprocess is None else self.ready.preprocess
        own = ParquetOrigin(kind="parquet", path=self.ready.path, first=0).image_files(recipe, size)
        total = self._tiles * len(files)
        if own.total != total:
            raise BadInput(
                f"{found} has {own.total} images, but {self.manifest} stands for {total}; it is no "
                "copy of them."
            )
        same = self.tiles is None and self.ready.preprocess is None
        return _StandIn(own, files if same else None, name, steps, size)

    def choose(self, total: int, counts: Mapping[str, int], name: str) -> dict[str, list[int]]:
        """Positions drawn by seed; a grid is in one split alone."""
        beyond = [position for position in self.without if not 0 <= position < total]
        if beyond:
            raise BadInput(
                f"Source {name!r}: `without` names the image {beyond[0]}, but there are {total}."
            )
        left = sorted(set(range(total)) - set(self.without))
        groups = [position // self._tiles for position in left]
        chosen = choose_by_group(groups, counts, self.seed, name)
        return {split: [left[index] for index in own] for split, own in chosen.items()}

    def downloads(self, recipe: Path, counts: Mapping[str, int] | None, name: str) -> list[Wanted]:
        """The files of the chosen images, or all; none where a copy stands in."""
        files = read_manifest(manifest_path(self.manifest, recipe))
        if self._stand_in(recipe) is not None:
            return []
        if counts is None:
            return list(files)
        chosen = self.choose(self._tiles * len(files), counts, name)
        used = {position // self._tiles for own in chosen.values() for position in own}
        return [files[number] for number in sorted(used)]

    def card_files(self) -> list[str]:
        """The list."""
        return [self.manifest]

    def place(self) -> str:
        """The list and where a copy would be."""
        copy = "" if self.ready is None else f" or {self.ready.path}"
        return f"{self.manifest}{copy}"

    @property
    def _tiles(self) -> int:
        return 1 if self.tiles is None else self.tiles.count

    def _stand_in(self, recipe: Path) -> Path | None:
        return None if self.ready is None else find(self.ready.path, recipe)


class _Listed(ImageFiles):
    """The files of a list, had when they are read."""

    def __init__(
        self,
        files: Sequence[Wanted],
        tiles: Tiles | None,
        name: str,
        steps: Preprocess,
        size: int,
        offline: bool,
        progress: Progress | None,
    ) -> None:
        self._tiles = tiles
        self._each = 1 if tiles is None else tiles.count
        super().__init__([], len(files) * self._each, name, steps, size)
        self._files = files
        self._offline = offline
        self._progress = progress

    def read(self, chosen: Sequence[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        numbers = sorted({position // self._each for position in chosen})
        wanted = [self._files[number] for number in numbers]
        paths = fetch.fetch(wanted, offline=self._offline, progress=self._progress)
        by_file = dict(_runs(chosen, self._each))
        for number, path in zip(numbers, paths, strict=True):
            data = path.read_bytes()
            place = self._files[number].url
            whole = decode(data, place)
            kind = self.kind(data)
            for position in by_file[number]:
                pixels, own = whole, place
                if self._tiles is not None:
                    tile = position % self._each
                    pixels, own = self._tiles.cut(whole, tile, place), f"Tile {tile} of {place}"
                self.kinds[kind] += 1
                yield position, self.ready(pixels, own)

    def encoded(self, chosen: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
        raise NotImplementedError("tiles have no bytes of their own")

    def spans(self, count: int) -> list[Span]:
        found = (store.find(wanted) for wanted in self._files)
        return [Span(path) for path in found if path is not None]


class _StandIn(ImageFiles):
    """Local images in the order of a list, each checked where it is the file's own bytes."""

    def __init__(
        self,
        own: ImageFiles,
        files: Sequence[Wanted] | None,
        name: str,
        steps: Preprocess,
        size: int,
    ) -> None:
        super().__init__(own.paths, own.total, name, steps, size)
        self._own = own
        self._files = files

    def encoded(self, chosen: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
        for position, place, data in self._own.encoded(chosen):
            if self._files is not None:
                wanted = self._files[position]
                if hashlib.sha256(data).hexdigest() != wanted.sha256:
                    raise BadInput(
                        f"{place[0].upper()}{place[1:]} is not the file {wanted.url}: its SHA-256 "
                        "is another one. Remove the copy, so that the file is downloaded."
                    )
            yield position, place, data

    def kind(self, data: bytes) -> str:
        return super().kind(data) + ("" if self._files is not None else ", re-packed")

    def spans(self, count: int) -> list[Span]:
        return self._own.spans(self.total)


def _runs(positions: Sequence[int], each: int) -> Iterator[tuple[int, list[int]]]:
    for number, own in groupby(positions, lambda position: position // each):
        yield number, list(own)
