"""A plan runs to its end whatever single jobs do, and runs nothing twice."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench.datasets.dataset import GMDataset
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import Method, MethodDeclined
from fpbench.runs import figures
from fpbench.runs.executors.base import Executor, ExecutorOptions, Report, Result
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.record import Record, read_record
from fpbench.runs.rescoring import score_again
from fpbench.runs.run_plan import iterate_plan, run_plan
from fpbench.runs.store import Store

Plugins = dict[str, type[Method]]
World = dict[str, GMDataset]

QUICK = JobOptions(device="cpu", figures=False)


class Told(Report):
    """Keeps what it is told, in a line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begun(self, jobs: Any, done_before: Any) -> None:
        self.lines.append(f"begun {len(jobs)}, {len(done_before)} done before")

    def started(self, job: Job) -> None:
        self.lines.append(f"started {job.title}")

    def progress(self, job: Job, what: str, done: int, total: int) -> None:
        if self.lines[-1] != f"progress of {job.title}":
            self.lines.append(f"progress of {job.title}")

    def ended(self, job: Job, result: Result) -> None:
        status = result.status if isinstance(result, Record) else f"refused: {result}"
        self.lines.append(f"{status} {job.title}")


def planned(world: World, methods: list[str], names: str = "a", **settings: Any) -> list[Job]:
    sides = [one_side(name, world[name].identity) for name in names.split()]
    return make_plan(methods, [(side, side) for side in sides], **settings)


def test_jobs_done_before_are_found_and_not_run_again(
    world: World, plugins: Plugins, tmp_path: Path
) -> None:
    fits = []

    class Counting(plugins["colour"]):  # type: ignore[misc]
        def fit(self, *args: Any, **rest: Any) -> Method:
            fits.append(rest["context"].seed)
            fitted: Method = super().fit(*args, **rest)
            return fitted

    plugins["colour"] = Counting
    store, told = Store(tmp_path), Told()
    (first,) = run_plan(planned(world, ["colour"]), store, options=QUICK, report=told)
    title = first[0].title
    assert told.lines == ["begun 1, 0 done before", f"started {title}", f"progress of {title}",
                          f"done {title}"]  # fmt: skip
    told = Told()
    plan = planned(world, ["colour"], seeds=(0, 1))
    both = run_plan(plan, store, options=QUICK, report=told)
    assert fits == [0, 1] and [job for job, _ in both] == plan
    assert both[0] == first and told.lines[0] == "begun 1, 1 done before"
    world.clear()  # nothing can be loaded any more
    assert run_plan([*plan, plan[0]], store, options=QUICK) == [*both, both[0]]
    assert fits == [0, 1]


def test_records_say_what_ran_them(world: World, tmp_path: Path) -> None:
    plan = planned(world, ["colour"])
    options = dataclasses.replace(QUICK, executor="somebody", threads=1)
    ((job, record),) = run_plan(plan, Store(tmp_path), options=options)
    assert record.environment.executor == "local" and record.environment.threads == 1
    assert record.test.sources[0].test == 30 and record.setup.fdr_samples == 30
    assert score_again(record, Store(tmp_path).folder(job)) == record.score_values


def test_a_dataset_that_changed_is_told_and_the_other_jobs_finish(
    world: World, tmp_path: Path
) -> None:
    plan = planned(world, ["colour"], "a b large")
    identity = dataclasses.replace(world["b"].identity, content_hash="other")
    world["b"] = dataclasses.replace(world["b"], identity=identity)
    store, told = Store(tmp_path), Told()
    ended = iterate_plan(plan, store, options=QUICK, report=told)
    results = {job.test.name: result for job, result in ended}
    assert list(results) == ["a", "b", "large"]
    refused = results["b"]
    assert isinstance(refused, BadInput)
    assert "The dataset b changed while the plan was running; start it again" in str(refused)
    assert sum("refused" in line for line in told.lines) == 1
    assert [job.test.name for job in plan if store.find(job)] == ["a", "large"]
    assert not store.folder(plan[1]).exists()
    with pytest.raises(BadInput, match="The dataset b changed"):
        run_plan(plan, store, options=QUICK)


def test_a_method_that_ends_the_process_is_a_failed_job(
    world: World, plugins: Plugins, tmp_path: Path
) -> None:
    class Quitter(plugins["colour"]):  # type: ignore[misc]
        def fit(self, *args: Any, **rest: Any) -> Method:
            sys.exit(3)

    class Breaking(plugins["colour"]):  # type: ignore[misc]
        def predict_proba(self, images: ImageSet) -> Any:
            return np.full((len(images), 4), np.nan, np.float32)

    class Declining(plugins["colour"]):  # type: ignore[misc]
        def fit(self, *args: Any, **rest: Any) -> Method:
            raise MethodDeclined("no weights")

    plugins |= {"quitter": Quitter, "breaking": Breaking, "declining": Declining}
    store = Store(tmp_path)
    plan = planned(world, ["quitter", "breaking", "declining", "colour"])
    records = [record for _, record in run_plan(plan, store, options=QUICK)]
    assert [record.status for record in records] == ["failed", "failed", "declined", "done"]
    assert records[0].reason == "it called sys.exit(3), which a method must not"
    assert "NaN or infinity for 120 of 120 images" in (records[1].reason or "")
    assert "SystemExit: 3" in (store.folder(plan[0]) / "traceback.txt").read_text()
    assert [job.method for job in plan if store.find(job)] == ["colour"]


