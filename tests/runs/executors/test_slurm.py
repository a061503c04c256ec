"""Jobs on a real Slurm cluster of one node, which the tests start and stop."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fpbench
from fpbench.errors import BadInput
from fpbench.runs.executors import slurm
from fpbench.runs.executors.base import ExecutorOptions
from fpbench.runs.executors.slurm_queue import ask_queue
from fpbench.runs.run_plan import executor_named

DAEMONS = ("munged", "slurmctld", "slurmd")

CONFIGURATION = """
ClusterName=fpbench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SlurmdParameters=config_overrides
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A controller and a node of our own; ports, keys and logs lie in a folder of theirs."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {missing[0]} on the PATH; on Debian: apt-get install slurm-wlm munge")
    if os.geteuid():
        pytest.skip("a node of Slurm runs as root alone")
    folder = Path(tempfile.mkdtemp(prefix="fpbench-slurm-"))
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(folder=folder, host=host, controller=free_port(), node=free_port())
    )
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o600)
    own = [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    daemons: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> None:
        with (folder / f"{words[0]}.out").open("wb") as log:
            daemons.append(subprocess.Popen(words, stdout=log, stderr=log))

    def wait_for(*words: str) -> None:
        end = time.monotonic() + 60
        while not succeeds(*words):
            logs = {path.name: path.read_text()[-2000:] for path in folder.glob("*.out")}
            assert time.monotonic() < end, logs
            assert all(daemon.poll() is None for daemon in daemons), logs
            time.sleep(0.1)

    try:
        start("munged", "--foreground", "--force", f"--key-file={folder}/key",
              f"--socket={folder}/munge.socket", *own)  # fmt: skip
        wait_for("munge", "-S", f"{folder}/munge.socket", "-n")
        start("slurmctld", "-D")
        start("slurmd", "-D")
        wait_for("srun", "--immediate=5", "true")
        yield
    finally:
        succeeds("scancel", "--me")
        end = time.monotonic() + 30
        while succeeds("squeue", "--me") and running() and time.monotonic() < end:
            time.sleep(0.1)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


def running() -> list[str]:
    return [task for task, state in ask_queue().items() if not state.gone]


def test_an_array_gives_the_bits_of_local_and_a_second_run_completes_it(
    cluster: None, toys: Any, heard: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "LATE", 1.0)
    toys.tell("k", "kill")
    labels = ["a", "k", "b"]
    here = toys.run("local", ["a"], tmp_path / "local", threads=2)
    first = toys.run(
        "slurm", labels, tmp_path / "out", heard,
        workers=2, threads=2, engine={"partition": "main", "time": "00:07:00"},
    )  # fmt: skip
    assert sorted(first) == sorted(labels)
    for label in ("a", "b"):
        assert toys.bits(first[label]) == toys.bits(here["a"])
        assert first[label].environment.threads == 2
        assert first[label].environment.executor == "slurm"
    assert {threads for *_, threads in toys.ran()[1:]} == {"2"}
    assert sorted(heard.told) == sorted(
        (w, label) for w in ("started", "ended") for label in labels
    )
    said = toys.reason(first["k"])
    assert "(FAILED)" in said
    log = Path(said.rpartition("its log is ")[2].removesuffix("."))
    assert log.parent == tmp_path / "out" / ".slurm" and "Killed" in log.read_text()
    (script,) = (tmp_path / "out" / ".slurm").glob("[0-9]*.sh")
    for option in ("--partition=main", "--time=00:07:00", "--cpus-per-task=2", "--array=0-2%2"):
        assert f"#SBATCH {option}\n" in script.read_text()
    toys.forget("k")
    (toys.folder / "ran.txt").unlink()
    second = toys.run("slurm", labels, tmp_path / "out", workers=2, threads=2)
    assert [label for label, *_ in toys.ran()] == ["k"]
    assert {str(toys.bits(result)) for result in second.values()} == {str(toys.bits(here["a"]))}


def test_a_plan_that_is_gone_is_taken_up_and_nothing_is_submitted_twice(
    cluster: None, toys: Any, heard: Any, tmp_path: Path
) -> None:
    toys.tell("a", "wait")
    asked = {
        "methods": "toy", "datasets": toys.side.location, "seeds": 2, "params": {"label": "a"},
        "budget": "smoke", "scores": ["accuracy"], "out": str(tmp_path / "out"), "offline": True,
        "device": "cpu", "executor": "slurm", "workers": 2, "threads": 1,
    }  # fmt: skip
    gone = subprocess.Popen([sys.executable, "-c", f"import fpbench; fpbench.run(**{asked!r})"])
    toys.waiting(2)
    gone.send_signal(signal.SIGKILL)
    gone.wait()
    before = running()
    assert len(before) == 2
    records: list[Any] = []
    plan = threading.Thread(target=lambda: records.extend(fpbench.run(**asked, report=heard)))
    plan.start()
    toys.wait_for(lambda: len(heard.told) == 2)
    assert running() == before
    toys.forget("a")
    plan.join()
    assert [record.status for record in records] == ["done", "done"]
    assert len(toys.ran()) == 2
    toys.wait_for(lambda: running() == [])
    assert not list((tmp_path / "out" / ".slurm").glob("*.pkl"))


def test_more_jobs_than_an_array_holds_share_its_tasks(
    cluster: None, toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm, "LATE", 1.0)
    monkeypatch.setattr(slurm, "LARGEST_ARRAY", 2)
    toys.tell("k", "kill")
    ended = toys.run("slurm", ["a", "k", "b"], tmp_path / "out", workers=2, threads=1)
    assert len({pid for _, pid, _ in toys.ran()}) == 2
    assert toys.bits(ended["a"]) == toys.bits(ended["b"])
    assert "(FAILED)" in toys.reason(ended["k"])


def test_what_slurm_refuses_is_told_in_its_words(
    cluster: None, toys: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(ask_queue())
    with pytest.raises(BadInput, match="invalid partition"):
        toys.run("slurm", ["a"], tmp_path / "out", engine={"partition": "nowhere"})
    with pytest.raises(BadInput, match="unrecognized option '--colour=red'"):
        toys.run("slurm", ["a"], tmp_path / "out", engine={"colour": "red"})
    assert set(ask_queue()) == before and toys.ran() == []
    assert "sbatch" not in capfd.readouterr().err


def test_an_option_that_fpbench_sets_is_refused() -> None:
    with pytest.raises(BadInput, match="cpus_per_task of sbatch is set by --threads"):
        executor_named("slurm", ExecutorOptions(engine={"cpus_per_task": "8"}))


@pytest.mark.parametrize("engine", [{"partition": "a\nrm -r x"}, {"": "x"}, {"a b": "x"},
                                    {"partition=a\n": "x"}])  # fmt: skip
def test_what_is_no_line_of_a_script_is_refused(engine: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="is no option of sbatch"):
        executor_named("slurm", ExecutorOptions(engine=engine))


def test_without_slurm_its_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadInput, match=r"needs Slurm's command sbatch.*--executor processes"):
        executor_named("slurm")


def test_without_submitit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(BadInput, match=r"needs submitit; install it with: pip install .*\[slurm\]"):
        executor_named("slurm")
