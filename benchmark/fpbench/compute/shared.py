"""Values of single images, computed once and shared between methods, variants and seeds.

Several jobs of one plan look at the same images: every seed and variant of a method takes the
same residuals, features or nearest neighbours. A value that depends on one image alone (and on
fixed settings) is kept here by the content of the image, so neither order nor batch matters.
What reuse saves is counted, so that a job's cost is stated as if it had run alone.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_Built = TypeVar("_Built")

ROOM = 1 << 29
"""Bytes of values kept in memory; the ones used longest ago go first."""


def digest(array: NDArray[Any]) -> bytes:
    """16 bytes that stand for shape, type and content of an array."""
    whole = hashlib.blake2b(digest_size=16)
    whole.update(f"{array.dtype}{array.shape}".encode())
    whole.update(np.ascontiguousarray(array).data)
    return whole.digest()


class SharedRows:
    """Keeps values of single images, up to a number of bytes.

    Args:
        room: Bytes of values to keep.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._used = 0
        self._rows: OrderedDict[tuple[Hashable, bytes], tuple[NDArray[Any], float]] = OrderedDict()
        self._built: OrderedDict[tuple[Hashable, bytes], tuple[object, float]] = OrderedDict()
        self._saved = 0.0

    def rows(
        self,
        kind: Hashable,
        images: NDArray[Any],
        compute: Callable[[NDArray[Any]], NDArray[Any]],
    ) -> NDArray[Any]:
        """Values of images, computing only those that are not kept.

        Args:
            kind: What is computed, with every setting that it depends on.
            images: Shape (N, ...), N at least 1.
            compute: From images (M, ...) to values (M, ...); a value must depend on its own
                image alone.

        Returns:
            Shape (N, ...), a new array.

        Raises:
            ValueError: If `compute` returns another number of rows than it is given.
        """
        keys = [(kind, digest(image)) for image in images]
        unknown = [i for i, key in enumerate(keys) if key not in self._rows]
        fresh: dict[tuple[Hashable, bytes], NDArray[Any]] = {}
        each = 0.0
        if unknown:
            started = time.perf_counter()
            values = compute(images if len(unknown) == len(images) else images[unknown])
            each = (time.perf_counter() - started) / len(unknown)
            if len(values) != len(unknown):
                raise ValueError(f"{len(values)} values were computed for {len(unknown)} images")
            fresh = {keys[i]: values[n] for n, i in enumerate(unknown)}
        found = []
        for key in keys:
            if key in fresh:
                found.append(fresh[key])
                continue
            value, seconds = self._rows[key]
            self._rows.move_to_end(key)
            self._saved += seconds
            found.append(value)
        result = np.stack(found)
        for key, value in fresh.items():
            # A copy: a view would keep the whole batch in memory.
            self._keep(key, value.copy(), each)
        return result

    def _keep(self, key: tuple[Hashable, bytes], value: NDArray[Any], seconds: float) -> None:
        if value.nbytes > self._room:
            return
        self._rows[key] = (value, seconds)
        self._used += value.nbytes
        while self._used > self._room:
            _, (oldest, _) = self._rows.popitem(last=False)
            self._used -= oldest.nbytes

    def built(
        self, kind: Hashable, array: NDArray[Any], build: Callable[[NDArray[Any]], _Built]
    ) -> _Built:
        """Something built from a whole array, e.g. a search index; the last four are kept.

        Args:
            kind: What is built, with every setting that it depends on.
            array: What it is built from.
            build: Builds it; the result must not change afterwards.
        """
        key = (kind, digest(array))
        if key in self._built:
            thing, seconds = self._built[key]
            self._built.move_to_end(key)
            self._saved += seconds
            return thing  # type: ignore[return-value]
        started = time.perf_counter()
        made = build(array)
        self._built[key] = (made, time.perf_counter() - started)
        while len(self._built) > 4:
            self._built.popitem(last=False)
        return made

    @property
    def saved(self) -> float:
        """Seconds that reuse has saved so far; it never falls."""
        return self._saved

    def limit(self, room: int) -> None:
        """Keep at most `room` bytes of values from now on."""
        self.clear()
        self._room = room

    @contextmanager
    def holding(self, room: int) -> Iterator[None]:
        """Keep at most `room` bytes of values within the block, for a stream of images."""
        before = self._room
        self.limit(room)
        try:
            yield
        finally:
            self.limit(before)

    def clear(self) -> None:
        """Forget all values."""
        self._rows.clear()
        self._built.clear()
        self._used = 0


SHARED = SharedRows()
"""The values of this process, shared by all methods."""
