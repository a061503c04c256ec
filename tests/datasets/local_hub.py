"""A small Hugging Face Hub in a thread: enough for the real clients to push, pull and stream.

It keeps repositories in memory: a commit is a dictionary of paths to bytes. What it answers is
what `huggingface_hub` and `datasets` ask for; anything else is 404 and recorded in `unknown`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_local"  # noqa: S105
LFS_SUFFIXES = (".parquet", ".png", ".tar", ".zip")


@dataclass
class Repository:
    """Commits by hash, oldest first; ``main`` is the last."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: bool = False
    private: bool = False

    def commit(self, files: dict[str, bytes]) -> str:
        text = json.dumps([len(self.commits), *sorted(files)]).encode()
        digest = hashlib.sha1(text + b"".join(files.values()), usedforsecurity=False).hexdigest()
        self.commits[digest] = files
        return digest

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def resolve(self, revision: str) -> str | None:
        revision = unquote(revision)
        if revision == "main":
            return self.head
        return next((c for c in self.commits if c == revision), None)


class LocalHub:
    """The server; use as a context manager.

    Attributes:
        repositories: By ``OWNER/NAME``.
        renamed: New names by old ones; who asks for an old one is sent on.
        failing: Status and headers that every request is answered with, or None.
        requests: Method and path of every request.
        sent: Bytes of all answers.
        cut: Answers to requests for ranges that end half-way, from now on.
        unknown: Those for which there is no page.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.renamed: dict[str, str] = {}
        self.failing: tuple[int, dict[str, str]] | None = None
        self.requests: list[str] = []
        self.sent = 0
        self.cut = 0
        self.unknown: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> LocalHub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _blob_id(data: bytes) -> str:
    header = f"blob {len(data)}\0".encode()
    return hashlib.sha1(header + data, usedforsecurity=False).hexdigest()


def _is_lfs(path: str) -> bool:
    return path.endswith(LFS_SUFFIXES)


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": "file",
        "path": path,
        "size": len(data),
        "oid": _blob_id(data),
    }
    if _is_lfs(path):
        oid = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 130}
    return entry


def _tree(files: dict[str, bytes], under: str, recursive: bool) -> list[dict[str, Any]] | None:
    prefix = f"{under}/" if under else ""
    inside = {path: data for path, data in files.items() if path.startswith(prefix)}
    if not inside:
        return None
    entries: list[dict[str, Any]] = []
    folders: set[str] = set()
    for path, data in sorted(inside.items()):
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            folder = prefix + "/".join(parts[:depth])
            if folder not in folders:
                folders.add(folder)
                oid = hashlib.sha1(folder.encode(), usedforsecurity=False).hexdigest()
                entries.append({"type": "directory", "path": folder, "size": 0, "oid": oid})
        if recursive or len(parts) == 1:
            entries.append(_entry(path, data))
    return entries


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        # -- answers
        def _send(
            self, status: int, body: bytes = b"", headers: dict[str, str] | None = None
        ) -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            if "Content-Length" not in (headers or {}):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                if status == 206 and hub.cut > 0:
                    hub.cut -= 1
                    body = body[: len(body) // 2]
                    self.close_connection = True
                hub.sent += len(body)
                self.wfile.write(body)

        def _json(self, document: Any, status: int = 200) -> None:
            body = json.dumps(document).encode()
            self._send(status, body, {"Content-Type": "application/json"})

        def _fail(self, status: int, code: str, message: str) -> None:
            headers = {"X-Error-Code": code, "X-Error-Message": message}
            self._send(status, json.dumps({"error": message}).encode(), headers)

        # -- who asks for what
        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _may_write(self) -> bool:
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def _repository(self, name: str) -> Repository | None:
            found = hub.repositories.get(name)
            if found is None or (found.private and not self._may_write()):
                self._fail(404, "RepoNotFound", "Repository not found")
                return None
            if found.gated and not self._may_write():
                self._fail(403, "GatedRepo", "Access to this dataset is restricted")
                return None
            return found

        def do_HEAD(self) -> None:
            self._route()

        def do_GET(self) -> None:
            self._route()

        def do_POST(self) -> None:
            self._route()

        def do_PUT(self) -> None:
            self._route()

        def _route(self) -> None:
            parts = urlsplit(self.path)
            path = parts.path
            hub.requests.append(f"{self.command} {path}")
            if hub.failing is not None:
                self._body()
                self._send(hub.failing[0], b"", hub.failing[1])
                return
            for old, new in hub.renamed.items():
                if re.search(rf"/datasets/{re.escape(old)}(/|$)", path):
                    self._send(307, headers={"Location": self.path.replace(old, new, 1)})
                    return
            for method, pattern, answer in _ROUTES:
                match = re.fullmatch(pattern, path)
                if match and self.command in method.split("|"):
                    getattr(self, answer)(*match.groups(), **_query(parts.query))
                    return
            hub.unknown.append(f"{self.command} {path}")
            self._body()
            self._fail(404, "EntryNotFound", f"no such page: {path}")

        # -- pages
        def whoami(self) -> None:
            if not self._may_write():
                self._fail(401, "", "Invalid token")
                return
            self._json({"type": "user", "name": "me", "auth": {"type": "access_token"}})

        def create(self) -> None:
            asked = json.loads(self._body())
            if not self._may_write():
                self._fail(401, "", "Invalid username or password.")
                return
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            if name in hub.repositories:
                self._json({"url": f"{hub.url}/datasets/{name}"}, 409)
                return
            hub.repositories[name] = Repository(private=bool(asked.get("private")))
            hub.repositories[name].commit({".gitattributes": b""})
            self._json({"url": f"{hub.url}/datasets/{name}", "id": name})

        def validate(self) -> None:
            self._body()
            self._json({"errors": [], "warnings": []})

        def info(self, name: str, revision: str = "main", **_: str) -> None:
            repository = self._repository(name)
            if repository is None:
                return
            commit = repository.resolve(revision)
            if commit is None:
                self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
                return
            self._json(
                {
                    "id": name,
                    "sha": commit,
                    "private": repository.private,
                    "gated": repository.gated,
                    "disabled": False,
                    "downloads": 0,
                    "likes": 0,
                    "tags": [],
                    "lastModified": "2024-01-01T00:00:00.000Z",
                    "createdAt": "2024-01-01T00:00:00.000Z",
                    "siblings": [{"rfilename": p} for p in repository.commits[commit]],
                }
            )

        def tree(self, name: str, revision: str, under: str | None = None, **query: str) -> None:
            repository = self._repository(name)
            if repository is None:
                return
            commit = repository.resolve(revision)
            if commit is None:
                self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
                return
            recursive = query.get("recursive", "").lower() in ("1", "true")
            entries = _tree(repository.commits[commit], unquote(under or ""), recursive)
            if entries is None:
                self._fail(404, "EntryNotFound", "no such folder")
                return
            self._json(entries)

        def paths_info(self, name: str, revision: str) -> None:
            raw = self._body()
            repository = self._repository(name)
            if repository is None:
                return
            if self.headers.get("Content-Type", "").startswith("application/json"):
                wanted = json.loads(raw)["paths"]
            else:
                wanted = [
                    unquote(p.split("=", 1)[1].replace("+", " "))
                    for p in raw.decode().split("&")
                    if p.startswith("paths=")
                ]
            commit = repository.resolve(revision)
            if commit is None:
                self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
                return
            files = repository.commits[commit]
            entries = [_entry(p, files[p]) for p in wanted if p in files]
            for p in wanted:
                if p not in files and any(f.startswith(f"{p}/") for f in files):
                    entries.append({"type": "directory", "path": p, "size": 0, "oid": "0" * 40})
            self._json(entries)

        def resolve(self, name: str, revision: str, path: str, **_: str) -> None:
            repository = self._repository(name)
            if repository is None:
                return
            commit = repository.resolve(revision)
            if commit is None:
                self._fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
                return
            data = repository.commits[commit].get(unquote(path))
            if data is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("X-Repo-Commit", commit)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            etag = hashlib.sha256(data).hexdigest() if _is_lfs(path) else _blob_id(data)
            headers = {
                "ETag": f'"{etag}"',
                "X-Repo-Commit": commit,
                "Accept-Ranges": "bytes",
                "Content-Type": "application/octet-stream",
            }
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            if span and self.command == "GET":
                first = int(span[1])
                last = min(int(span[2] or len(data) - 1), len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                self._send(206, data[first : last + 1], headers)
                return
            if self.command == "HEAD":
                headers["Content-Length"] = str(len(data))
            self._send(200, data, headers)

        def preupload(self, name: str, revision: str, **_: str) -> None:
            asked = json.loads(self._body())
            if not self._may_write():
                self._fail(403, "", "Forbidden: you may not write here")
                return
            if self._repository(name) is None:
                return
            self._json(
                {
                    "files": [
                        {
                            "path": one["path"],
                            "uploadMode": "lfs" if _is_lfs(one["path"]) else "regular",
                            "shouldIgnore": False,
                            "oid": None,
                        }
                        for one in asked["files"]
                    ]
                }
            )

        def lfs_batch(self, name: str) -> None:
            asked = json.loads(self._body())
            objects = []
            for one in asked["objects"]:
                answer = {"oid": one["oid"], "size": one["size"]}
                if one["oid"] not in hub.objects:
                    href = {"href": f"{hub.url}/lfs/{one['oid']}"}
                    answer["actions"] = {"upload": href}
                objects.append(answer)
            self._json({"transfer": "basic", "objects": objects})

        def lfs_put(self, oid: str) -> None:
            data = self._body()
            if hashlib.sha256(data).hexdigest() != oid:
                self._fail(400, "", "checksum differs")
                return
            hub.objects[oid] = data
            self._send(200)

        def commit(self, name: str, revision: str, **_: str) -> None:
            lines = [json.loads(line) for line in self._body().splitlines() if line.strip()]
            if not self._may_write():
                self._fail(403, "", "Forbidden: you may not write here")
                return
            repository = self._repository(name)
            if repository is None:
                return
            files = dict(repository.commits[repository.head])
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.objects[value["oid"]]
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            commit = repository.commit(files)
            url = f"{hub.url}/datasets/{name}/commit/{commit}"
            self._json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    return Handler


def _query(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split("&") if part)
    return {key: unquote(value) for key, _, value in pairs}


_ID = r"([\w.-]+/[\w.-]+)"
_ROUTES = (
    ("GET", r"/api/whoami-v2", "whoami"),
    ("POST", r"/api/repos/create", "create"),
    ("POST", r"/api/validate-yaml", "validate"),
    ("GET", rf"/api/datasets/{_ID}", "info"),
    ("GET", rf"/api/datasets/{_ID}/revision/([^/]+)", "info"),
    ("GET", rf"/api/datasets/{_ID}/tree/([^/]+)(?:/(.+))?", "tree"),
    ("POST", rf"/api/datasets/{_ID}/paths-info/([^/]+)", "paths_info"),
    ("GET|HEAD", rf"/datasets/{_ID}/resolve/([^/]+)/(.+)", "resolve"),
    ("POST", rf"/api/datasets/{_ID}/preupload/([^/]+)", "preupload"),
    ("POST", rf"/datasets/{_ID}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", r"/lfs/([0-9a-f]{64})", "lfs_put"),
    ("POST", rf"/api/datasets/{_ID}/commit/([^/]+)", "commit"),
)
