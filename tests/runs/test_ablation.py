"""Ablations: which jobs they are made of, what those are given, and what is read from them."""

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench import registry
from fpbench.datasets.dataset import GMDataset
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodCard, Variant
from fpbench.metrics.bags import accuracy_bag_score, draw_bags
from fpbench.runs import fingerprintbags
from fpbench.runs.ablation import (
    Ablation,
    check_scores,
    collect_ablation,
    default_values,
    parse_values,
    plan_ablation,
    write_ablation,
)
from fpbench.runs.execute import execute
from fpbench.runs.job import Job, Limits, Side
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.rescoring import evidence_of
from fpbench.runs.splits import limit_splits, splits_of
from fpbench.runs.store import Store
from fpbench.scores.evidence import Evidence, Labels


@pytest.fixture(scope="module")
def mini() -> GMDataset:
    return resolve("gm-mini").load()


class Sparse(Method):
    """Counts what it is given; judges bags itself if `judging`."""

    card = MethodCard(
        name="sparse", title="t", authors="a", year=2026, citation="c", licence="MIT",
        version="1", variants={"only": Variant("the only one")},
    )  # fmt: skip
    given: list[tuple[int, int]]
    sizes: list[int]

    def __init__(self, *, k: int = 1) -> None:
        self.k = k

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> "Sparse":
        type(self).given.append((int(np.bincount(train.labels).max()), len(reference)))
        return self

    def embed(self, images: ImageSet) -> Any:
        means = images.pixels.mean(axis=(1, 2))
        return np.concatenate([means, images.pixels.std(axis=(1, 2))], axis=1).astype(np.float32)


class Judging(Sparse):
    """A method for sets."""

    def predict_proba_bags(self, images: ImageSet, bags: Any) -> Any:
        type(self).sizes.append(len(bags[0]))
        return np.full((len(bags), 13), 1 / 13, np.float32)


@pytest.fixture
def sparse(monkeypatch: pytest.MonkeyPatch) -> type[Sparse]:
    use(monkeypatch, Sparse)
    return Sparse


def use(monkeypatch: pytest.MonkeyPatch, cls: type[Sparse]) -> None:
    cls.given, cls.sizes = [], []
    monkeypatch.setattr(registry, "method_class", lambda name: cls)
    monkeypatch.setattr(registry, "resolve_method", lambda name: (cls, "only"))
    monkeypatch.setattr(registry, "method_origin", lambda name: "tests")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store for the tests that may find each other's jobs."""
    return Store(tmp_path_factory.mktemp("runs"))


def run_all(points: Any, store: Store) -> int:
    jobs = {job.key: job for point in points for job in point.jobs}
    for job in jobs.values():
        if store.find(job) is None:
            record = execute(job, store, JobOptions(device="cpu", figures=False))
            assert record.status == "done", record.reason
    return len(jobs)


def stored(job: Job, store: Store) -> tuple[Evidence, Labels]:
    """What the scores of a finished job follow from."""
    record = store.find(job)
    assert record is not None
    return evidence_of(record, store.folder(job))


