"""Jobs in processes of their own: the same bits, and a death that is one job's alone."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fpbench.errors import BadInput
from fpbench.files import SCRATCH
from fpbench.runs.executors import processes
from fpbench.runs.executors.base import ExecutorOptions
from fpbench.runs.run_plan import executor_named
from fpbench.runs.store import Store


def scratch_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(SCRATCH)]


def test_workers_give_the_bits_of_local_and_are_used_again(
    toys: Any, heard: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = ["a", "b", "c", "d"]
    here = toys.run("local", labels[:1], tmp_path / "local", threads=2)
    there = toys.run("processes", labels, tmp_path / "out", heard, workers=2, threads=2)
    assert sorted(there) == labels
    for result in there.values():
        assert toys.bits(result) == toys.bits(here["a"])
        assert result.environment.threads == 2 and result.environment.executor == "processes"
    own, *others = toys.ran()
    assert own[1] == os.getpid()
    assert len({pid for _, pid, _ in others}) == 2 and os.getpid() not in {p for _, p, _ in others}
    assert {threads for *_, threads in others} == {"2"}
    assert not any(toys.alive(pid) for _, pid, _ in others)
    for label in labels:
        mine = [what for what, job in heard.told if job == label]
        assert mine[0] == "started" and mine[-1] == "ended" and "train" in mine
    assert "something on standard output" not in capfd.readouterr().out
    assert scratch_below(tmp_path) == []


def test_a_death_is_one_jobs_alone_and_a_second_run_completes_it(
    toys: Any, heard: Any, tmp_path: Path
) -> None:
    deaths = {
        "k": ("kill", "signal 9 (out of memory?)"),
        "s": ("segfault", "signal 11 (Segmentation fault)"),
        "z": ("exit 0", "exit code 0"),
        "t": ("exit 3", "exit code 3"),
        "r": ("raise", "RuntimeError: the toy is broken"),
    }
    for label, (what, _) in deaths.items():
        toys.tell(label, what)
    labels = ["a", *deaths, "b"]
    first = toys.run("processes", labels, tmp_path / "out", heard, workers=2, threads=1)
    assert sorted(first) == sorted(labels)
    for label, (_, sentence) in deaths.items():
        assert sentence in toys.reason(first[label]), label
    assert toys.bits(first["a"]) == toys.bits(first["b"])
    assert sorted(job for what, job in heard.told if what == "ended") == sorted(labels)
    # What failed stands in the store, for whoever asks why, and is no finished job.
    store = Store(tmp_path / "out")
    for job in toys.plan(list(deaths)):
        assert store.find(job) is None
        assert store.read(job).reason == first[job.params["label"]].reason
    assert scratch_below(tmp_path) == []
    toys.forget(*deaths)
    (toys.folder / "ran.txt").unlink()
    second = toys.run("processes", labels, tmp_path / "out", workers=2, threads=1)
    assert {label for label, *_ in toys.ran()} == set(deaths)
    assert {str(toys.bits(result)) for result in second.values()} == {str(toys.bits(first["a"]))}


def test_a_job_that_hangs_is_ended_past_its_time_limit(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "SILENCE", 1e6)
    toys.tell("h", "wait")
    found: list[tuple[int, int]] = []

    def lose_patience() -> None:
        found.extend(toys.waiting(1))
        monkeypatch.setattr(processes, "SILENCE", 0.0)

    threading.Thread(target=lose_patience).start()
    options = replace(toys.options, time_limit=0.001)
    ended = toys.run("processes", ["h"], tmp_path / "out", None, options, workers=1, threads=1)
    assert "past its time limit of 0.001 minutes" in toys.reason(ended["h"])
    ((worker, child),) = found
    toys.wait_for(lambda: not toys.alive(worker) and not toys.alive(child))


def command(toys: Any, out: Path, *words: str) -> list[str]:
    """``fpbench run`` of three jobs that are told what to do as one."""
    return [
        sys.executable, "-m", "fpbench", "run", "--method", "toy", "--dataset", toys.side.location,
        "--seeds", "3", "--budget", "smoke", "--scores", "accuracy", "--no-figures", "--offline",
        "--device", "cpu", "--executor", "processes", "--workers", "2", "--threads", "1",
        "--out", str(out), *words,
    ]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_plan_is_the_end_of_its_workers(
    toys: Any, tmp_path: Path, number: signal.Signals
) -> None:
    toys.tell("no one", "wait")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    plan = subprocess.Popen(
        command(toys, tmp_path / "out"),
        env=os.environ | {"TMPDIR": str(scratch)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    pids = [pid for pair in toys.waiting(2) for pid in pair]
    assert scratch_below(tmp_path / "out")
    plan.send_signal(number)
    _, told = plan.communicate()
    assert plan.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number)
    toys.wait_for(lambda: not any(toys.alive(pid) for pid in pids))
    assert "Traceback" not in told
    if number != signal.SIGKILL:
        assert "run the same command to go on" in told
        assert scratch_below(tmp_path / "out") == [] and list(scratch.iterdir()) == []
    toys.forget("no one")
    done = subprocess.run(
        command(toys, tmp_path / "out", "--json"), capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert [record["status"] for record in records] == ["done"] * 3
    assert scratch_below(tmp_path / "out") == []


def test_two_plans_into_one_folder_both_finish(toys: Any, tmp_path: Path) -> None:
    words = command(toys, tmp_path / "out", "--json")
    plans = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    both = [json.loads(plan.communicate()[0]) for plan in plans]
    assert [plan.returncode for plan in plans] == [0, 0]
    assert [record["status"] for records in both for record in records] == ["done"] * 6
    first, second = ([record["scores"] for record in records] for records in both)
    assert first == second
    stored = [path for path in (tmp_path / "out").rglob("record.json")]
    assert len(stored) == 3 and scratch_below(tmp_path / "out") == []


def test_a_full_disk_is_the_jobs_failure_in_one_sentence(toys: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(out)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk to fill can be mounted by root alone")
    try:
        (out / "large").write_bytes(bytes(252 << 10))
        ended = toys.run("processes", ["a", "b"], out, workers=1, threads=1)
        (out / "large").unlink()
        again = toys.run("processes", ["a", "b"], out, workers=1, threads=1)
    finally:
        subprocess.run(["umount", str(out)], check=True)
    for result in ended.values():
        assert isinstance(result, BadInput)
        assert "No space left on device" in str(result) and "Free space" in str(result)
    for result in again.values():
        assert toys.bits(result)


def test_a_script_without_a_main_guard_is_told_of_it(toys: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import fpbench\n"
        f"fpbench.run('toy', {toys.side.location!r}, budget='smoke', offline=True,\n"
        f"            out={str(tmp_path / 'out')!r}, executor='processes', workers=1)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr.splitlines()[-1]


def test_local_runs_one_job_at_a_time() -> None:
    with pytest.raises(BadInput, match="--executor processes"):
        executor_named("local", ExecutorOptions(workers=2))


def test_a_setting_that_no_engine_takes_is_refused() -> None:
    with pytest.raises(BadInput, match="'processes' has no setting 'partition'"):
        executor_named("processes", ExecutorOptions(engine={"partition": "gpu"}))
