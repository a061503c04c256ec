"""Jobs on a real Ray cluster of this machine, which the executor starts and stops."""

import importlib.util
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from fpbench.errors import BadInput
from fpbench.runs.executors.base import ExecutorOptions
from fpbench.runs.run_plan import executor_named

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="ray is not installed; there may be no wheel for this Python",
)


def sessions() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("ray*"))


@needs_ray
def test_a_worker_killed_in_the_middle_is_one_jobs_failure(
    toys: Any, heard: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sessions()
    toys.tell("k", "wait")
    here = toys.run("local", ["a"], tmp_path / "local", threads=2)
    workers: list[int] = []

    def kill() -> None:
        ((worker, child),) = toys.waiting(1)
        workers.append(worker)
        os.kill(worker, signal.SIGKILL)
        os.kill(child, signal.SIGKILL)

    threading.Thread(target=kill).start()
    labels = ["a", "k", "b", "c"]
    first = toys.run("ray", labels, tmp_path / "out", heard, workers=2, threads=2)
    assert sorted(first) == sorted(labels)
    assert "Ray lost the job's worker" in toys.reason(first["k"])
    for label in ("a", "b", "c"):
        assert toys.bits(first[label]) == toys.bits(here["a"])
        assert first[label].environment.threads == 2
        assert first[label].environment.executor == "ray"
    ran = toys.ran()[1:]
    assert len({pid for _, pid, _ in ran}) <= 3  # two, and one in place of the dead
    assert sorted(heard.told) == sorted(
        (w, label) for w in ("started", "ended") for label in labels
    )
    assert not any(toys.alive(pid) for _, pid, _ in ran)
    assert sessions() == before
    assert capfd.readouterr().out == ""
    toys.forget("k")
    (toys.folder / "ran.txt").unlink()
    second = toys.run("ray", labels, tmp_path / "out", workers=2, threads=2)
    assert [label for label, *_ in toys.ran()] == ["k"]
    assert {str(toys.bits(result)) for result in second.values()} == {str(toys.bits(here["a"]))}


@needs_ray
def test_a_cluster_that_is_not_there_is_named(toys: Any, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no Ray cluster at 127\.0\.0\.1:9: "):
        toys.run("ray", ["a"], tmp_path / "out", engine={"address": "127.0.0.1:9"})


@needs_ray
@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ({"adress": "auto"}, "'ray' has no setting 'adress'. Did you mean address?"),
        ({"gpus": "many"}, "gpus=many is no number of GPUs"),
        ({"gpus": "nan"}, "gpus=nan is no number of GPUs"),
        ({"gpus": "-1"}, "gpus=-1 is no number of GPUs"),
        ({"gpus": "1.5"}, "give a share of one, or whole ones"),
        ({"gpus": "1e9"}, "gpus=1e9 is no number of GPUs"),
        ({"address": ""}, "address= is no address"),
        ({"address": "127.0.0.1:99999"}, "no Ray cluster at 127.0.0.1:99999: "),
        ({"address": "127.0.0.1:x"}, "no Ray cluster at 127.0.0.1:x: "),
    ],
)
def test_a_wrong_setting_is_refused(
    toys: Any, tmp_path: Path, engine: dict[str, str], sentence: str
) -> None:
    with pytest.raises(BadInput) as refused:
        toys.run("ray", ["a"], tmp_path / "out", engine=engine)
    assert sentence in str(refused.value)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInput, match=r"needs ray; install it with: pip install .*\[ray\]"):
        executor_named("ray", ExecutorOptions())
