"""Files by URL: had whole, checked, taken up where they were cut, refused with what was said."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from fpbench.datasets.downloads import asking, store
from fpbench.datasets.downloads.asking import Asker, Patience
from fpbench.datasets.downloads.fetch import fetch, missing
from fpbench.datasets.downloads.refusals import seconds_asked
from fpbench.datasets.downloads.wanted import Wanted, told_bytes
from fpbench.errors import BadInput

QUICK = Patience(tries=3, first=0.01, longest=1.0, timeout=2.0, seed=0)
DATA = bytes(range(256)) * 1200  # more than four chunks


def put(server: Any, path: str, data: bytes = DATA) -> Wanted:
    server.files[path] = data
    return Wanted(server.url + path, hashlib.sha256(data).hexdigest(), len(data))


def have(*files: Wanted, **options: Any) -> list[bytes]:
    return [path.read_bytes() for path in fetch(files, patience=QUICK, **options)]


def refusal(*files: Wanted, **options: Any) -> str:
    with pytest.raises(BadInput) as caught:
        fetch(files, patience=QUICK, **options)
    return str(caught.value)


def unfinished() -> list[Path]:
    folder = store.downloads_root() / "unfinished"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_files_are_had_once_and_shared_by_hash(file_server: Any) -> None:
    wanted = [put(file_server, f"/a/{i}.png", DATA + bytes([i])) for i in range(9)]
    told: list[tuple[str, int, int]] = []
    found = have(*wanted, progress=lambda *step: told.append(step))
    assert found == [file_server.files[f"/a/{i}.png"] for i in range(9)]
    assert (
        told[-1][0] == "download, kB" and told[-1][1] == told[-1][2] == 9 * len(DATA + b".") // 1000
    )
    asked = len(file_server.requests)
    elsewhere = Wanted("http://127.0.0.1:1/other/name", wanted[3].sha256, wanted[3].size)
    assert have(elsewhere, *wanted)[0] == found[3]
    assert len(file_server.requests) == asked == 9
    assert not unfinished()


def test_few_questions_at_a_time(file_server: Any) -> None:
    file_server.delay = 0.02
    fetch([put(file_server, f"/{i}", DATA + bytes([i])) for i in range(12)], connections=3)
    assert 2 <= file_server.together <= 3


def test_what_is_missing_is_told_before_it_is_had(file_server: Any) -> None:
    wanted = [put(file_server, f"/{i}", DATA + bytes([i])) for i in range(3)]
    fetch(wanted[:1])
    needed = missing([*wanted, wanted[1]])
    assert [w.url for w in needed.files] == [w.url for w in wanted[1:]]
    assert str(needed) == f"2 files (614 kB) from {wanted[0].host}"
    message = refusal(*wanted, offline=True)
    assert "2 files (614 kB)" in message and wanted[1].url in message and "offline" in message
    assert len(file_server.requests) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_goes_on_where_it_was_cut(
    file_server: Any, fault: Any, ranges: bool
) -> None:
    wanted = put(file_server, "/big")
    file_server.faults["/big"] = [fault(cut=100_000), fault(cut=50_000), fault(ranges=ranges)]
    assert have(wanted) == [DATA]
    starts = [asked for _, asked in file_server.requests]
    assert starts == [None, "bytes=100000-", "bytes=150000-"]


def test_a_download_that_another_process_began_goes_on(file_server: Any, fault: Any) -> None:
    wanted = put(file_server, "/big")
    file_server.faults["/big"] = [fault(cut=100_000), *[fault(status=503) for _ in range(3)]]
    message = refusal(wanted)
    assert "503" in message and wanted.url in message and "kept" in message
    assert [path.stat().st_size for path in unfinished()] == [100_000]
    assert have(wanted) == [DATA]
    assert file_server.requests[-1] == ("/big", "bytes=100000-")
    assert not unfinished()


def test_a_download_always_cut_at_the_same_byte_is_given_up(file_server: Any, fault: Any) -> None:
    wanted = put(file_server, "/big")
    file_server.lasting = True
    file_server.faults["/big"] = [fault(cut=0)]
    message = refusal(wanted)
    assert "was cut 3 times" in message and wanted.url in message
    assert len(file_server.requests) == 3


def test_an_unfinished_file_of_other_bytes_is_begun_anew(file_server: Any) -> None:
    wanted = put(file_server, "/big")
    for stale in (b"x" * 1000, b"x" * (len(DATA) - 1), b"x" * (len(DATA) + 5)):
        partial = store.Partial(wanted)
        partial.write(stale)
        partial.close()
        assert have(wanted) == [DATA]
        store._place(wanted.sha256 or "").unlink()


def test_bytes_that_differ_are_named_and_not_kept(file_server: Any) -> None:
    other = hashlib.sha256(b"meant").hexdigest()
    wanted = put(file_server, "/a")
    for hashed, size in ((other, len(DATA)), (other, None)):
        message = refusal(Wanted(wanted.url, hashed, size))
        assert wanted.url in message and other[:12] in message and "changed" in message
    for size in (len(DATA) - 1, len(DATA) + 1):
        message = refusal(Wanted(wanted.url, wanted.sha256, size))
        assert f"{len(DATA)} bytes, not {size}" in message
    assert not unfinished() and store.find(wanted) is None


@pytest.mark.parametrize("extra", [b"", b"more"])
def test_another_size_is_seen_where_no_length_is_told(
    file_server: Any, fault: Any, extra: bytes
) -> None:
    wanted = put(file_server, "/a")
    file_server.lasting = True
    file_server.faults["/a"] = [fault(length=False, body=DATA[:-1] + extra, ranges=False)]
    message = refusal(wanted)
    assert ("ended after" in message) == (not extra) and wanted.url in message


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "is not there (status 404)"),
        (410, "is not there (status 410)"),
        (403, "refuses"),
        (401, "asks for a login"),
        (418, "status 418"),
    ],
)
def test_what_will_not_change_is_asked_once_and_others_are_had(
    file_server: Any, fault: Any, status: int, words: str
) -> None:
    bad = put(file_server, "/bad", b"bad")
    good = [put(file_server, f"/{i}", DATA + bytes([i])) for i in range(4)]
    file_server.faults["/bad"] = [fault(status=status)]
    message = refusal(bad, *good)
    assert words in message and bad.url in message
    assert [path for path, _ in file_server.requests].count("/bad") == 1
    assert not missing(good).files


def test_a_host_that_refuses_file_after_file_is_left_alone(file_server: Any, fault: Any) -> None:
    wanted = [put(file_server, f"/{i}", DATA + bytes([i])) for i in range(40)]
    for path in file_server.files:
        file_server.faults[path] = [fault(status=403)]
    message = refusal(*wanted)
    assert "of 40 files are not available" in message and "403" in message
    assert len(file_server.requests) < 20


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_host_is_asked_again_when_it_says(file_server: Any, fault: Any, status: int) -> None:
    wanted = put(file_server, "/a")
    file_server.faults["/a"] = [fault(status=status, headers={"Retry-After": "1"})]
    told: list[str] = []
    begin = time.monotonic()
    assert have(wanted, progress=lambda what, *_: told.append(what)) == [DATA]
    assert time.monotonic() - begin >= 1.0
    assert any("asks to wait" in what for what in told)


def test_a_busy_host_is_given_up_with_what_it_said(file_server: Any, fault: Any) -> None:
    wanted = put(file_server, "/a")
    file_server.lasting = True
    for status, words in ((429, "asked too often"), (503, "out of order")):
        file_server.faults["/a"] = [fault(status=status)]
        message = refusal(wanted)
        assert words in message and f"status {status}" in message
    file_server.faults["/a"] = [fault(status=429, headers={"Retry-After": "5400"})]
    assert "90 minutes" in refusal(wanted)


def test_the_wait_a_server_asks_for_is_read_in_both_forms() -> None:
    assert seconds_asked("7") == 7.0
    later = datetime.now(UTC) + timedelta(seconds=40)
    assert seconds_asked(format_datetime(later, usegmt=True)) == pytest.approx(40, abs=2)
    past = datetime.now(UTC) - timedelta(days=1)
    assert seconds_asked(format_datetime(past, usegmt=True)) == 0.0
    assert seconds_asked(None) is None and seconds_asked("soon") is None


@pytest.mark.parametrize("typed", [True, False])
def test_a_web_page_is_no_file(file_server: Any, fault: Any, typed: bool) -> None:
    wanted = put(file_server, "/a")
    page = b"\n<!DOCTYPE html><title>Log in</title>".ljust(len(DATA))
    headers = {"Content-Type": "text/html; charset=utf-8"} if typed else {}
    file_server.faults["/a"] = [fault(body=page, headers=headers)]
    message = refusal(wanted)
    assert "web page (HTML)" in message and wanted.url in message


def test_a_pointer_of_git_lfs_is_no_file(file_server: Any, fault: Any) -> None:
    wanted = put(file_server, "/a")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    file_server.faults["/a"] = [fault(body=pointer)]
    assert "Git LFS" in refusal(Wanted(wanted.url, wanted.sha256))


def test_no_host_and_no_answer_are_told(file_server: Any) -> None:
    message = refusal(Wanted("http://127.0.0.1:9/a", "0" * 64, 5))
    assert "127.0.0.1:9 cannot be reached" in message
    file_server.delay = 3.0
    slow = Patience(tries=1, timeout=0.1)
    with pytest.raises(BadInput, match="gave no answer"):
        fetch([put(file_server, "/slow")], patience=slow)


def test_too_little_space_is_told_with_both_numbers(
    file_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=50 << 20)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: usage)
    wanted = put(file_server, "/a")
    message = refusal(wanted)
    assert f"needs {told_bytes(len(DATA))} ({len(DATA)} bytes)" in message
    assert f"{50 << 20} bytes" in message and str(store.downloads_root()) in message
    assert not file_server.requests


def test_a_disk_that_fills_is_told_and_what_came_is_kept(
    file_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def write(self, data: bytes) -> None:
            if self._stream.tell() > 100_000:
                raise OSError(28, "No space left on device")
            self._stream.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._stream, name)

    opened = store.Partial.__init__

    def filling(self: store.Partial, wanted: Wanted) -> None:
        opened(self, wanted)
        self._stream = Full(self._stream)  # type: ignore[assignment]

    wanted = put(file_server, "/a")
    with monkeypatch.context() as patch:
        patch.setattr(store.Partial, "__init__", filling)
        assert "No space left" in refusal(wanted)
    assert unfinished()[0].stat().st_size > 100_000
    assert have(wanted) == [DATA]


def test_a_proxy_is_used_and_named_when_it_fails(
    file_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    wanted = Wanted("http://files.invalid/a", hashlib.sha256(DATA).hexdigest(), len(DATA))
    file_server.files["/a"] = DATA
    monkeypatch.setenv("http_proxy", file_server.url)
    assert have(wanted) == [DATA]
    assert file_server.proxied == ["http://files.invalid/a"]
    monkeypatch.setenv("http_proxy", "http://me:secret@127.0.0.1:9")
    message = refusal(Wanted("http://files.invalid/b", "0" * 64, 5))
    assert "127.0.0.1:9" in message and "http_proxy" in message and "secret" not in message
    monkeypatch.setenv("http_proxy", "nonsense://x")
    assert "proxy" in refusal(Wanted("http://files.invalid/c", "0" * 64, 5)).lower()


def test_a_mirror_is_asked_instead_and_gets_no_token(
    file_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "FPBENCH_MIRROR",
        f"https://far.example/={file_server.url}/m/ https://far.example/b/={file_server.url}/n/",
    )
    file_server.files.update({"/m/a": DATA, "/n/c": DATA + b"."})
    files = [
        Wanted(f"https://far.example/{path}", hashlib.sha256(data).hexdigest(), len(data),
               {"Authorization": "Bearer secret"})
        for path, data in (("a", DATA), ("b/c", DATA + b"."))
    ]  # fmt: skip
    assert have(*files) == [DATA, DATA + b"."]
    assert all("Authorization" not in headers for headers in file_server.headers)
    monkeypatch.setenv("FPBENCH_MIRROR", "https://far.example/")
    with pytest.raises(BadInput, match="PREFIX=PREFIX"):
        fetch([Wanted("https://far.example/new", "0" * 64, 5)])


def test_a_folder_stands_in_whatever_its_files_are_called(
    file_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = put(file_server, "/a")
    (tmp_path / "had" / "deep").mkdir(parents=True)
    (tmp_path / "had" / "deep" / "photo").write_bytes(DATA)
    (tmp_path / "had" / "same-size").write_bytes(DATA[::-1])
    monkeypatch.setenv("FPBENCH_FILES", str(tmp_path / "had"))
    assert fetch([wanted], offline=True) == [tmp_path / "had" / "deep" / "photo"]
    assert not file_server.requests
    monkeypatch.setenv("FPBENCH_FILES", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match="FPBENCH_FILES"):
        fetch([put(file_server, "/b", b"b")])


def test_a_file_damaged_in_the_cache_is_had_again(file_server: Any) -> None:
    wanted = put(file_server, "/a")
    (path,) = fetch([wanted])
    path.write_bytes(DATA[:-1] + b"?")
    with pytest.raises(BadInput, match="offline"):
        fetch([wanted], offline=True)
    assert have(wanted) == [DATA]


def test_a_file_without_a_known_hash_is_kept_by_its_address(file_server: Any) -> None:
    known = put(file_server, "/at-a-commit")
    wanted = Wanted(known.url)
    assert str(missing([wanted])).startswith("1 file (1 of unknown size)")
    (path,) = fetch([wanted])
    assert path.name == known.sha256
    assert fetch([wanted], offline=True) == [path]
    assert fetch([known], offline=True) == [path]
    assert len(file_server.requests) == 1


def test_a_token_goes_to_its_host(file_server: Any) -> None:
    known = put(file_server, "/a")
    fetch([Wanted(known.url, known.sha256, known.size, {"Authorization": "Bearer t"})])
    assert file_server.headers[0]["Authorization"] == "Bearer t"
    assert "Bearer" not in repr(Wanted(known.url, headers={"Authorization": "Bearer t"}))


def test_some_bytes_of_a_file_are_read_through_cuts(file_server: Any, fault: Any) -> None:
    class Kept:
        had, data = 0, b""

        def write(self, data: bytes) -> None:
            self.data += data
            self.had = len(self.data)

        def restart(self) -> None:
            self.had, self.data = 0, b""

    wanted = put(file_server, "/a")
    for faults in (
        [],
        [fault(cut=1000)],
        [fault(ranges=False)],
        [fault(cut=9), fault(ranges=False)],
    ):
        file_server.faults["/a"] = faults
        kept = Kept()
        with Asker(patience=QUICK) as asker:
            asker.read(wanted, kept, first=70_001, last=140_000)
        assert kept.data == DATA[70_001:140_001]


def test_an_interrupted_download_ends_at_once_and_keeps_what_came(
    file_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [put(file_server, f"/{i}", DATA + bytes([i])) for i in range(30)]

    def interrupted(what: str, done: int, total: int) -> None:
        if done > 1000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(wanted, patience=QUICK, progress=interrupted)
    assert 0 < len(missing(wanted).files) < 30
    threads = [t for t in threading.enumerate() if "ThreadPool" in t.name]
    assert not threads
    assert len(fetch(wanted, patience=QUICK)) == 30


def test_two_at_the_same_time_have_the_same_files(file_server: Any) -> None:
    wanted = [put(file_server, f"/{i}", DATA + bytes([i])) for i in range(6)]
    found: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: found.append(have(*wanted))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[file_server.files[f"/{i}"] for i in range(6)]] * 3
    assert len(file_server.requests) == 6


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/a", "no address"),
        ("file:///etc/passwd", "no address"),
        ("https:///a", "no address"),
        ("https://host/a b", "no address"),
        ("https://[host/a", "no address"),
        ("https://me:secret@host/a", "login"),
        ("https://host/a/../../b", "leads out"),
        ("https://host/a/%2e%2E/b", "leads out"),
        ("https://host/a/%252e%252e%2fb", "leads out"),
        ("https://host/a\\..\\b", "leads out"),
    ],
)
def test_addresses_that_are_none_are_refused(url: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        Wanted(url)
    assert "secret" not in str(caught.value)


def test_hash_and_size_that_are_none_are_refused() -> None:
    for hashed, size in (("abc", 1), ("../" + "0" * 61, 1), ("0" * 64, 0), ("0" * 64, -3)):
        with pytest.raises(BadInput, match="https://host/a"):
            Wanted("https://host/a", hashed, size)


def test_nothing_of_the_network_is_imported_with_the_room() -> None:
    assert not hasattr(asking, "httpx")