def test_an_interrupt_ends_the_plan_and_keeps_what_is_done(
    world: World, plugins: Plugins, tmp_path: Path
) -> None:
    class Interrupted(plugins["colour"]):  # type: ignore[misc]
        def embed(self, images: ImageSet) -> Any:
            raise KeyboardInterrupt

    plugins["interrupted"] = Interrupted
    store = Store(tmp_path)
    plan = planned(world, ["colour", "interrupted"])
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, store, options=QUICK)
    assert [job.method for job in plan if store.find(job)] == ["colour"]
    assert not store.folder(plan[1]).exists() and not list(tmp_path.rglob(".partial*"))


def test_some_scores_are_computed_alone_and_all_later_by_another_run(
    world: World, tmp_path: Path
) -> None:
    store, plan = Store(tmp_path), planned(world, ["colour"])
    some = dataclasses.replace(QUICK, scores=("accuracy", "fdr"))
    ((job, few),) = run_plan(plan, store, options=some)
    assert few.setup.families == ["attribution", "separability"]
    assert {"accuracy", "auc", "auc_real", "fdr", "fdr_raw"} <= set(few.scores)
    assert not {"purity", "decorrelation_margin", "accuracy_bag10"} & set(few.scores)
    assert "structure" not in few.artifacts
    assert score_again(few, store.folder(job)) == few.score_values
    told = Told()
    assert run_plan(plan, store, options=dataclasses.replace(QUICK, scores=("auc",)), report=told)
    assert told.lines == ["begun 0, 1 done before"]
    ((_, whole),) = run_plan(plan, store, options=QUICK)
    assert whole.setup.families is None and {"purity", "accuracy_bag10"} <= set(whole.scores)
    assert {key: whole.scores[key] for key in few.scores} == few.scores
    # And those named are among all that there are now.
    ((_, found),) = run_plan(plan, store, options=some)
    assert found == whole


def test_a_score_of_another_protocol_is_refused_before_anything_runs(
    world: World, tmp_path: Path
) -> None:
    wrong = dataclasses.replace(QUICK, scores=("shared_masked",))
    with pytest.raises(BadInput, match="no score or family of scores 'shared_masked'"):
        run_plan(planned(world, ["colour"]), Store(tmp_path), options=wrong)
    assert not list(tmp_path.rglob("record.json"))


def test_a_figure_that_cannot_be_drawn_is_a_note_in_the_record(
    world: World, plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Showing(plugins["colour"]):  # type: ignore[misc]
        def residual(self, images: ImageSet) -> Any:
            return np.zeros((len(images), 3), np.float32)

    def spoilt(path: Path, *args: Any) -> None:
        path.write_bytes(b"half a picture")
        raise OSError("no font")

    def blank(path: Path, *args: Any) -> None:
        path.write_bytes(b"a picture")

    plugins["colour"] = Showing
    monkeypatch.setattr(figures, "plot_confusion", spoilt)
    monkeypatch.setattr(figures, "plot_correlations", blank)
    monkeypatch.setattr(figures, "plot_tsne", blank)
    store = Store(tmp_path)
    drawn = dataclasses.replace(QUICK, figures=True)
    ((job, record),) = run_plan(planned(world, ["colour"]), store, options=drawn)
    assert record.status == "done" and record.scores["accuracy"].value == 1
    assert record.notes == [
        "The figure confusion could not be drawn: OSError: no font",
        "The figure residuals could not be drawn: ValueError: residual returned shape (12, 3), "
        "or numbers not finite",
    ]
    assert read_record(store.folder(job)).notes == record.notes
    kept = {path.name for path in (store.folder(job) / "figures").iterdir()}
    assert kept == {"correlation.png", "tsne.png"}


class Backwards(Executor):
    """Runs the last job first."""

    name = "backwards"

    def submit(self, jobs: Any, store: Store, options: JobOptions, report: Report) -> Any:
        from fpbench.runs.execute import execute

        assert options.threads == 1  # as the executor's own options say
        for job in reversed(jobs):
            yield job, execute(job, store, options)


def test_results_come_as_jobs_end_and_are_returned_in_the_order_of_the_plan(
    world: World, tmp_path: Path
) -> None:
    plan = planned(world, ["colour"], "a b")
    executor = Backwards(ExecutorOptions(threads=1))
    ended = list(iterate_plan(plan, Store(tmp_path / "1"), executor=executor, options=QUICK))
    assert [job for job, _ in ended] == plan[::-1]
    found = run_plan(plan, Store(tmp_path / "2"), executor=executor, options=QUICK)
    assert [job for job, _ in found] == plan
    assert {record.environment.executor for _, record in found} == {"backwards"}


def test_a_store_that_cannot_be_written_is_refused_before_anything_runs(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"Cannot write to the output folder.*--out"):
        run_plan(planned(world, ["colour"]), Store(tmp_path / "file"), options=QUICK)
