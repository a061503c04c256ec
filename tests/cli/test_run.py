"""``fpbench run`` as a person meets it: output, exit codes, and what nonsense gets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpbench.cli.main import entry
from fpbench.runs.record import Record


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def write_images(folder: Path, sources: Sequence[str], count: int = 60, size: int = 32) -> None:
    """One folder of random PNG images per source, each source with a mean of its own."""
    generator = np.random.default_rng(0)
    for number, source in enumerate(sources):
        (folder / source).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 100, (size, size, 3)) + 40 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / source / f"{index:03}.png")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


RUN = ("run", "--method", "prnu", "--dataset", "gm-mini", "--budget", "smoke", "--device", "cpu")


def test_prints_a_table_then_shows_the_finished_job_at_once(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, told = call(capsys, *RUN, "--out", str(out))
    assert code == 0
    assert "accuracy, generators only" in shown and "95 % interval" in shown
    assert "record.json" in shown and "confusion" in shown
    assert "running" in told
    code, again, told = call(capsys, *RUN, "--out", str(out))
    assert code == 0 and "done before" in told
    assert again == shown


def test_json_is_one_document_of_valid_records(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, _ = call(capsys, *RUN, "--out", str(out), "--no-figures", "--json", "--seeds", "2")
    assert code == 0
    records = [Record.model_validate(document) for document in json.loads(shown)]
    assert [record.job.seed for record in records] == [0, 1]
    assert all(record.status == "done" for record in records)


def test_a_finished_job_is_shown_without_torch(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, *RUN, "--out", str(out))[0] == 0
    script = (
        "import sys\nfrom fpbench.cli.main import entry\n"
        f"try:\n    entry({[*RUN, '--out', str(out)]!r})\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = [m for m in ('torch', 'timm', 'datasets', 'sklearn') if m in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_folder_with_one_folder_per_source_is_a_dataset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "mine", ["real", "model-a", "model-b"])
    code, shown, told = call(
        capsys, "run", "--method", "prnu", "--dataset", str(tmp_path / "mine"),
        "--budget", "smoke", "--out", str(tmp_path / "out"), "--json", "--no-figures",
    )  # fmt: skip
    assert code == 0, told
    record = Record.model_validate(json.loads(shown)[0])
    assert [source.name for source in record.test.sources] == ["real", "model-a", "model-b"]
    assert record.test.reference is not None and record.test.reference > 0


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        (["--method", "manifptt", "--dataset", "gm-mini"], ["no method 'manifptt'", "manifpt"]),
        (["--method", "manifpt:sql", "--dataset", "gm-mini"], ["no variant 'sql'"]),
        (["--method", "prnu", "--dataset", "gm-mimi"], ["no dataset 'gm-mimi'", "gm-mini"]),
        (["--method", "prnu", "--dataset", "gm-mini", "--set", "sigmal=2"], ["sigma"]),
        (["--method", "prnu", "--dataset", "gm-mini", "--set", "sigma"], ["key=value"]),
        (["--method", "prnu", "--dataset", "gm-mini", "--folds", "999"], ["--folds 999"]),
        (["--method", "prnu", "--dataset", "gm-mini", "--device", "tpu"], ["'tpu'", "cpu"]),
        (["--method", "prnu", "--dataset", "gm-synthetic:wiggles"], ["wiggles"]),
        (["--time-limit", "nan"], ["nan is no finite number"]),
        (["--time-limit", "0"], ["0.0 is not in the range"]),
    ],
)
def test_nonsense_gets_one_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentences: list[str]
) -> None:
    code, shown, told = call(capsys, "run", *words, "--out", str(tmp_path), "--no-figures")
    assert code == 2
    assert shown == ""
    assert "Traceback" not in told
    for sentence in sentences:
        assert sentence in told


def test_a_hub_that_cannot_be_reached_names_repository_and_remedy(tmp_path: Path) -> None:
    environment = os.environ | {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "fpbench", "run", "--method", "prnu", "--dataset", "someone/faces",
         "--out", str(tmp_path)],
        capture_output=True, text=True, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "someone/faces" in done.stderr and "Traceback" not in done.stderr
    assert "local" in done.stderr or "build" in done.stderr


def spoil(folder: Path, how: str) -> str:
    """Spoil one image of a folder dataset; the name that the message must give."""
    image = folder / "model-a" / "007.png"
    if how == "truncated":
        image.write_bytes(image.read_bytes()[:200])
    elif how == "not an image":
        image.write_text("not an image")
    elif how == "other size":
        Image.new("RGB", (48, 48)).save(image)
    elif how == "transparent":
        Image.new("RGBA", (32, 32), (9, 9, 9, 9)).save(image)
    elif how == "grey":
        Image.new("LA", (32, 32)).save(image)
    elif how == "few":
        for path in sorted((folder / "model-a").glob("*.png"))[3:]:
            path.unlink()
        return "model-a"
    return "007.png"


@pytest.mark.parametrize(
    "how", ["truncated", "not an image", "other size", "transparent", "grey", "few"]
)
def test_a_folder_with_a_fault_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    write_images(tmp_path / "mine", ["real", "model-a"])
    named = spoil(tmp_path / "mine", how)
    code, _, told = call(
        capsys, "run", "--method", "prnu", "--dataset", str(tmp_path / "mine"),
        "--out", str(tmp_path / "out"), "--no-figures",
    )  # fmt: skip
    assert code == 2
    assert named in told and "Traceback" not in told


def test_an_output_folder_that_cannot_be_written_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    code, _, told = call(capsys, *RUN, "--out", str(tmp_path / "file"))
    assert code == 2 and "Cannot write to the output folder" in told


def test_ctrl_c_keeps_finished_jobs_and_leaves_nothing_half_written(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, *RUN, "--out", str(out))[0] == 0
    shutil.copytree(out, tmp_path / "runs")
    before = sorted(path.parent.name for path in (tmp_path / "runs").rglob("record.json"))
    process = subprocess.Popen(
        [sys.executable, "-m", "fpbench", "run", "--method", "prnu", "--method", "manifpt",
         "--dataset", "gm-mini", "--device", "cpu", "--budget", "small",
         "--out", str(tmp_path / "runs")],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not list((tmp_path / "runs").glob("*/manifpt-*/.partial-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert "Interrupted" in told and "Traceback" not in told
    after = sorted(path.parent.name for path in (tmp_path / "runs").rglob("record.json"))
    assert set(before) < set(after)  # the finished small prnu job was kept as well
    assert list((tmp_path / "runs").rglob(".partial-*")) == []


def test_what_can_be_run_is_run_and_the_rest_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dataset that is not there, before one that is: nothing finished goes untold."""
    words = ["run", "--method", "majority", "--dataset", "gm-mimi", "--dataset", "gm-mini"]
    words += ["--budget", "smoke", "--scores", "accuracy", "--no-figures", "--out", str(tmp_path)]
    code, shown, told = call(capsys, *words, "--json")
    assert code == 1 and "no dataset 'gm-mimi'" in told
    (record,) = (Record.model_validate(document) for document in json.loads(shown))
    assert record.status == "done" and record.setup.families == ["attribution"]
    assert set(record.scores) == {
        "accuracy", "accuracy_with_real", "auc", "auc_with_real", "auc_real"
    }  # fmt: skip
    code, _, told = call(capsys, *words)
    assert code == 1 and "done before" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--executor", "slrum"], "no executor 'slrum'. Did you mean slurm?"),
        (["--device", "tpu"], "There is no device 'tpu'"),
        (
            ["--protocol", "open-sets"],
            "no protocol 'open-sets'. Did you mean open-set or closed-set?",
        ),
        (["--scores", "accurracy"], "accurracy"),
        (["--seeds", "20000000"], "20000000 is not in the range"),
        (["--set", "c=1", "--set", "c=2"], "twice"),
        (["--engine", "partition"], "key=value"),
    ],
)
def test_nonsense_about_how_to_run_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    code, shown, err = call(
        capsys, "run", "--method", "logdct", "--dataset", "gm-mini", "--out", str(tmp_path), *words
    )
    assert code == 2 and told in err and shown == ""
    assert "Traceback" not in err and list(tmp_path.iterdir()) == []
