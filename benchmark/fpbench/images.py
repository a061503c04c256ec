"""What a method receives: images of equal size, and the sources they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

REAL = "real"
"""Name of the source of real images in every GM dataset."""

FAMILIES = ("Real", "VAE", "GAN", "Flow", "Score", "Synthetic", "Unknown")
"""Families a source can belong to; ``Synthetic`` is a planted fingerprint, no generative model;
``Unknown`` is that of a source in a folder of images that nobody described."""


# Bytes of pixels copied at a time where they come from elsewhere.
_AT_ONCE = 16 << 20


@dataclass(frozen=True)
class Source:
    """One origin of images: a generative model as trained and sampled, or Real.

    Attributes:
        name: Unique within a dataset, e.g. ``dcgan-small``.
        family: One of `FAMILIES`.
        architecture: E.g. ``StyleGAN2``, whatever it was trained on.
        design: Design choices, e.g. ``{"upsampling": "nearest"}``; empty where unknown.

    Raises:
        ValueError: If `family` is not one of `FAMILIES`.
    """

    name: str
    family: str
    architecture: str
    design: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(
                f"source {self.name!r} has family {self.family!r}; use one of {', '.join(FAMILIES)}"
            )
        object.__setattr__(self, "design", MappingProxyType(dict(self.design)))

    @property
    def is_real(self) -> bool:
        """Whether this is the source of real images."""
        return self.family == "Real"

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy does not pickle, and data loaders send sources to worker processes.
        return (Source, (self.name, self.family, self.architecture, dict(self.design)))


class ImageSet:
    """Images of one size, with or without the sources they come from.

    Slicing and `select` never copy the labels into a set that has none, so a method that is
    handed `unlabelled` test images cannot learn their sources.

    Args:
        pixels: uint8 array of shape (N, H, W, 3), RGB; may be memory-mapped and read-only.
        sources: The sources that labels index into, in the order of probability columns. Empty
            for an unlabelled set.
        labels: Integers of shape (N,) indexing `sources`, or None.
        ids: N distinct names of the images, or None for their positions.

    Raises:
        ValueError: If shapes, dtypes, label range or ids do not fit together.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        sources: Sequence[Source] = (),
        labels: ArrayLike | None = None,
        ids: Sequence[str] | None = None,
    ) -> None:
        if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
            raise ValueError(
                "pixels must be uint8 of shape (N, H, W, 3), "
                f"not {pixels.dtype} of shape {pixels.shape}"
            )
        self._pixels = pixels
        self._sources = tuple(sources)
        self._labels: NDArray[np.int64] | None = None
        if labels is not None:
            array = np.asarray(labels, dtype=np.int64)
            if array.shape != (len(pixels),):
                raise ValueError(f"{len(pixels)} images but labels of shape {array.shape}")
            if len(array) and not (0 <= array.min() and array.max() < len(self._sources)):
                raise ValueError(
                    f"labels reach from {array.min()} to {array.max()}, "
                    f"but there are {len(self._sources)} sources"
                )
            array.setflags(write=False)
            self._labels = array
        self._ids = np.arange(len(pixels)).astype(str) if ids is None else np.asarray(ids, str)
        if self._ids.shape != (len(pixels),):
            raise ValueError(f"{len(pixels)} images but {len(self._ids)} ids")

    def __len__(self) -> int:
        return len(self._pixels)

    def __repr__(self) -> str:
        h, w = self.size
        known = f"{len(self._sources)} sources" if self.labelled else "unlabelled"
        return f"ImageSet({len(self)} images of {h}x{w}, {known})"

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 array of shape (N, H, W, 3); do not write to it."""
        return self._pixels

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return int(self._pixels.shape[1]), int(self._pixels.shape[2])

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources, in the order of probability columns; empty for an unlabelled set."""
        return self._sources

    @property
    def labelled(self) -> bool:
        """Whether the sources of these images may be known."""
        return self._labels is not None

    @property
    def labels(self) -> NDArray[np.int64]:
        """Integers of shape (N,) indexing `sources`.

        Raises:
            ValueError: If the set is unlabelled.
        """
        if self._labels is None:
            raise ValueError("these images are unlabelled: their sources are what is asked for")
        return self._labels

    @property
    def ids(self) -> NDArray[np.str_]:
        """N names, distinct within the set."""
        return self._ids

    def select(self, indices: ArrayLike) -> ImageSet:
        """The images at `indices` (integers or a boolean mask), in that order."""
        chosen = _positions(indices)
        labels = None if self._labels is None else self._labels[chosen]
        return ImageSet(self._pixels[chosen], self._sources, labels, self._ids[chosen].tolist())

    def of_source(self, name: str) -> ImageSet:
        """The images of one source.

        Raises:
            KeyError: If no source has this name.
        """
        names = [source.name for source in self._sources]
        if name not in names:
            raise KeyError(f"no source {name!r}; there are {', '.join(names)}")
        return self.select(self.labels == names.index(name))

    def unlabelled(self) -> ImageSet:
        """The same pixels without sources, labels or telling ids: what a test shows a method."""
        return ImageSet(self._pixels)

    def with_labels(self, labels: ArrayLike) -> ImageSet:
        """The same images under other labels, e.g. shuffled ones for a null control."""
        return ImageSet(self._pixels, self._sources, labels, self._ids.tolist())

    def batches(self, size: int) -> Iterator[NDArray[np.uint8]]:
        """Pixels in consecutive batches of at most `size` images.

        Raises:
            ValueError: If `size` is not positive.
        """
        if size < 1:
            raise ValueError(f"a batch holds at least one image, not {size}")
        for start in range(0, len(self), size):
            yield self._pixels[start : start + size]


