"""Whole jobs on gm-synthetic and gm-mini: planted truth, null controls, records, failures."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench import registry
from fpbench.datasets.resolve import resolve
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodCard, MethodDeclined, Variant
from fpbench.metrics.null_control import chance_interval
from fpbench.runs.execute import TRACEBACK_FILE, execute
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.record import RECORD_FILE, Record, read_record
from fpbench.runs.rescoring import evidence_of, score_again
from fpbench.runs.store import Store
from fpbench.scores.evidence import PROBE

QUICK = JobOptions(device="cpu", figures=False)


def one_job(method: str, dataset: str, **settings: Any) -> Job:
    side = one_side(dataset, resolve(dataset).identity)
    (job,) = make_plan([method], [(side, side)], **settings)
    return job


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def finished(store: Store) -> tuple[Job, Record]:
    job = one_job("prnu", "gm-synthetic")
    return job, execute(job, store, JobOptions(device="cpu"))


def test_prnu_finds_the_planted_patterns(finished: tuple[Job, Record]) -> None:
    scores = finished[1].scores
    for key in ("accuracy", "accuracy_bag10", "accuracy_bag100", "probe_accuracy", "auc"):
        value = scores[key].value
        assert value is not None and value > 0.95, key
    assert scores["fdr"].value is not None and scores["fdr"].value > 10


def test_every_score_has_interval_chance_and_count_or_a_reason(
    finished: tuple[Job, Record],
) -> None:
    for key, score in finished[1].scores.items():
        if score.value is None:
            assert score.reason, key
            continue
        assert score.n > 0, key
        if key != "fdr_raw":
            assert score.ci_low is not None and score.ci_high is not None, key
            assert score.ci_low <= score.value + 1e-9 and score.value <= score.ci_high + 1e-9, key
        if key not in ("fdr_inter", "fdr_intra", "silhouette"):
            assert score.chance is not None, key


def test_the_record_describes_the_job(store: Store, finished: tuple[Job, Record]) -> None:
    job, record = finished
    assert read_record(store.folder(job) / RECORD_FILE) == record
    assert read_record(store.folder(job)) == record
    assert record.status == "done" and record.job == job and record.key == job.key
    assert record.train is None and record.trained == record.test
    assert record.test.sources[0].family == "Real"
    assert record.cost is not None and record.cost.peak_memory_bytes > 1e8
    assert record.environment.packages["torch"] and record.environment.executor == "local"
    assert record.setup.families is None and record.notes == []
    for entry in record.artifacts.values():
        content = (store.folder(job) / entry.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry.sha256
        assert len(content) == entry.size
    figures = {path.stem for path in (store.folder(job) / "figures").glob("*.png")}
    assert figures == {"confusion", "correlation", "dendrogram", "residuals", "tsne"}


def test_scores_follow_exactly_from_the_stored_evidence(
    store: Store, finished: tuple[Job, Record]
) -> None:
    job, record = finished
    found = score_again(record, store.folder(job))
    assert found == record.score_values
    assert record.with_scores(found) == record


def test_the_same_job_gives_the_same_scores(tmp_path: Path, finished: tuple[Job, Record]) -> None:
    job, record = finished
    again = execute(job, Store(tmp_path), QUICK)
    assert again.scores == record.scores
    assert again.artifacts == record.artifacts
    # Residuals of the first run are used again, and both parts and whole count their making.
    cost = again.cost
    assert cost is not None and cost.reused_seconds is not None
    assert 0 < cost.reused_seconds < cost.total_seconds
    assert cost.fit_seconds + cost.inference_seconds <= cost.total_seconds


@pytest.mark.parametrize(
    ("dataset", "method", "control"),
    [
        ("gm-synthetic:none", "prnu", "none"),
        ("gm-synthetic:none", "manifpt", "none"),
        ("gm-synthetic", "prnu", "shuffled-labels"),
        ("gm-synthetic", "manifpt", "shuffled-labels"),
        ("gm-mini", "prnu", "shuffled-labels"),
        pytest.param("gm-mini", "manifpt", "shuffled-labels", marks=pytest.mark.slow),
        pytest.param("gm-mini", "manifpt:freq", "shuffled-labels", marks=pytest.mark.slow),
    ],
)
def test_null_control_lands_at_chance(
    tmp_path: Path, dataset: str, method: str, control: Any
) -> None:
    """Without a fingerprint, or with shuffled labels, nothing is found; level 0.1 % for seven."""
    job = one_job(method, dataset, budget="smoke", control=control)
    store = Store(tmp_path)
    record = execute(job, store, QUICK)
    assert record.status == "done", record.reason
    evidence, labels = evidence_of(record, store.folder(job))
    for key, proba in (("accuracy", evidence.proba), ("probe_accuracy", evidence.floats(PROBE))):
        low, high = chance_interval(labels.labels, proba, 0, level=0.999)
        value = record.scores[key].value
        assert value is not None and low <= value <= high, (key, low, high)


class Probing(Method):
    """A method whose `embed` is whatever the test says."""

    card = MethodCard(
        name="probing",
        title="t",
        authors="a",
        year=2026,
        citation="c",
        licence="MIT",
        version="1",
        variants={"only": Variant("the only one")},
    )
    seen: list[ImageSet]
    answer: Callable[[ImageSet], Any]

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> "Probing":
        type(self).seen = [train, reference, validation]
        return self

    def embed(self, images: ImageSet) -> Any:
        type(self).seen.append(images)
        return type(self).answer(images)


def run_probing(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    answer: Callable[[ImageSet], Any],
    options: JobOptions = QUICK,
) -> tuple[Record, Path]:
    monkeypatch.setattr(registry, "method_class", lambda name: Probing)
    monkeypatch.setattr(registry, "method_origin", lambda name: "tests")
    monkeypatch.setattr(Probing, "answer", staticmethod(answer), raising=False)
    job = dataclasses.replace(one_job("prnu", "gm-mini"), method="probing", variant="only")
    store = Store(folder)
    return execute(job, store, options), store.folder(job)


def mean_colour(images: ImageSet) -> Any:
    means = images.pixels.mean(axis=(1, 2))
    return np.concatenate([means, images.pixels.std(axis=(1, 2))], axis=1).astype(np.float32)


def test_a_method_is_shown_no_label_no_id_and_no_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record, _ = run_probing(monkeypatch, tmp_path, mean_colour)
    assert record.status == "done" and record.setup.classifier == "probe"
    train, reference, validation, *shown = Probing.seen
    assert train.labelled and validation.labelled
    assert {source.family for source in reference.sources} >= {"Real"}
    assert len(shown) >= 1
    for images in shown:
        assert not images.labelled and images.sources == ()
        assert images.ids.tolist() == [str(i) for i in range(len(images))]
    from fpbench.datasets.resolve import resolve

    test = resolve("gm-mini").load().test
    assert len(shown[0]) == len(test)
    assert (shown[0].pixels != test.pixels).any(axis=(1, 2, 3)).mean() > 0.9


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda images: np.full((len(images), 4), np.nan, np.float32), "NaN"),
        (lambda images: np.zeros((len(images), 4)), "float64; it must be float32"),
        (lambda images: np.zeros((3, 4), np.float32), r"must be \(\d+, D\)"),
        (lambda images: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_method_that_breaks_marks_its_own_job_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any, reason: str
) -> None:
    import re

    record, folder = run_probing(monkeypatch, tmp_path, answer)
    assert record.status == "failed"
    assert record.reason and re.search(reason, record.reason)
    assert "Traceback" in (folder / TRACEBACK_FILE).read_text()
    assert json.loads((folder / RECORD_FILE).read_text())["status"] == "failed"


def test_a_method_can_decline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def decline(images: ImageSet) -> Any:
        raise MethodDeclined("no weights; run: hf download org/weights")

    record, _ = run_probing(monkeypatch, tmp_path, decline)
    assert record.status == "declined"
    assert record.reason == "no weights; run: hf download org/weights"


def test_constant_embeddings_give_null_scores_with_reasons(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record, _ = run_probing(
        monkeypatch, tmp_path, lambda images: np.ones((len(images), 5), np.float32)
    )
    assert record.status == "done"
    undefined = ("fdr", "fdr_inter", "fdr_intra", "fdr_raw", "decorrelation_margin")
    for key in (*undefined, "purity", "silhouette"):
        assert record.scores[key].value is None and record.scores[key].reason, key
    accuracy = record.scores["accuracy"]
    assert accuracy.value == pytest.approx(accuracy.chance)


def test_interrupting_leaves_no_job_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(images: ImageSet) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_probing(monkeypatch, tmp_path, interrupt)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_folds_are_disjoint_and_cover_everything() -> None:
    from fpbench.datasets.origins.photographs import region_of
    from fpbench.datasets.resolve import resolve
    from fpbench.runs.splits import splits_of

    dataset = resolve("gm-mini").load()
    tests = [splits_of(dataset, fold, 5) for fold in range(5)]
    ids = [set(splits.test.ids.tolist()) for splits in tests]
    everything = set(
        np.concatenate([p.ids for p in (dataset.train, dataset.validation, dataset.test)])
    )
    assert set.union(*ids) == everything
    assert sum(len(part) for part in ids) == len(everything)
    for splits in tests:
        parts = [set(p.ids.tolist()) for p in (splits.train, splits.validation, splits.test)]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
        counts = np.bincount(splits.test.labels)
        assert counts[1:].max() - counts[1:].min() <= 1
        assert abs(int(counts[0]) - int(counts[1])) <= 3
        # No region of a photograph is on both sides.
        regions = [{region_of(name) for name in part} - {None} for part in parts]
        assert regions[2] and not regions[2] & (regions[0] | regions[1])
    # Published folds keep their assignment: neighbouring crops on both sides among them.
    older = splits_of(dataset, 0, 5, by_block=False)
    counts = np.bincount(older.test.labels)
    assert counts.max() - counts.min() <= 1
    assert {region_of(i) for i in older.test.ids} & {region_of(i) for i in older.train.ids} - {None}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["manifpt", "manifpt:freq"])
def test_manifpt_finds_the_planted_patterns(tmp_path: Path, method: str) -> None:
    record = execute(one_job(method, "gm-synthetic"), Store(tmp_path), QUICK)
    assert record.scores["accuracy"].value is not None
    assert record.scores["accuracy"].value > 0.95