def test_training_and_reference_images_are_limited_as_said(
    mini: GMDataset, sparse: type[Sparse], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    points = plan_ablation("sparse", "gm-mini", mini, "train-images", (10, 160))
    assert run_all(points, store) == 2
    assert sparse.given == [(10, 1200), (160, 1200)]
    # All images are no limit: the job is that of `fpbench run`.
    side = one_side("gm-mini", mini.identity)
    (ordinary,) = make_plan(["sparse"], [(side, side)])
    assert points[1].jobs[0].key == ordinary.key and store.find(ordinary) is not None
    points = plan_ablation("sparse", "gm-mini", mini, "reference-size", (100, 1200))
    run_all(points, store)
    assert sparse.given[2:] == [(160, 100)]
    rows = collect_ablation(points, "reference-size", store, ("accuracy", "auc"))
    assert [(row.value, row.score) for row in rows] == [
        (value, key) for value in (100, 1200) for key in ("accuracy", "auc")
    ]
    record = store.find(points[0].jobs[0])
    assert record is not None and record.job.limits.reference_images == 100
    assert rows[0].mean == record.scores["accuracy"].value and rows[0].chance == 1 / 12
    with pytest.raises(BadInput, match="no score 'acuracy'"):
        collect_ablation(points, "reference-size", store, ("acuracy",))


def test_limits_are_nested_balanced_and_leave_the_tested_images_alone(mini: GMDataset) -> None:
    whole = splits_of(mini, None, None)
    small, large = (limit_splits(whole, n, 10 * n, 3) for n in (8, 20))
    for part in ("train", "reference"):
        few, more = (set(getattr(s, part).ids.tolist()) for s in (small, large))
        assert few < more < set(getattr(whole, part).ids.tolist())
    assert np.bincount(small.train.labels).tolist() == [8] * 13
    assert small.test is whole.test and small.validation is whole.validation
    other = limit_splits(whole, 8, 80, 4)
    assert set(other.train.ids.tolist()) != set(small.train.ids.tolist())
    alone = limit_splits(whole, None, 80, 3)
    assert alone.reference.ids.tolist() == small.reference.ids.tolist()
    with pytest.raises(BadInput, match="there are 160"):
        limit_splits(whole, 161, None, 0)


def test_one_fit_serves_all_bag_sizes(mini: GMDataset, sparse: type[Sparse], shared: Store) -> None:
    store = shared
    points = plan_ablation("sparse", "gm-mini", mini, "bag-size", (1, 10, 300), seeds=(0, 1))
    assert run_all(points, store) == 2 and len(sparse.given) == 2
    rows = collect_ablation(points, "bag-size", store, ())
    evidence = [stored(job, store) for job in points[0].jobs]
    for row, size in zip(rows[:2], (1, 10), strict=True):
        by_hand = [
            accuracy_bag_score(y.labels, e.proba, size, 0, seed=seed, ids=y.ids).value
            for seed, (e, y) in enumerate(evidence)
        ]
        assert row.mean == pytest.approx(np.mean([v for v in by_hand if v is not None]))
        assert row.ci_low is not None and row.ci_high is not None
        assert 0 <= row.ci_low <= row.mean <= row.ci_high <= 1
    record = store.find(points[0].jobs[0])
    assert record is not None
    first, labels = evidence[0]
    assert record.scores["accuracy_bag10"].value == pytest.approx(
        accuracy_bag_score(labels.labels, first.proba, 10, 0, seed=0).value
    )
    assert rows[2].mean is None and "300" in (rows[2].reason or "")


def test_a_method_for_sets_judges_every_size_itself(
    mini: GMDataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use(monkeypatch, Judging)
    store = Store(tmp_path)
    points = plan_ablation("judging", "gm-mini", mini, "bag-size", (1, 25, 300))
    assert run_all(points, store) == 1
    assert Judging.sizes == [1, 25]
    rows = collect_ablation(points, "bag-size", store, ())
    # It always answers the same, so it is at chance.
    assert [row.mean for row in rows[:2]] == [pytest.approx(1 / 12)] * 2
    assert rows[2].mean is None and rows[2].reason


def test_k_and_budget_make_jobs_of_their_own(mini: GMDataset, sparse: type[Sparse]) -> None:
    points = plan_ablation("sparse", "gm-mini", mini, "k", (1, 5), seeds=(0, 1))
    # The default of k is 1, and a plan leaves out what stands at its default.
    assert [[job.params for job in p.jobs] for p in points] == [[{}] * 2, [{"k": 5}] * 2]
    points = plan_ablation("sparse", "gm-mini", mini, "budget", ("smoke", "small"))
    assert [point.jobs[0].budget for point in points] == ["smoke", "small"]
    with pytest.raises(BadInput, match="cannot reach 161"):
        plan_ablation("sparse", "gm-mini", mini, "train-images", (161,))


def test_a_method_without_k_cannot_vary_it(mini: GMDataset) -> None:
    with pytest.raises(BadInput, match="no parameter 'k'"):
        plan_ablation("prnu", "gm-mini", mini, "k", (1,))


def test_values_by_default_reach_what_there_is(mini: GMDataset) -> None:
    assert default_values("bag-size", mini) == (1, 5, 10, 25, 50, 100)
    assert default_values("train-images", mini) == (10, 20, 40, 80, 160)
    assert default_values("reference-size", mini)[-2:] == (800, 1200)
    for text in ("", "1,x", "0", "-3"):
        with pytest.raises(BadInput, match="positive integer"):
            parse_values("k", text)
    with pytest.raises(BadInput, match="no budget"):
        parse_values("budget", "huge")


def test_keys_given_before_there_were_limits_stay_as_they_are() -> None:
    side = Side("gm-mini", "1", "ab" * 32)
    job = Job("prnu", "wavelet", "1", side, side, scoring=1)
    assert job.key == "25121d6d5bacb6e2"
    for limits in (
        Limits(train_images=5),
        Limits(reference_images=5),
        Limits(bag_sizes=(1, 5)),
        Limits(fingerprint_bags=(1, 5)),
        Limits(fingerprint_bag_size=5),
    ):
        assert dataclasses.replace(job, limits=limits).key != job.key


def test_scores_are_checked_before_any_job_runs() -> None:
    check_scores("k", ("auc", "fdr_raw", "purity"))
    check_scores("bags-per-source", fingerprintbags.SCORES)
    check_scores("bag-size", ("accuracy_bag",))
    for varied, key, near in (
        ("k", "acuracy", "Did you mean accuracy"),
        ("train-images", "shared_masked", "Known names: accuracy, "),
        ("bag-size", "auc", "Known names: accuracy_bag."),
        ("bags-per-source", "auc_by_fingerprnt", "Did you mean auc_by_fingerprint"),
    ):
        with pytest.raises(BadInput, match=f"--vary {varied} has no score '{key}'. {near}"):
            check_scores(varied, (key,))  # type: ignore[arg-type]


def test_table_and_curve_are_written(
    mini: GMDataset, sparse: type[Sparse], tmp_path: Path, shared: Store
) -> None:
    points = plan_ablation("sparse", "gm-mini", mini, "bag-size", (1, 300))
    with pytest.raises(BadInput, match="is not finished"):
        collect_ablation(points, "bag-size", Store(tmp_path), ())
    store = shared
    run_all(points, store)
    ablation = Ablation(
        method="sparse:only", dataset="gm-mini", content_hash=mini.identity.content_hash,
        varied="bag-size", budget="small", rows=collect_ablation(points, "bag-size", store, ()),
    )  # fmt: skip
    document, table, curve = write_ablation(tmp_path / "here", ablation)
    assert Ablation.model_validate_json(document.read_text()) == ablation
    rows = list(csv.DictReader(table.open()))
    assert [row["value"] for row in rows] == ["1", "300"] and rows[1]["mean"] == ""
    assert float(rows[0]["mean"]) == ablation.rows[0].mean
    assert curve.read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "here").glob(".partial*"))
    assert Store(tmp_path).record_paths() == []


