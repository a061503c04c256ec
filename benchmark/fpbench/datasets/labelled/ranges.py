"""A file on a server, read in ranges: what a Parquet reader asks for and no more."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fpbench.errors import BadInput

if TYPE_CHECKING:
    from fpbench.datasets.downloads.asking import Asker
    from fpbench.datasets.downloads.wanted import Wanted


class _Bytes:
    """A sink in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    @property
    def had(self) -> int:
        return len(self.data)

    def write(self, data: bytes) -> None:
        self.data += data

    def restart(self) -> None:
        self.data.clear()


class RangeFile(io.RawIOBase):
    """A file by URL as a seekable stream; every read is one question for just those bytes.

    Args:
        wanted: The file; its size must be known.
        asker: Asks its host.
        counted: Called with the bytes of every answer.
    """

    def __init__(self, wanted: Wanted, asker: Asker, counted: Callable[[int], None]) -> None:
        super().__init__()
        if wanted.size is None:
            raise BadInput(f"The size of {wanted.url} is not known, so it cannot be read in parts.")
        self._wanted = wanted
        self._size = wanted.size
        self._asker = asker
        self._counted = counted
        self._at = 0

    def seekable(self) -> bool:
        """Always."""
        return True

    def readable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; nothing is asked for."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as asked for unless the file ends.

        Raises:
            BadInput: If they are not available.
        """
        last = self._size - 1 if size < 0 else min(self._size, self._at + size) - 1
        if last < self._at:
            return b""
        sink = _Bytes()
        self._asker.read(self._wanted, sink, first=self._at, last=last)
        self._at = last + 1
        self._counted(len(sink.data))
        return bytes(sink.data)

    def readinto(self, buffer: Any) -> int:
        """The next bytes into a buffer, as many as it holds unless the file ends."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """All that follows."""
        return self.read()
