"""Files that parameters name, and weights that a method reads, are part of what a job is."""

from pathlib import Path
from typing import Annotated, Any

import pytest

from fpbench import registry
from fpbench.compute.weights import note_weights, weights_noted
from fpbench.errors import BadInput
from fpbench.files import file_sha256
from fpbench.images import ImageSet
from fpbench.method import File, FitContext, Method
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.run_plan import run_plan
from fpbench.runs.store import Store

from .conftest import Colour


class Weighted(Colour):
    """Reads a file of weights when it is fitted."""

    def __init__(self, *, weights: Annotated[str | None, File()] = None) -> None:
        super().__init__()
        self.weights = weights

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> "Weighted":
        if self.weights is not None:
            note_weights(Path(self.weights))
        super().fit(train, reference=reference, validation=validation, context=context)
        return self


@pytest.fixture
def weights(tmp_path: Path, plugins: dict[str, type[Method]]) -> Path:
    plugins["weighted"] = Weighted
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"first")
    return path


def plan(world: Any, **params: Any) -> list[Job]:
    side = one_side("a", world["a"].identity)
    return make_plan(["weighted"], [(side, side)], params=params, budget="smoke")


def test_another_file_of_the_same_name_is_another_job(world: Any, weights: Path) -> None:
    first = plan(world, weights=str(weights))[0]
    assert first.files == {"weights": file_sha256(weights)}
    assert plan(world, weights=str(weights))[0].key == first.key
    weights.write_bytes(b"second")
    assert plan(world, weights=str(weights))[0].key != first.key
    # A job without files is named as ever: published keys stay.
    assert "files" not in plan(world)[0]._content()
    assert Job.from_dict(first.to_dict()) == first


def test_a_file_that_is_not_there_is_refused_before_anything_runs(
    world: Any, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="there is no such plain file"):
        plan(world, weights=str(tmp_path / "none"))
    with pytest.raises(BadInput, match="there is no such plain file"):
        plan(world, weights=str(tmp_path))


def test_a_file_that_changes_before_its_job_runs_is_told(
    world: Any, weights: Path, tmp_path: Path
) -> None:
    jobs = plan(world, weights=str(weights))
    weights.write_bytes(b"second")
    with pytest.raises(BadInput, match=r"is not the one that weighted:only .* was planned with"):
        run_plan(jobs, Store(tmp_path / "runs"), options=JobOptions(device="cpu", figures=False))


def test_the_record_says_which_weights_were_read(world: Any, weights: Path, tmp_path: Path) -> None:
    ((job, record),) = run_plan(
        plan(world, weights=str(weights)),
        Store(tmp_path / "runs"),
        options=JobOptions(device="cpu", figures=False),
    )
    assert record.status == "done", record.reason
    assert record.method.weights == {"w.safetensors": file_sha256(weights)}
    assert record.job.files == job.files == {"weights": file_sha256(weights)}
    assert record.method.code == registry.code_hash(Weighted)


def test_weights_of_the_hub_are_named_by_repository_and_commit(tmp_path: Path) -> None:
    commit = "0123456789" * 4
    path = tmp_path / "hub" / "models--timm--resnet50.a1_in1k" / "snapshots" / commit / "model.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    with weights_noted() as noted:
        note_weights(path)
    assert noted == {f"timm/resnet50.a1_in1k@{commit}/model.bin": file_sha256(path)}
    note_weights(path)  # outside of a job nobody asks


def test_a_finished_job_is_repeated_if_asked_and_says_what_it_lacks(
    world: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fpbench.runs.executors.base import Report

    class Heard(Report):
        def __init__(self) -> None:
            self.remarks: list[str] = []

        def remark(self, job: Job, what: str) -> None:
            self.remarks.append(what)

    jobs, store = plan(world), Store(tmp_path / "runs")
    plain = JobOptions(device="cpu", figures=False)
    ((_, first),) = run_plan(jobs, store, options=plain)
    heard = Heard()
    ((_, same),) = run_plan(jobs, store, options=plain, report=heard)
    assert same == first and heard.remarks == []
    ((_, anew),) = run_plan(jobs, store, options=plain, again=True)
    assert anew.created > first.created and anew.scores == first.scores
    assert store.read(jobs[0]) == anew

    run_plan(jobs, store, options=JobOptions(device="cpu", figures=True), report=heard)
    assert len(heard.remarks) == 1 and "drawn from what is stored: confusion" in heard.remarks[0]
    monkeypatch.setattr(registry, "code_hash", lambda cls: "another")
    heard = Heard()
    run_plan(jobs, store, options=plain, report=heard)
    assert len(heard.remarks) == 1
    assert "the code of weighted has changed since, but not its version 1" in heard.remarks[0]