class Pooling(Sparse):
    """A method for sets: the vector of a bag is the largest, not the mean, of its images'."""

    def embed_bags(self, images: ImageSet, bags: Any) -> Any:
        embedded = self.embed(images)
        return np.stack([embedded[bag].max(axis=0) for bag in bags])


def correlate_by_hand(job: Job, store: Store, rows: Any, prints: Any) -> Any:
    """|corr| as NumPy computes it, averaged over the test images of each generator."""
    _, labels = stored(job, store)
    middle = prints.mean(axis=0)
    count = len(prints)
    rho = np.zeros((count, count))
    for i in range(count):
        own = rows[labels.labels == i + 1] - middle
        for j in range(count):
            rho[i, j] = np.mean([abs(np.corrcoef(x, prints[j] - middle)[0, 1]) for x in own])
    return rho


def test_bags_per_source_make_fingerprints_of_those_bags(
    mini: GMDataset, sparse: type[Sparse], tmp_path: Path
) -> None:
    """With all images in bags the fingerprint is the mean of all, as in the ordinary record."""
    store = Store(tmp_path)
    points = plan_ablation("sparse", "gm-mini", mini, "bags-per-source", (1, 4, 16), seeds=(0, 1))
    assert run_all(points, store) == 2 and sparse.given == [(160, 1200)] * 2
    rows = collect_ablation(points, "bags-per-source", store, fingerprintbags.SCORES)
    assert [row.images for row in rows[:: len(fingerprintbags.SCORES)]] == [10, 40, 160]
    job = points[0].jobs[0]
    record = store.find(job)
    assert record is not None and record.job.limits.fingerprint_bags == (1, 4, 16)
    # 16 bags of 10 hold each of the 160 training images once.
    whole = fingerprintbags.fingerprint_scores(
        fingerprintbags.read_fingerprint_bags(store.folder(job), 16), job.seed
    )
    for key in fingerprintbags.DECORRELATION:
        assert whole[key].value == pytest.approx(record.scores[key].value, abs=1e-4)
    rho = fingerprintbags.read_fingerprint_bags(store.folder(job), 16)
    named = (rho.correlations.argmax(axis=1) == rho.labels).reshape(12, -1).mean(axis=1)
    assert whole[fingerprintbags.ACCURACY].value == pytest.approx(named.mean())
    assert whole[fingerprintbags.ACCURACY].chance == 1 / 12
    ordinary = plan_ablation("sparse", "gm-mini", mini, "bag-size", (1,))[0].jobs[0]
    assert ordinary.key != job.key


