"""Asks hosts for bytes: patiently, few questions at a time, and on from where it was cut."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from fpbench.datasets.downloads import refusals
from fpbench.datasets.downloads.refusals import BUSY, HostFails, Refused
from fpbench.datasets.downloads.wanted import Wanted

if TYPE_CHECKING:
    from typing import Self

_HTML = (b"<!doctype html", b"<html")
_POINTER = b"version https://git-lfs"
_NO_SUCH_RANGE = 416
_TRIES_OF_STRANGERS = 3


class Sink(Protocol):
    """What takes the bytes of a file, in order."""

    @property
    def had(self) -> int:
        """Bytes that it holds."""

    def write(self, data: bytes) -> None:
        """Take the bytes that follow."""

    def restart(self) -> None:
        """Forget all bytes: they come again from the first."""


class Stopped(Exception):
    """Somebody asked for the end; raised in the threads that download."""


@dataclass(frozen=True)
class Patience:
    """How long a host is borne with.

    Attributes:
        tries: Questions in a row that may fail before a host is given up.
        first: Seconds before the second question; doubled for each further one.
        longest: Seconds waited at most between two questions, whatever the host asks for.
        timeout: Seconds without a byte after which a question has failed.
        seed: Of the jitter that keeps many askers from coming back at once, or None.
    """

    tries: int = 6
    first: float = 1.0
    longest: float = 120.0
    timeout: float = 30.0
    seed: int | None = None


class _Host:
    """One host: all questions to it wait while it asks to be left alone."""

    def __init__(self) -> None:
        self.answered = False
        self._until = 0.0
        self._lock = threading.Lock()

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    def left(self) -> float:
        with self._lock:
            return self._until - time.monotonic()


class Asker:
    """Asks hosts for files; a context manager, shared by threads.

    Proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY), as is
    SSL_CERT_FILE.

    Args:
        connections: Questions at a time.
        patience: How long a host is borne with.
        waiting: Called as ``waiting(what, seconds)`` before a wait that a host asked for.
    """

    def __init__(
        self,
        *,
        connections: int = 4,
        patience: Patience | None = None,
        waiting: Callable[[str, float], None] | None = None,
    ) -> None:
        self._connections = connections
        self._patience = patience or Patience()
        self._waiting = waiting
        self._hosts: dict[str, _Host] = {}
        self._hosts_lock = threading.Lock()
        # For jitter alone, so that a weak generator will do.
        self._jitter = random.Random(self._patience.seed)  # noqa: S311
        self._stop = threading.Event()
        self._client: Any = None

    def __enter__(self) -> Self:
        from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

        try:
            self._client = httpx.Client(
                follow_redirects=True,
                timeout=httpx.Timeout(self._patience.timeout),
                limits=httpx.Limits(max_connections=self._connections),
                headers={"User-Agent": "fpbench", "Accept-Encoding": "identity"},
            )
        except (ValueError, ImportError) as error:
            raise HostFails(
                f"A proxy of the environment cannot be used ({error}): correct HTTP_PROXY, "
                "HTTPS_PROXY and ALL_PROXY."
            ) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._client.close()

    def stop(self) -> None:
        """End all questions: whoever waits or reads raises `Stopped`."""
        self._stop.set()

    def read(self, wanted: Wanted, sink: Sink, *, first: int = 0, last: int | None = None) -> None:
        """Read a file, or some of its bytes, into `sink`, from where the sink is.

        Args:
            wanted: The file.
            sink: Takes the bytes; what it holds already is not asked for again.
            first: First byte asked for.
            last: Last byte asked for, or None for all that follow.

        Raises:
            Refused: If it is not available; `HostFails` if its host cannot be asked at all.
            Stopped: If `stop` was called.
        """
        from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

        url = wanted.address
        host = self._host(wanted.host)
        expected = wanted.size if last is None else last + 1
        failures = 0
        while True:
            before = sink.had
            self._wait(wanted.host, host)
            asked: float | None = None
            try:
                status, asked = self._ask(wanted, sink, first, last, expected)
                if status is None:
                    return
                refusal: Refused = refusals.of_status(url, status, failures + 1)
                if status not in BUSY and not (status == _NO_SUCH_RANGE and before):
                    raise refusal
                failures += 1
            except refusals.EndsEarly as error:
                refusal = error
                failures += 1
            except httpx.TransportError as error:
                refusal = refusals.of_network(url, error, failures + 1)
                # A download that goes on, however slowly, is not given up.
                failures = 1 if sink.had > before else failures + 1
            except (httpx.TooManyRedirects, httpx.InvalidURL, httpx.DecodingError) as error:
                raise Refused(f"{url} leads nowhere ({error}).") from error
            # A host that never answered is rather not there than busy.
            tries = (
                self._patience.tries
                if host.answered
                else min(_TRIES_OF_STRANGERS, self._patience.tries)
            )
            if failures >= tries:
                raise refusal
            if asked is not None and asked > self._patience.longest:
                raise HostFails(
                    f"{wanted.host} asks to be left alone for {asked / 60:.0f} minutes before it "
                    f"gives {url}; run the same command again after that."
                )
            pause = asked if asked is not None else self._pause(failures)
            host.pause(pause)
            if asked is not None and self._waiting is not None:
                self._waiting(f"{wanted.host} asks to wait", pause)

    def _ask(
        self, wanted: Wanted, sink: Sink, first: int, last: int | None, expected: int | None
    ) -> tuple[int | None, float | None]:
        """One question: its status and the wait asked for, or None once all bytes are there."""
        start = first + sink.had
        if expected is not None and start >= expected:
            return None, None
        url = wanted.address
        # A token is for the host that it was made for, not for its mirror.
        headers = dict(wanted.headers) if url == wanted.url else {}
        if start or last is not None:
            headers["Range"] = f"bytes={start}-{'' if last is None else last}"
        with self._client.stream("GET", url, headers=headers) as answer:
            self._host(wanted.host).answered = True
            status = int(answer.status_code)
            if status == _NO_SUCH_RANGE and sink.had:
                # What is here is longer than the file, so it is of another one.
                sink.restart()
                return status, 0.0
            if status not in (200, 206):
                return status, refusals.seconds_asked(answer.headers.get("Retry-After"))
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                raise refusals.of_web_page(url)
            whole = status == 200
            skip = 0
            if whole and start:
                # The host does not go on from the middle.
                if sink.had:
                    sink.restart()
                skip = first
            _check_length(answer, wanted, whole=whole)
            end = None if expected is None else expected - first
            for chunk in answer.iter_bytes():
                if self._stop.is_set():
                    raise Stopped
                part = chunk[skip:]
                skip = max(0, skip - len(chunk))
                if sink.had == 0 and first == 0:
                    _refuse_other(url, part)
                if end is not None and sink.had + len(part) > end:
                    if last is None:
                        raise refusals.of_size(url, f"more than {end}", end)
                    part = part[: end - sink.had]
                if part:
                    sink.write(part)
                if last is not None and sink.had == end:
                    break
        if end is not None and sink.had < end:
            raise refusals.ends_early(url, sink.had, end)
        return None, None

    def _host(self, name: str) -> _Host:
        with self._hosts_lock:
            return self._hosts.setdefault(name, _Host())

    def _wait(self, name: str, host: _Host) -> None:
        while (left := host.left()) > 0:
            if self._stop.wait(left):
                break
        if self._stop.is_set():
            raise Stopped

    def _pause(self, failures: int) -> float:
        with self._hosts_lock:
            jitter = 0.75 + 0.5 * self._jitter.random()
        return min(self._patience.longest, self._patience.first * 2.0 ** (failures - 1) * jitter)


def _check_length(answer: Any, wanted: Wanted, *, whole: bool) -> None:
    """Refuse, before it is read, a file of another size than was said."""
    if wanted.size is None or answer.headers.get("Content-Encoding"):
        return
    told = answer.headers.get("Content-Length", "")
    if not whole:
        told = answer.headers.get("Content-Range", "").rpartition("/")[2]
    if told.isdigit() and int(told) != wanted.size:
        raise refusals.of_size(wanted.address, int(told), wanted.size)


def _refuse_other(url: str, begin: bytes) -> None:
    """Refuse what is told by its first bytes to be no file of data."""
    head = begin[:64].lstrip().lower()
    if head.startswith(_HTML):
        raise refusals.of_web_page(url)
    if head.startswith(_POINTER):
        raise refusals.of_pointer(url)
