"""Tampered values, wrong revisions and swapped predictions are caught; honest records pass."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fpbench.cli.main import cli
from fpbench.errors import BadInput
from fpbench.leaderboard.archive.claims import Difference
from fpbench.leaderboard.audit.rerun import judged_rerun, other_seeds
from fpbench.leaderboard.audit.verify import verify
from fpbench.runs.evidence import write_embeddings
from fpbench.runs.job import Job
from fpbench.runs.record import ScoreEntry, read_record


def change(path: Path, keep_job: bool = False, **changes: Any) -> None:
    document = json.loads(path.read_text("utf-8"))
    for key, value in changes.items():
        target = document
        *parents, last = key.split("__")
        for part in parents:
            target = target[part]
        target[last] = value
    if keep_job:
        document["key"] = Job.from_dict(document["job"]).key
    path.write_text(json.dumps(document), "utf-8")


def outcomes(path: Path, **settings: Any) -> dict[str, str]:
    return {step.what: step.outcome for step in verify(path, rerun=False, **settings).steps}


def test_honest_record(make_run: Any) -> None:
    found = verify(make_run(), rerun=False)
    assert found.outcome == "bitwise"
    assert {s.what: s.outcome for s in found.steps} == {
        "job": "bitwise", "files": "bitwise", "scores": "bitwise",
        "embeddings": "not checked", "rerun": "not checked",
    }  # fmt: skip


def test_record_on_a_board(add: Any) -> None:
    assert verify(add(), rerun=False).outcome == "bitwise"


def test_tampered_value(make_run: Any) -> None:
    path = make_run()
    change(path, scores__accuracy__value=0.99)
    found = verify(path, rerun=False)
    assert found.outcome == "mismatch"
    (scores,) = [s for s in found.steps if s.what == "scores"]
    assert scores.details == (f"accuracy.value: 0.99 in the record, {0.8194444444444445} found",)


def test_invented_score(make_run: Any) -> None:
    path = make_run()
    change(path, scores__better={"value": 1.0, "n": 5})
    assert outcomes(path)["scores"] == "mismatch"


def test_last_digit_is_within_tolerance(make_run: Any) -> None:
    path = make_run()
    value = json.loads(path.read_text("utf-8"))["scores"]["accuracy"]["value"]
    change(path, scores__accuracy__value=value + 1e-15)
    assert outcomes(path)["scores"] == "within tolerance"


def test_wrong_revision(make_run: Any) -> None:
    path = make_run()
    revision = "2-000000000000"
    change(path, job__train__revision=revision, job__test__revision=revision)
    assert outcomes(path)["job"] == "mismatch"


def test_wrong_revision_with_a_job_made_to_fit(make_run: Any) -> None:
    path = make_run(dataset="gm-mini")
    revision = "1-ffffffffffff"
    change(path, keep_job=True, job__train__revision=revision, job__test__revision=revision)
    found = verify(path, offline=True)
    assert {s.what: s.outcome for s in found.steps}["job"] == "bitwise"
    (dataset,) = [s for s in found.steps if s.what == "dataset"]
    assert dataset.outcome == "mismatch"
    assert "gm-mini is revision" in dataset.details[0]


def test_swapped_predictions(make_run: Any) -> None:
    path, other = make_run(skill=0.8), make_run(skill=0.5)
    shutil.copy(other.parent / "predictions.parquet", path.parent / "predictions.parquet")
    found = outcomes(path)
    assert found["files"] == "mismatch"
    assert found["scores"] == "mismatch"


def test_swapped_predictions_with_checksums_made_to_fit(make_run: Any) -> None:
    path, other = make_run(skill=0.8), make_run(skill=0.5)
    target = path.parent / "predictions.parquet"
    shutil.copy(other.parent / "predictions.parquet", target)
    content = target.read_bytes()
    change(
        path,
        artifacts__predictions__sha256=hashlib.sha256(content).hexdigest(),
        artifacts__predictions__size=len(content),
    )
    found = outcomes(path)
    assert found["files"] == "bitwise"
    assert found["scores"] == "mismatch"


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((23, 25), "the record has 23 test images of 'gan-a', the predictions 24"),
        ((23, 24), "predictions.parquet judges 96 images, but there are 95"),
        ((10**9, 24), "judges 96 images, but there are 1000000072"),
    ],
)
def test_other_counts_than_the_record_states(
    make_run: Any, counts: tuple[int, int], told: str
) -> None:
    path = make_run()
    document = json.loads(path.read_text("utf-8"))
    for position, count in enumerate(counts, start=1):
        document["test"]["sources"][position]["test"] = count
    path.write_text(json.dumps(document), "utf-8")
    (scores,) = [s for s in verify(path, rerun=False).steps if s.what == "scores"]
    assert scores.outcome == "mismatch" and told in scores.details[0]


def test_record_of_version_1(make_run: Any, as_version_1: Any) -> None:
    path = make_run()
    as_version_1(path)
    assert verify(path, rerun=False).outcome == "bitwise"
    assert verify(path.parent, rerun=False).outcome == "bitwise"
    change(path, protocol__seed=9)
    assert outcomes(path)["job"] == "mismatch"


def test_record_with_some_scores(make_run: Any) -> None:
    path = make_run(families=["attribution", "separability"])
    assert set(json.loads(path.read_text("utf-8"))["scores"]) > {"accuracy", "fdr_raw"}
    assert verify(path, rerun=False).outcome == "bitwise"
    change(path, setup__families=None)
    assert outcomes(path)["scores"] == "mismatch"  # the others are missing from the record


def test_missing_file(make_run: Any) -> None:
    path = make_run()
    (path.parent / "evidence.safetensors").unlink()
    found = verify(path, rerun=False)
    assert found.outcome == "mismatch"
    assert "is missing" in found.steps[1].details[0]


def test_dataset_that_is_not_here(make_run: Any) -> None:
    found = verify(make_run(dataset="nowhere-to-be-found"), offline=True)
    assert found.outcome == "bitwise"
    assert found.steps[-1].what == "dataset"
    assert found.steps[-1].outcome == "not checked"


def test_declined_record_has_no_scores_to_follow(make_run: Any) -> None:
    found = verify(make_run(status="declined", reason="no weights"))
    assert found.steps[-1].outcome == "not checked"
    assert "no weights" in found.steps[-1].details[0]


def with_embeddings(path: Path, noise: float = 0.0) -> None:
    """Embeddings from which the correlations in the evidence follow."""
    from safetensors.numpy import load_file, save_file

    from fpbench.metrics.decorrelation import (
        fingerprint_correlations,
        item_correlations,
        source_fingerprints,
    )

    rng = np.random.default_rng(0)
    means = rng.normal(size=(4, 64)).astype(np.float32)
    test = (means[np.repeat(np.arange(4), 24)] + rng.normal(size=(96, 64))).astype(np.float32)
    prints = source_fingerprints(means[1:], np.arange(3))
    file = path.parent / "evidence.safetensors"
    arrays = load_file(file)
    arrays["correlations"] = item_correlations(test, prints).astype(np.float32)
    arrays["fingerprint_correlations"] = fingerprint_correlations(prints).astype(np.float32)
    arrays["correlations"][0, 0] += noise
    save_file(arrays, file)
    document = json.loads(path.read_text("utf-8"))
    entry = write_embeddings(path.parent, test, means)
    document["artifacts"]["embeddings"] = entry.model_dump()
    path.write_text(json.dumps(document), "utf-8")


def test_correlations_follow_from_embeddings(make_run: Any) -> None:
    path = make_run()
    with_embeddings(path)
    assert outcomes(path)["embeddings"] in ("bitwise", "within tolerance")
    other = make_run(seed=1)
    with_embeddings(other, noise=0.2)
    assert outcomes(other)["embeddings"] == "mismatch"


def entries(value: float, low: float | None, high: float | None) -> dict[str, ScoreEntry]:
    return {"accuracy": ScoreEntry(value=value, ci_low=low, ci_high=high, n=100, chance=0.1)}


LABELS = np.repeat(np.arange(4), 50)


def answers(seed: int, dealt: bool = False) -> np.ndarray[Any, Any]:
    """Probabilities of one training; the same images are easy for all, unless they are dealt."""
    easy = np.random.default_rng(0).normal(size=200)
    rng = np.random.default_rng([1, seed])
    own = 1 / (1 + np.exp(-1.5 - easy - 0.7 * rng.normal(size=200)))
    proba = np.repeat((1 - own)[:, None] / 3, 4, axis=1)
    proba[np.arange(200), LABELS] = own
    if dealt:  # to other images of the same source: no score tells
        proba = proba[np.concatenate([50 * k + rng.permutation(50) for k in range(4)])]
    return proba


def rerun(
    recorded: dict[str, ScoreEntry],
    found: float,
    tolerance: float = 0.5,
    seeds: tuple[float, ...] = (),
    dealt: bool = False,
) -> Any:
    return judged_rerun(
        recorded,
        [Difference("accuracy", "value", recorded["accuracy"].value, found)],
        (answers(0), answers(1, dealt), LABELS),
        tolerance,
        [entries(value, None, None) for value in seeds],
    )


@pytest.mark.parametrize(
    ("found", "low", "high", "outcome"),
    [
        (0.81, 0.75, 0.85, "within tolerance"),
        (0.83, 0.75, 0.85, "reproduced within seed variation"),
        (0.59, 0.75, 0.85, "mismatch"),
        (0.805, None, None, "within tolerance"),
        (0.9, None, None, "reproduced within seed variation"),
        (1.01, None, None, "mismatch"),
    ],
)
def test_rerun_is_judged_by_the_interval(
    found: float, low: float | None, high: float | None, outcome: str
) -> None:
    step = rerun(entries(0.8, low, high), found, 0.3)
    assert step.outcome == outcome
    assert "at most" in step.details[0]


def test_seeds_of_the_row_say_how_far_a_rerun_may_lie() -> None:
    """Mean 0.80375, standard deviation 0.00479, so 3.182 √1.25 0.00479 = 0.01704 to each side."""
    four = entries(0.80, 0.795, 0.805)
    found = rerun(four, 0.818, seeds=(0.81, 0.80, 0.805))
    assert found.outcome == "reproduced within seed variation"
    assert "by the 4 seeds beside the record" in found.details[1]
    assert found.details[2].endswith("another seed: 0.7867 to 0.8208")
    found = rerun(four, 0.83, seeds=(0.81, 0.80, 0.805))
    assert found.outcome == "mismatch"
    assert "0.83 found; another seed: 0.7867 to 0.8208" in found.details[1]


def test_answers_dealt_to_other_images_are_a_mismatch_whatever_the_scores() -> None:
    found = rerun(entries(0.8, 0.79, 0.81), 0.82, dealt=True)
    assert found.outcome == "mismatch"
    assert "do not find the same images easy" in found.details[1]


@pytest.mark.parametrize("field", ["n", "reason", "score"])
def test_rerun_with_other_counts_is_a_mismatch(field: str) -> None:
    step = judged_rerun(
        entries(0.8, 0.7, 0.9),
        [Difference("accuracy", field, 100, 90)],
        (answers(0), answers(1), LABELS),
    )
    assert step.outcome == "mismatch"


def test_other_seeds_lie_beside_a_record(make_run: Any, add: Any) -> None:
    runs = [make_run(seed=k) for k in range(3)]
    make_run(seed=5, budget="smoke")
    (runs[2].parent / "predictions.parquet").unlink()
    record = read_record(runs[0])
    found = other_seeds(record, runs[0])
    assert [scores["accuracy"] for scores in found] == [read_record(runs[1]).scores["accuracy"]]
    placed = [add(seed=k) for k in range(3)]
    assert len(other_seeds(read_record(placed[1]), placed[1])) == 2


def test_what_is_no_record(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"There is no record .*nowhere\.json\.$"):
        verify(tmp_path / "nowhere.json")
    with pytest.raises(BadInput, match=r"holds no record\.json; name a record"):
        verify(tmp_path)


def test_command(make_run: Any) -> None:
    good, bad = make_run(), make_run(seed=1)
    change(bad, scores__accuracy__value=0.99)
    runner = CliRunner()
    done = runner.invoke(cli, ["verify", str(good), "--no-rerun"])
    assert done.exit_code == 0
    assert f"{good}: bitwise" in done.output
    done = runner.invoke(cli, ["verify", str(good), str(bad), "--no-rerun", "--json"])
    assert done.exit_code == 1
    assert [item["outcome"] for item in json.loads(done.stdout)] == ["bitwise", "mismatch"]
    required = runner.invoke(cli, ["verify", str(good), "--no-rerun", "--require-rerun"])
    assert required.exit_code == 1


@pytest.mark.parametrize("name", ["x" * 300, "/".join(["x" * 200] * 30)])
def test_a_name_that_no_file_can_have_is_told(name: str) -> None:
    done = CliRunner().invoke(cli, ["verify", name])
    assert done.exit_code == 2 and "File name too long" in done.output
    with pytest.raises(BadInput, match="File name too long"):
        read_record(Path(name))