def test_few_bags_hold_their_own_images_only(
    mini: GMDataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Against NumPy on the images drawn, of a method that pools bags itself."""
    use(monkeypatch, Pooling)
    store = Store(tmp_path)
    points = plan_ablation("pooling", "gm-mini", mini, "bags-per-source", (1, 3), bag_size=7)
    run_all(points, store)
    (job,) = points[0].jobs
    train = mini.train
    own = np.flatnonzero(train.labels > 0)
    drawn = own[draw_bags(train.labels[own], 7, 3, np.random.default_rng([job.seed, 2]))]
    embed = Sparse().embed
    vectors = np.stack([embed(train)[bag].max(axis=0) for bag in drawn]).reshape(12, 3, -1)
    for number in (1, 3):
        prints = vectors[:, :number].mean(axis=1).astype(np.float64)
        rho = correlate_by_hand(job, store, embed(mini.test).astype(np.float64), prints)
        found = fingerprintbags.read_fingerprint_bags(store.folder(job), number)
        score = fingerprintbags.fingerprint_scores(found, 0)
        assert found.images == 7 * number and found.size == 7
        assert score["decorrelation_self"].value == pytest.approx(np.trace(rho) / 12, abs=1e-4)
        cross = (rho.sum() - np.trace(rho)) / (12 * 11)
        assert score["decorrelation_cross"].value == pytest.approx(cross, abs=1e-4)
    with pytest.raises(BadInput, match="no fingerprints of 2 bags"):
        fingerprintbags.read_fingerprint_bags(store.folder(job), 2)


def test_bags_per_source_refuse_what_cannot_be(mini: GMDataset, sparse: type[Sparse]) -> None:
    assert default_values("bags-per-source", mini) == (1, 5, 10, 25, 50, 100, 200, 300)
    with pytest.raises(BadInput, match="Bags of 161 training images"):
        plan_ablation("sparse", "gm-mini", mini, "bags-per-source", (1,), bag_size=161)
    flat = fingerprintbags.FingerprintBags(
        1, 10, 10, np.full((8, 4), np.nan, np.float32), np.repeat(np.arange(4), 2), 6
    )
    scores = fingerprintbags.fingerprint_scores(flat, 0)
    assert {s.value for s in scores.values()} == {None}
    assert all("constant" in (s.reason or "") for s in scores.values())
