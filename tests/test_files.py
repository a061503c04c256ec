"""Files are whole or not there, and what the dead left behind is removed."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fpbench.errors import BadInput
from fpbench.files import (
    SCRATCH,
    expanded,
    file_sha256,
    is_scratch,
    remove_abandoned,
    told,
    write_bytes,
    write_text,
    writing_file,
    writing_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_and_readable_by_all(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "new" / "a.txt", "zeile\n")
    finally:
        os.umask(before)
    path = tmp_path / "new" / "a.txt"
    assert path.read_bytes() == b"zeile\n" and path.stat().st_mode & 0o777 == 0o644
    assert names(path.parent) == ["a.txt"]
    # SHA-256 of "abc", FIPS 180-2.
    write_bytes(path, b"abc")
    assert file_sha256(path).startswith("ba7816bf8f01cfea414140de5dae2223")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_folder_is_readable_by_all_whom_the_umask_lets(tmp_path: Path, umask: int) -> None:
    from safetensors.numpy import save_file

    before = os.umask(umask)
    try:
        with writing_folder(tmp_path / "f") as folder:
            (folder / "inner").mkdir(mode=0o700)
            save_file({"x": np.zeros(3)}, folder / "inner" / "evidence.safetensors")
            (folder / "own").touch(mode=0o600)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    folders, files = 0o777 & ~umask, 0o666 & ~umask
    assert modes == {"f": folders, "inner": folders, "own": files, "evidence.safetensors": files}


def test_a_block_that_raises_leaves_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), writing_file(tmp_path / "a") as path:
        path.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), writing_folder(tmp_path / "f") as folder:
        (folder / "x").write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["a"] and (tmp_path / "a").read_text() == "old"


def test_a_folder_named_by_what_it_holds_stays(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with writing_folder(tmp_path / "f", replace=False) as folder:
            (folder / text).write_text(text)
    assert names(tmp_path) == ["f"] and names(tmp_path / "f") == ["first"]


def test_the_home_of_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded(Path("~/x")) == tmp_path / "x" and expanded(Path("x")) == Path("x")
    with pytest.raises(BadInput, match=r"~nobody-of-this-name/x begins with the home folder"):
        expanded(Path("~nobody-of-this-name/x"))


def test_a_folder_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    for text in ("first", "second"):
        with writing_folder(tmp_path / "f") as folder:
            assert is_scratch(folder.relative_to(tmp_path))
            (folder / text).write_text(text)
    assert names(tmp_path) == ["f"] and names(tmp_path / "f") == ["second"]


def test_many_writers_of_one_folder_leave_one_whole_folder(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for _ in range(20):
                with writing_folder(tmp_path / "f") as folder:
                    for part in ("a", "b"):
                        (folder / part).write_text(str(number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names(tmp_path) == ["f"]
    assert len({(tmp_path / "f" / part).read_text() for part in ("a", "b")}) == 1


def test_the_systems_refusal_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"Cannot write .*x: No space left on device\. Free space"):
        with told(tmp_path / "x"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"Cannot write .*file/a"):
        write_text(tmp_path / "file" / "a", "")


def test_scratch_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    script = (
        "import os, sys; from pathlib import Path; from fpbench.files import writing_folder\n"
        "with writing_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('')\n"
        "    os._exit(9)\n"
    )
    target = tmp_path / "a" / "b" / "job"
    done = subprocess.run([sys.executable, "-c", script, str(target)])
    assert done.returncode == 9
    (left,) = target.parent.iterdir()
    assert left.name.startswith(SCRATCH)
    with writing_folder(target) as mine:
        assert remove_abandoned(tmp_path) == 1
        assert not left.exists() and mine.exists()
    assert names(target.parent) == ["job"]
    assert remove_abandoned(tmp_path) == 0
