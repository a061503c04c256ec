"""A small file server in a thread, which fails on request as real ones do."""

from __future__ import annotations

import contextlib
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Fault:
    """How one request is answered in the place of the file.

    Attributes:
        status: Instead of 200.
        headers: Sent with it.
        body: Sent instead of the file.
        cut: Bytes of the answer after which the connection is closed.
        ranges: Whether a question for some of the bytes is understood.
        length: Whether the length is told.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut: int | None = None
    ranges: bool = True
    length: bool = True


class LocalFiles:
    """The server; use as a context manager.

    Attributes:
        files: Bytes by path.
        faults: By path, what the next requests for it get; the last one stays if `lasting`.
        lasting: Whether the last fault of a path never ends.
        requests: Method, path and the range asked for, of every request.
        together: The most requests that were being answered at one time.
        proxied: Whole addresses that were asked for, as a proxy is.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.lasting = False
        self.requests: list[tuple[str, str | None]] = []
        self.headers: list[dict[str, str]] = []
        self.proxied: list[str] = []
        self.together = 0
        self.delay = 0.0
        self._now = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LocalFiles:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def begun(self, path: str, asked: str | None, headers: dict[str, str]) -> Fault:
        with self._lock:
            self.requests.append((path, asked))
            self.headers.append(headers)
            self._now += 1
            self.together = max(self.together, self._now)
            waiting = self.faults.get(path, [])
            if not waiting:
                return Fault()
            return waiting[0] if self.lasting and len(waiting) == 1 else waiting.pop(0)

    def ended(self) -> None:
        with self._lock:
            self._now -= 1


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing: whoever asked has gone, which some tests want."""


def _handler(server: LocalFiles) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            if self.path.startswith("http"):
                server.proxied.append(self.path)
            path = unquote(urlsplit(self.path).path)
            fault = server.begun(path, self.headers["Range"], dict(self.headers))
            try:
                threading.Event().wait(server.delay)
                self._answer(path, fault)
            finally:
                server.ended()

        def _answer(self, path: str, fault: Fault) -> None:
            data = fault.body if fault.body is not None else server.files.get(path)
            status, extra = fault.status or 200, dict(fault.headers)
            if data is None:
                status, data = fault.status or 404, b"no such file"
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers["Range"] or "")
            if asked and fault.ranges and status == 200:
                first, last = int(asked[1]), int(asked[2] or len(data) - 1)
                if first >= len(data):
                    status, extra["Content-Range"], data = 416, f"bytes */{len(data)}", b""
                else:
                    extra["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                    status, data = 206, data[first : last + 1]
            self.send_response(status)
            for key, value in extra.items():
                self.send_header(key, value)
            if fault.length:
                self.send_header("Content-Length", str(len(data)))
            else:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # whoever asked may have gone
                self.wfile.write(data if fault.cut is None else data[: fault.cut])
            if fault.cut is not None:
                self.close_connection = True

    return Handler


def serving() -> Any:
    """A server, not yet begun."""
    return LocalFiles()
