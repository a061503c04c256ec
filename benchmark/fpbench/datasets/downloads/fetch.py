"""Has files by URL: those that are here at once, the others in parallel, each checked."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.datasets.downloads import store
from fpbench.datasets.downloads.asking import Asker, Patience
from fpbench.datasets.downloads.refusals import Changed, EndsEarly, HostFails, Refused
from fpbench.datasets.downloads.wanted import Wanted, told_bytes
from fpbench.errors import BadInput
from fpbench.hub import is_offline

if TYPE_CHECKING:
    from fpbench.method import Progress

CONNECTIONS = 4
"""Questions to one host at a time."""

# A host that refuses this many files in a row will refuse the others, too.
_MOST_REFUSALS = 8
_SECONDS_BETWEEN = 0.2


@dataclass(frozen=True)
class Missing:
    """What is not here and would have to be downloaded.

    Attributes:
        files: The files, each once.
    """

    files: tuple[Wanted, ...]

    @property
    def size(self) -> int:
        """Bytes of those whose size is known."""
        return sum(wanted.size or 0 for wanted in self.files)

    @property
    def hosts(self) -> list[str]:
        """Who would be asked."""
        return sorted({wanted.host for wanted in self.files})

    def __str__(self) -> str:
        """E.g. ``2,700 files (163 MB) from raw.githubusercontent.com``."""
        unknown = sum(wanted.size is None for wanted in self.files)
        size = told_bytes(self.size) if self.size else ""
        more = f"{unknown} of unknown size" if unknown else ""
        sizes = ", ".join(part for part in (size, more) if part)
        noun = "file" if len(self.files) == 1 else "files"
        return f"{len(self.files):,} {noun} ({sizes}) from {', '.join(self.hosts)}"


def missing(files: Iterable[Wanted]) -> Missing:
    """Which of some files are not here, neither in the cache nor in the folder of FPBENCH_FILES.

    Raises:
        BadInput: If that folder cannot be read.
    """
    distinct = {(wanted.url, wanted.sha256): wanted for wanted in files}
    return Missing(tuple(w for w in distinct.values() if store.find(w) is None))


def fetch(
    files: Sequence[Wanted],
    *,
    offline: bool = False,
    progress: Progress | None = None,
    connections: int = CONNECTIONS,
    patience: Patience | None = None,
) -> list[Path]:
    """Have files: what is not here is downloaded, checked and kept.

    Hosts are asked one after the other, and by one process at a time, over a few connections.
    What was cut goes on where it ended, now or when the same files are asked for again.

    Args:
        files: The files; one may stand there more than once.
        offline: Open no connection.
        progress: Called as ``progress(what, done, total)`` with kilobytes or megabytes.
        connections: Questions to a host at a time.
        patience: How long a host is borne with.

    Returns:
        One path a file, to be read and not to be changed.

    Raises:
        BadInput: If one is not available; the others are here by then. The message names the
            file, what happened and what to do.
    """
    needed = missing(files)
    if needed.files:
        if offline or is_offline():
            first = needed.files[0]
            raise BadInput(
                f"{needed} would have to be downloaded, which offline mode forbids; the first is "
                f"{first.url}. Run it once while online, or name a folder that holds the files "
                f"with {store.FILES_VARIABLE}."
            )
        store.require_space(needed.size)
        _download(needed, progress, connections, patience)
    found = [store.find(wanted) for wanted in files]
    for wanted, path in zip(files, found, strict=True):
        if path is None:
            raise BadInput(f"{wanted.url} was here and is gone; run the same command again.")
    return [path for path in found if path is not None]


def _download(
    needed: Missing, progress: Progress | None, connections: int, patience: Patience | None
) -> None:
    counter = _Counter(needed, progress)
    refused: list[Refused] = []
    for host in needed.hosts:
        files = [wanted for wanted in needed.files if wanted.host == host]
        with store.one_at_a_time(host, counter.waiting):
            # Another process may have had some of them meanwhile.
            rest = missing(files).files
            counter.here(set(files) - set(rest))
            refused += _from_host(rest, counter, connections, patience)
    if refused:
        raise _together(refused, len(needed.files))


def _from_host(
    files: Sequence[Wanted], counter: _Counter, connections: int, patience: Patience | None
) -> list[Refused]:
    """Download files of one host; those that it refuses are returned, the others are here."""
    refused: list[Refused] = []
    in_a_row = 0
    with (
        Asker(connections=connections, patience=patience, waiting=counter.waiting) as asker,
        ThreadPoolExecutor(connections) as pool,
    ):
        try:
            asked = [pool.submit(_one, asker, wanted, counter) for wanted in files]
            for done in as_completed(asked):
                error = done.exception()
                if error is None:
                    in_a_row = 0
                elif isinstance(error, Refused):
                    refused.append(error)
                    in_a_row += 1
                    if isinstance(error, HostFails) or in_a_row >= _MOST_REFUSALS:
                        break
                else:
                    raise error
        finally:
            asker.stop()
            pool.shutdown(cancel_futures=True)
    return refused


def _one(asker: Asker, wanted: Wanted, counter: _Counter) -> None:
    for attempt in (1, 2):
        partial = store.Partial(wanted)
        taken_up = partial.had
        counter.had(wanted, taken_up)
        try:
            asker.read(wanted, _Counted(partial, wanted, counter))
        except BaseException as error:
            if isinstance(error, Changed) and not isinstance(error, EndsEarly):
                # Of another file: nothing to go on from.
                partial.restart()
            partial.close()
            raise
        try:
            partial.finish()
            return
        except Changed:
            # The bytes of an earlier download may have been of another file, or damaged.
            counter.had(wanted, 0)
            if not taken_up or attempt == 2:
                raise


def _together(refused: Sequence[Refused], total: int) -> BadInput:
    """One error for all files that are not available: what stops a host counts most."""
    first = next((error for error in refused if isinstance(error, HostFails)), refused[0])
    if len(refused) == 1:
        return first
    return BadInput(f"{len(refused)} of {total} files are not available. The first: {first}")


class _Counted:
    """A sink whose bytes are counted."""

    def __init__(self, partial: store.Partial, wanted: Wanted, counter: _Counter) -> None:
        self._partial = partial
        self._wanted = wanted
        self._counter = counter

    @property
    def had(self) -> int:
        return self._partial.had

    def write(self, data: bytes) -> None:
        self._partial.write(data)
        self._counter.had(self._wanted, self._partial.had)

    def restart(self) -> None:
        self._partial.restart()
        self._counter.had(self._wanted, 0)


class _Counter:
    """Bytes that are here of all files, told now and then."""

    def __init__(self, needed: Missing, progress: Progress | None) -> None:
        self._progress = progress
        self._sizes = {(w.url, w.sha256): w.size for w in needed.files}
        self._had: dict[tuple[str, str | None], int] = {}
        self._sum = 0
        self._told = 0.0
        self._waited: dict[str, float] = {}
        self._lock = threading.Lock()
        self._unit, self._divisor = ("MB", 1_000_000) if needed.size >= 10_000_000 else ("kB", 1000)
        self._total = needed.size

    def had(self, wanted: Wanted, count: int) -> None:
        """So many bytes of a file are here."""
        with self._lock:
            key = (wanted.url, wanted.sha256)
            if wanted.size is None:
                self._total += count - self._had.get(key, 0)
            self._sum += count - self._had.get(key, 0)
            self._had[key] = count
            last = self._sum >= self._total
            now = time.monotonic()
            if not last and now - self._told < _SECONDS_BETWEEN:
                return
            self._told = now
            self._tell()

    def here(self, files: Iterable[Wanted]) -> None:
        """Some files need not be asked for after all."""
        for wanted in files:
            self.had(wanted, wanted.size or 0)

    def waiting(self, what: str, seconds: float) -> None:
        """So many seconds are waited for something before bytes come."""
        with self._lock:
            self._waited[what] = waited = self._waited.get(what, 0.0) + seconds
            if self._progress is not None:
                self._progress(f"{what}, s", round(waited), max(1, round(waited)))

    def _tell(self) -> None:
        if self._progress is not None:
            done, total = self._sum // self._divisor, max(1, self._total // self._divisor)
            self._progress(f"download, {self._unit}", min(done, total), total)
