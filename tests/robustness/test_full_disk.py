"""A disk that is full, and a folder that may not be written: one sentence, nothing half-written."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fpbench.cli.main import entry
from fpbench.files import SCRATCH

from .folders import write_images


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB, where this user may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    assert isinstance(end.value.code, int)
    return end.value.code, capsys.readouterr().err


def fill(place: Path, leave: int = 4096) -> Path:
    """Fill a file system but for `leave` bytes."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError:
            pass
    os.truncate(filler, max(0, filler.stat().st_size - leave))
    return filler


def check(code: int, err: str, place: Path) -> None:
    assert code in (1, 2), err
    assert "No space left on device" in err and str(place) in err
    assert "Free space there, or choose another" in err
    assert "Traceback" not in err and "fault in fpbench" not in err
    assert [p for p in place.rglob("*") if p.name.startswith(SCRATCH)] == []


def test_run(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(tmp_path / "images")
    fill(small, 4096)
    code, err = told(
        capsys, "run", "--method", "pixels", "--dataset", str(images), "--budget", "smoke",
        "--device", "cpu", "--no-figures", "--offline", "--out", str(small),
    )  # fmt: skip
    check(code, err, small)
    assert list(small.rglob("record.json")) == []


def test_site(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "boards").mkdir()
    fill(small, 8192)
    words = ("--root", str(tmp_path / "boards"))
    code, err = told(capsys, "leaderboard", "site", *words, "--out", str(small / "site"))
    check(code, err, small)
    assert not (small / "site").exists()
    code, err = told(capsys, "leaderboard", "publish", *words, "--to", str(small / "site"))
    check(code, err, small)
    assert not (small / "site").exists()


def test_build(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(small, 0)
    code, err = told(capsys, "leaderboard", "build", "--root", str(small))
    check(code, err, small)
    assert [path.name for path in small.iterdir()] == ["filler"]


def test_submit(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(tmp_path / "images", count=200)
    code, err = told(
        capsys, "run", "--method", "pixels", "--dataset", str(images), "--budget", "smoke",
        "--device", "cpu", "--no-figures", "--offline", "--out", str(tmp_path / "runs"),
    )  # fmt: skip
    assert code == 0, err
    fill(small, 12_288)
    from fpbench.errors import BadInput
    from fpbench.leaderboard.audit.submit import Submission, write

    files = {
        path.relative_to(tmp_path).as_posix(): path.read_bytes()
        for path in (tmp_path / "runs").rglob("*")
        if path.is_file()
    }
    submission = Submission.__new__(Submission)
    object.__setattr__(submission, "files", files)
    with pytest.raises(BadInput, match="No space left on device"):
        write(submission, small)
    assert [path.name for path in small.rglob("*") if path.is_file()] == ["filler"]


def test_a_site_that_was_there_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "boards").mkdir()
    site = tmp_path / "site"
    words = ("leaderboard", "site", "--root", str(tmp_path / "boards"), "--out", str(site))
    assert told(capsys, *words)[0] == 0
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}

    def refuse(path: Path, *arguments: object, **settings: object) -> int:
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(Path, "write_text", refuse)
    code, err = told(capsys, *words)
    assert code == 2 and "Read-only file system" in err and "fault" not in err
    assert {path: path.read_bytes() for path in site.rglob("*") if path.is_file()} == before
    assert [p for p in tmp_path.rglob("*") if p.name.startswith(SCRATCH)] == []