Gather = Callable[
    ["tuple[int, ...]", "Callable[[], Iterator[NDArray[np.uint8]]]"], "NDArray[np.uint8]"
]
"""Puts batches of pixels, begun anew at each call, into one array of the shape given."""


def in_memory(
    shape: tuple[int, ...], batches: Callable[[], Iterator[NDArray[np.uint8]]]
) -> NDArray[np.uint8]:
    """Gather pixels in memory."""
    pixels = np.empty(shape, np.uint8)
    start = 0
    for batch in batches():
        pixels[start : start + len(batch)] = batch
        start += len(batch)
    return pixels


def select_across(
    parts: Sequence[ImageSet], indices: ArrayLike, gather: Gather = in_memory
) -> ImageSet:
    """Images of several sets, counted through from the first to the last.

    The chosen pixels are copied once and nothing else is: to pool the sets first would copy
    every image, memory-mapped or not, before any is chosen.

    Args:
        parts: Labelled sets of the same sources and image size.
        indices: Integers or a boolean mask over all images of `parts`.
        gather: Where the chosen pixels are put.

    Returns:
        The chosen images, in the order of `indices`.

    Raises:
        ValueError: If the parts have other sources or sizes than the first.
        IndexError: If there is no such image.
    """
    first = parts[0]
    for part in parts:
        if part.sources != first.sources or part.size != first.size:
            raise ValueError("images of other sources or sizes cannot be selected together")
    chosen = _positions(indices)
    starts = np.cumsum([0, *map(len, parts)])
    if len(chosen) and not (0 <= chosen.min() and chosen.max() < starts[-1]):
        raise IndexError(f"positions must be from 0 to {starts[-1] - 1}")
    step = max(1, _AT_ONCE // max(1, 3 * first.size[0] * first.size[1]))

    def batches() -> Iterator[NDArray[np.uint8]]:
        for begin in range(0, len(chosen), step):
            some = chosen[begin : begin + step]
            batch = np.empty((len(some), *first.size, 3), np.uint8)
            for part, start in zip(parts, starts[:-1].tolist(), strict=True):
                own = np.flatnonzero((some >= start) & (some < start + len(part)))
                if len(own):
                    batch[own] = part.pixels[some[own] - start]
            yield batch

    pixels = gather((len(chosen), *first.size, 3), batches)
    labels = np.concatenate([part.labels for part in parts])
    ids = np.concatenate([part.ids for part in parts])
    return ImageSet(pixels, first.sources, labels[chosen], ids[chosen].tolist())


def _positions(indices: ArrayLike) -> NDArray[np.int64]:
    chosen = np.asarray(indices)
    return np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
