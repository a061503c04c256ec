"""Real runs: verified by running them again, and taken all the way to the site."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fpbench.cli.main import cli
from fpbench.leaderboard.audit.verify import verify
from fpbench.runs.evidence import write_evidence
from fpbench.runs.record import read_record
from fpbench.runs.rescoring import evidence_of, score_again
from fpbench.scores.evidence import PROBABILITIES, Evidence


def invoke(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources of noise, each with a pattern of its own."""
    folder = tmp_path_factory.mktemp("images")
    for k, name in enumerate(("real", "gan-a", "gan-b")):
        (folder / name).mkdir()
        rng = np.random.default_rng(k)
        pattern = np.tile(rng.normal(0, 12, (4, 4, 3)), (4, 4, 1)) * (k > 0)
        for n in range(60):
            pixels = np.clip(rng.normal(128, 25, (16, 16, 3)) + pattern, 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{n}.png")
    return folder


@pytest.fixture
def run(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FPBENCH_CACHE", str(tmp_path / "cache"))
    invoke(
        "run", "--method", "prnu", "--dataset", str(images), "--budget", "smoke",
        "--device", "cpu", "--no-figures", "--out", str(tmp_path / "runs"),
    )  # fmt: skip
    (record,) = (tmp_path / "runs").rglob("record.json")
    return record


def test_a_run_is_repeated_bit_by_bit(images: Path, run: Path) -> None:
    found = verify(run, dataset=str(images), device="cpu")
    steps = {step.what: step.outcome for step in found.steps}
    assert steps["scores"] == steps["dataset"] == steps["rerun"] == "bitwise"
    # Means of embeddings are kept in single precision, correlations were made from double.
    assert steps["embeddings"] in ("bitwise", "within tolerance")


def test_a_rerun_uses_as_many_threads_as_the_record(
    images: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from fpbench.runs import execute as engine

    record = read_record(run)
    before = torch.get_num_threads()
    assert record.environment.threads == before
    other = record.environment.model_copy(update={"threads": before + 1})
    run.write_text(record.model_copy(update={"environment": other}).json_text(), "utf-8")
    seen = []
    original = engine.fit

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(torch.get_num_threads())
        return original(*arguments, **options)

    monkeypatch.setattr(engine, "fit", watched)
    found = verify(run, dataset=str(images), device="cpu")
    assert seen == [before + 1] and torch.get_num_threads() == before
    assert found.steps[-1].what == "rerun" and found.steps[-1].outcome != "not checked"


def test_predictions_swapped_with_scores_and_checksums_made_to_fit(images: Path, run: Path) -> None:
    record = read_record(run)
    evidence, labels = evidence_of(record, run.parent)
    better = np.full_like(evidence.proba, 0.05)
    better[np.arange(len(better)), labels.labels] = 0.9
    forged = Evidence({**evidence.arrays, PROBABILITIES: better}, evidence.reasons)
    artifacts = {**record.artifacts, **write_evidence(run.parent, forged, labels)}
    scores = score_again(record, run.parent)
    lie = record.model_copy(update={"artifacts": artifacts}).with_scores(scores)
    run.write_text(lie.json_text(), "utf-8")
    found = verify(run, dataset=str(images), device="cpu")
    steps = {step.what: step for step in found.steps}
    assert steps["files"].outcome == steps["scores"].outcome == "bitwise"
    assert steps["rerun"].outcome == "mismatch"
    assert "Probabilities differ by" in steps["rerun"].details[0]
    output = invoke("verify", str(run), "--dataset", str(images), "--device", "cpu", code=1)
    assert "mismatch" in output


def rewritten(run: Path, proba: np.ndarray[Any, Any], **environment: Any) -> None:
    """The run with other predictions, and everything in its record made to fit them."""
    record = read_record(run)
    evidence, labels = evidence_of(record, run.parent)
    other = Evidence({**evidence.arrays, PROBABILITIES: proba}, evidence.reasons)
    artifacts = {**record.artifacts, **write_evidence(run.parent, other, labels)}
    made = record.environment.model_copy(update=environment)
    record = record.model_copy(update={"artifacts": artifacts, "environment": made})
    record = record.with_scores(score_again(record, run.parent))
    run.write_text(record.json_text(), "utf-8")


def test_another_training_is_reproduced_and_shuffled_answers_are_not(
    images: Path, run: Path
) -> None:
    """As another processor would have trained it; then with its answers dealt to other images."""
    record = read_record(run)
    evidence, labels = evidence_of(record, run.parent)
    rng = np.random.default_rng(0)
    logits = np.log(evidence.proba + 1e-6)
    moved = np.exp(logits + 0.5 * logits.std() * rng.normal(size=logits.shape))
    moved = (moved / moved.sum(axis=1, keepdims=True)).astype(np.float32)
    arithmetic = record.environment.arithmetic
    assert arithmetic is not None and arithmetic.libraries["oneDNN of torch"]
    elsewhere = arithmetic.model_copy(update={"processor": "Another one, family 25"})
    rewritten(run, moved, arithmetic=elsewhere)
    found = verify(run, dataset=str(images), device="cpu")
    (step,) = [s for s in found.steps if s.what == "rerun"]
    assert step.outcome == "reproduced within seed variation", step.details
    assert found.outcome == "reproduced within seed variation"
    assert step.details[-1].startswith(
        f"Computed otherwise: processor: Another one, family 25 in the record, "
        f"{arithmetic.processor}"
    )
    dealt = moved.copy()
    for k in range(3):
        members = np.flatnonzero(labels.labels == k)
        dealt[members] = moved[rng.permutation(members)]
    rewritten(run, dealt)
    (step,) = [s for s in verify(run, dataset=str(images), device="cpu").steps if s.what == "rerun"]
    assert step.outcome == "mismatch"
    assert "do not find the same images easy" in step.details[1]


def test_another_folder_is_another_dataset(run: Path, tmp_path: Path, images: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(images, other)
    (other / "gan-a" / "0.png").unlink()
    (step,) = [s for s in verify(run, dataset=str(other)).steps if s.what == "dataset"]
    assert step.outcome == "mismatch"


def test_boards_are_made_and_followed_without_torch(root: Path, make_run: Any) -> None:
    record = make_run(method="prnu")
    commands = [
        ["submit", str(record), "--root", str(root)],
        ["leaderboard", "build", "--root", str(root)],
        ["leaderboard", "check", "--root", str(root)],
        ["leaderboard", "site", "--root", str(root), "--out", str(root.parent / "site")],
        ["leaderboard", "publish", "--root", str(root), "--to", str(root.parent / "site")],
        ["verify", str(record), "--no-rerun"],
    ]
    script = (
        "import sys\n"
        "from fpbench.cli.main import entry\n"
        f"for words in {commands!r}:\n"
        "    try:\n"
        "        entry(words)\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0, (words, end.code)\n"
        "heavy = [n for n in ('torch', 'timm', 'datasets', 'matplotlib') if n in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_from_a_run_on_gm_mini_to_the_site(tmp_path: Path) -> None:
    runs, root, site = tmp_path / "runs", tmp_path / "leaderboards", tmp_path / "site"
    root.mkdir()
    invoke(
        "run", "--method", "prnu", "--dataset", "gm-mini", "--budget", "smoke", "--seeds", "2",
        "--out", str(runs),
    )  # fmt: skip
    assert "2 new results" in invoke("submit", str(runs), "--root", str(root))
    invoke("leaderboard", "build", "--root", str(root))
    report = json.loads(invoke("leaderboard", "check", "--root", str(root), "--json"))
    assert report == {"records": 2, "rescored": 2, "changed": None, "problems": []}
    invoke("leaderboard", "site", "--root", str(root), "--out", str(site))
    page = (site / "datasets" / "gm-mini.html").read_text("utf-8")
    assert "prnu:wavelet" in page
    assert len(list((site / "pictures").glob("*-tsne.png"))) == 1
    record = next(root.glob("results/gm-mini/prnu/*.json"))
    output = invoke("verify", str(record))
    assert "rerun       bitwise" in output
