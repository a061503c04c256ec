"""Fetched images on disk, a file for each block: what was had once is not fetched again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.errors import BadInput
from fpbench.files import writing_file

if TYPE_CHECKING:
    from fpbench.datasets.labelled.table import Table
    from fpbench.method import Progress

_AT_ONCE = 4
# What a header line may take: a few digits for each image of a block.
_LARGEST_HEADER = 16 << 20


class Packs:
    """The chosen images of a labelled dataset.

    Args:
        folder: Where they are kept.
        table: Reads blocks that are not here.
        rows: Chosen rows by block, ascending.
        inner: Position of each row within its block.
    """

    def __init__(
        self,
        folder: Path,
        table: Table,
        rows: dict[int, list[int]],
        inner: Callable[[int], int],
    ) -> None:
        self._folder = folder
        self._table = table
        self._rows = rows
        self._inner = inner
        self._found: dict[int, tuple[Path, int, int]] = {}

    def fetch(self, progress: Progress | None) -> None:
        """Have all blocks; what an earlier, stopped call had is kept.

        Raises:
            BadInput: If one is not available, or there is no room.
        """
        missing = [block for block in self._rows if not self._known(block)]
        if not missing:
            return
        table = self._table
        sizes = [table.size(block) for block in missing]
        _require_space(self._folder, sum(sizes))
        table.prepare(missing, progress)
        done = 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # Few at a time, as each holds a block in memory.
            todo = iter(missing)
            running: dict[Future[None], int] = {}
            try:
                while True:
                    for block in islice(todo, 2 * _AT_ONCE - len(running)):
                        running[pool.submit(self._write, table, block)] = block
                    if not running:
                        break
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in ended:
                        future.result()
                        done += len(self._rows[running.pop(future)])
                        if progress is not None:
                            progress("fetch images", done, sum(len(self._rows[b]) for b in missing))
            finally:
                for future in running:
                    future.cancel()
        for block in missing:
            self._known(block)

    def read(self, row: int) -> bytes:
        """The encoded image of a row that `fetch` had."""
        path, start, size = self._found[row]
        with path.open("rb", buffering=0) as stream:
            stream.seek(start)
            data = stream.read(size)
        if len(data) != size:
            raise BadInput(f"{path} is torn; remove it and run again.")
        return data

    def _path(self, block: int) -> Path:
        return self._folder / f"{block:06d}.pack"

    def _write(self, table: Table, block: int) -> None:
        rows = self._rows[block]
        images = table.read(block, [self._inner(row) for row in rows])
        head = json.dumps([[row, len(data)] for row, data in zip(rows, images, strict=True)])
        with writing_file(self._path(block)) as scratch, scratch.open("wb") as stream:
            stream.write(head.encode() + b"\n")
            for data in images:
                stream.write(data)

    def _known(self, block: int) -> bool:
        path = self._path(block)
        try:
            with path.open("rb") as stream:
                line = stream.readline(_LARGEST_HEADER)
            listed = json.loads(line)
            start = len(line)
            found = {}
            for row, size in listed:
                found[row] = (path, start, size)
                start += size
            if list(found) != self._rows[block] or path.stat().st_size != start:
                raise ValueError("of other rows")
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError):
            # What a full disk or another program has damaged is fetched again.
            path.unlink(missing_ok=True)
            return False
        self._found.update(found)
        return True


def _require_space(folder: Path, count: int) -> None:
    from fpbench.datasets.downloads.wanted import told_bytes

    place = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if free < count + (64 << 20):
        raise BadInput(
            f"The images need {told_bytes(count)}, and {place} has {told_bytes(free)} free: free "
            "space there, or set FPBENCH_CACHE to another folder."
        )
