"""Rows of a labelled dataset as they are known before an image is fetched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fpbench.method import Progress


@dataclass(frozen=True)
class Rows:
    """All rows, in the order of the dataset.

    Attributes:
        labels: Label of each row as text (N,).
        groups: Group of each row as text, or "" (N,).
        splits: The dataset's split of each row, or "" (N,).
        blocks: Number of the block that each row lies in (N,), ascending.
        inner: Position within its block (N,).
    """

    labels: NDArray[np.str_]
    groups: NDArray[np.str_]
    splits: NDArray[np.str_]
    blocks: NDArray[np.int64]
    inner: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


class Table(ABC):
    """A labelled dataset whose labels were read and whose images were not.

    Images are read a block at a time: a block is what can be had alone, such as a row group of a
    Parquet file, or one image file.

    Attributes:
        rows: Its rows.
        name: The dataset's name as its host gives it.
        commit: Commit on the Hub, or None.
        fetched: Bytes read over the network so far.
        direct: Whether images are files of their own, which stay where they are or where `prepare`
            put them; others are kept apart once they were fetched.
    """

    rows: Rows
    name: str
    commit: str | None = None
    fetched: int = 0
    direct: bool = False

    @abstractmethod
    def identity(self, row: int) -> str:
        """What tells the image of a row from any other: hash of its file, and where within it."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Where the image of a row is, for messages and as its id."""

    @abstractmethod
    def size(self, block: int) -> int:
        """Bytes that are fetched for a block; 0 where that is not known."""

    @abstractmethod
    def read(self, block: int, inner: Sequence[int]) -> list[bytes]:
        """Encoded images at positions of a block.

        Raises:
            BadInput: If they are not available, or one is missing.
        """

    def prepare(self, blocks: Sequence[int], progress: Progress | None) -> None:  # noqa: B027
        """Have at once, and checked, what can be had at once before blocks are read.

        Raises:
            BadInput: If it is not available.
        """

    def close(self) -> None:  # noqa: B027
        """Release connections and files."""
