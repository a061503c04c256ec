"""Transfer jobs on planted colours: who is matched with whom, what is left out, which sizes go."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fpbench.datasets.dataset import GMDataset
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method
from fpbench.runs.execute import execute
from fpbench.runs.job import TRANSFER, Job
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.protocols.transfer import TransferFacts, enlarge, restrict_sources
from fpbench.runs.record import RECORD_FILE, Record, read_record
from fpbench.runs.rescoring import score_again
from fpbench.runs.store import OLD_TRANSFER_FILE, Store

QUICK = JobOptions(device="cpu", figures=False)


def one(
    world: dict[str, GMDataset],
    train: str,
    test: str,
    *,
    train_sources: tuple[str, ...] = (),
    test_sources: tuple[str, ...] = (),
    reference: str = "source",
    resize: bool = False,
    **settings: Any,
) -> Job:
    sides = (
        one_side(train, world[train].identity, train_sources),
        one_side(test, world[test].identity, test_sources),
    )
    asked = {"reference": reference, "resize": resize}
    (job,) = make_plan(["colour"], [sides], protocol=TRANSFER, settings=asked, **settings)
    return job


def facts(record: Record) -> TransferFacts:
    return TransferFacts.model_validate(record.setup.facts)


def test_scores_caps_and_matching_are_those_worked_out_by_hand(
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    job, store = one(world, "a", "b"), Store(tmp_path)
    record = execute(job, store, QUICK)
    assert record.status == "done", record.reason
    labels = facts(record)
    assert labels.shared_architectures == ["DCGAN", "NVAE"]
    assert labels.new_architectures == ["VAE", "WGAN"]
    assert labels.shared_families == ["GAN", "Real", "VAE"]
    assert labels.cap == pytest.approx(2 / 4) and labels.cap_with_real == pytest.approx(3 / 5)
    expected = {
        "shared_masked": (1, 1 / 2, 60),
        "shared_unmasked": (1, 1 / 3, 60),
        "shared_masked_with_real": (1, 1 / 3, 90),
        "family": (1, 1 / 3, 150),
        "disjoint": (1, 1 / 2, 60),
        "auc_real": (1, 1 / 2, 150),
    }
    for key, (value, chance, n) in expected.items():
        score = record.scores[key]
        assert score.value == pytest.approx(value) and score.n == n, key
        assert score.chance == pytest.approx(chance), key
        assert score.ci_low is not None and score.ci_low < 1, key
        assert score.ci_high == pytest.approx(1), key


def test_scores_follow_from_the_stored_predictions(
    world: dict[str, GMDataset], plugins: dict[str, type[Method]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    job, store = one(world, "a", "b"), Store(tmp_path)

    class Hesitating(plugins["colour"]):  # type: ignore[misc]
        def predict_proba(self, images: ImageSet) -> Any:
            return rng.dirichlet(np.ones(4) * 0.3, len(images)).astype(np.float32)

    plugins["colour"] = Hesitating
    record = execute(job, store, QUICK)
    assert sorted(record.artifacts) == ["predictions"]
    table = pq.read_table(store.folder(job) / "predictions.parquet").to_pandas()
    proba = table[[c for c in table.columns if c.startswith("p:")]].to_numpy()
    assert table["id"].tolist() == world["b"].test.ids.tolist()
    assert score_again(record, store.folder(job)) == record.score_values
    # The same by scikit-learn: columns of a are real, dcgan, nvae, glow.
    shared = table["source"].isin(["dcgan-b", "nvae-b"]).to_numpy()
    truth = (table["source"][shared] == "nvae-b").astype(int)
    masked = balanced_accuracy_score(truth, proba[shared][:, [1, 2]].argmax(axis=1))
    assert record.scores["shared_masked"].value == pytest.approx(masked)
    real = (table["source"] == "real").astype(int)
    assert record.scores["auc_real"].value == pytest.approx(roc_auc_score(real, proba[:, 0]))


def test_images_that_are_also_trained_on_are_left_out(
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    target = world["b"]
    pixels = np.array(target.test.pixels)
    pixels[:7] = world["a"].train.pixels[:7]
    pixels[7] = world["a"].reference.pixels[0]
    test = ImageSet(pixels, target.sources, target.test.labels, target.test.ids.tolist())
    world["b"] = dataclasses.replace(target, test=test)
    record = execute(one(world, "a", "b"), Store(tmp_path), QUICK)
    assert facts(record).left_out == 8
    assert [s.test for s in record.test.sources] == [22, 30, 30, 30, 30]
    assert {s.train for s in record.test.sources} == {None}
    assert record.train is not None
    assert [(s.train, s.validation, s.test) for s in record.train.sources] == [(20, 10, None)] * 4
    world["a"] = dataclasses.replace(world["a"], train=test)
    with pytest.raises(BadInput, match="nothing is left to test"):
        execute(one(world, "a", "b"), Store(tmp_path), QUICK)


def test_reference_images_are_those_asked_for(
    world: dict[str, GMDataset], plugins: dict[str, Any], tmp_path: Path
) -> None:
    for choice, name in (("source", "a"), ("target", "b")):
        record = execute(one(world, "a", "b", reference=choice), Store(tmp_path), QUICK)
        mean = plugins["colour"].reference_mean
        assert mean == pytest.approx(world[name].reference.pixels.mean())
        assert record.train is not None
        given = {"a": record.train.reference, "b": record.test.reference}
        assert given == {"a": None, "b": None} | {name: 20}


def test_chosen_halves_of_one_dataset_share_no_model(
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    job = one(
        world, "b", "b", train_sources=("dcgan-b", "nvae-b"), test_sources=("wgan-b", "vae-b")
    )
    record = execute(job, Store(tmp_path), QUICK)
    assert [s.name for s in record.trained.sources] == ["real", "dcgan-b", "nvae-b"]
    assert facts(record).shared_architectures == [] and facts(record).cap == 0
    shared = record.scores["shared_masked"]
    assert shared.value is None and "share 0 architectures" in (shared.reason or "")
    assert record.scores["disjoint"].value == 1 and record.scores["disjoint"].n == 60
    with pytest.raises(BadInput, match=r"no generator 'wgan'.*wgan-b"):
        execute(one(world, "b", "b", test_sources=("wgan",)), Store(tmp_path), QUICK)


def test_restricting_keeps_real_and_counts_labels_anew(world: dict[str, GMDataset]) -> None:
    images = world["a"].test
    part = restrict_sources(images, ["glow-a"], "a")
    assert [s.name for s in part.sources] == ["real", "glow-a"]
    assert np.bincount(part.labels).tolist() == [30, 30]
    np.testing.assert_array_equal(
        part.of_source("glow-a").pixels, images.of_source("glow-a").pixels
    )
    assert restrict_sources(images, [], "a") is images


def test_other_sizes_are_taken_refused_or_resized_as_declared(
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    native = execute(one(world, "a", "large"), store, QUICK)
    assert native.status == "done" and facts(native).size_rule == "native"
    assert facts(native).judged_size == (16, 16) and native.scores["shared_masked"].value == 1
    fussy = {"fussy": True}
    declined = execute(one(world, "a", "large", params=fussy), store, QUICK)
    assert declined.status == "declined" and declined.reason
    assert "trained on 8x8 and cannot judge 16x16" in declined.reason
    assert "--resize" in declined.reason and "confounded" in declined.reason
    assert store.find(one(world, "a", "large", params=fussy)) is None
    for train, test in (("a", "large"), ("large", "a")):
        job = one(world, train, test, params=fussy, resize=True)
        resized = execute(job, store, QUICK)
        assert resized.status == "done" and facts(resized).size_rule == "nearest"
        assert facts(resized).judged_size == (16, 16)
    with pytest.raises(BadInput, match=r"reference images of large are 16x16.*--resize"):
        execute(one(world, "a", "large", reference="target"), store, QUICK)


def test_enlarging_is_pillows_nearest_neighbour(world: dict[str, GMDataset]) -> None:
    images = world["a"].test.select(range(3))
    for size in ((16, 16), (24, 16)):
        found = enlarge(images, size).pixels
        for image, given in zip(found, images.pixels, strict=True):
            expected = Image.fromarray(given).resize(size[::-1], Image.Resampling.NEAREST)
            np.testing.assert_array_equal(image, np.asarray(expected))


def test_a_finished_job_is_found_under_its_old_name_too(
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    job, store = one(world, "a", "b"), Store(tmp_path)
    assert store.find(job) is None
    record = execute(job, store, QUICK)
    assert store.find(job) == record
    path = store.folder(job) / RECORD_FILE
    assert read_record(path) == record and store.record_paths() == [path]
    old = path.with_name(OLD_TRANSFER_FILE)
    path.rename(old)
    assert store.find(job) == record and store.record_paths() == [old]
    old.write_text("{}")
    assert store.find(job) is None
    with pytest.raises(BadInput, match=r"transfer\.json is not a record: it states no schema"):
        read_record(old)


def test_the_key_depends_on_the_question_and_not_on_where_the_files_lie(
    world: dict[str, GMDataset],
) -> None:
    job = one(world, "a", "b")
    moved = dataclasses.replace(job, train=dataclasses.replace(job.train, location="elsewhere"))
    assert moved.key == job.key
    others = [
        one(world, "b", "a"),
        one(world, "a", "b", reference="target"),
        one(world, "a", "b", resize=True),
        one(world, "a", "b", seeds=[1]),
        one(world, "a", "b", budget="smoke"),
        one(world, "a", "b", train_sources=("dcgan-a",)),
        one(world, "a", "b", test_sources=("dcgan-a",)),
        one(world, "a", "b", params={"fussy": True}),
    ]
    assert len({job.key, *(other.key for other in others)}) == 9


def test_a_job_within_one_dataset_is_no_closed_set_job(world: dict[str, GMDataset]) -> None:
    side = one_side("a", world["a"].identity)
    (closed,) = make_plan(["colour"], [(side, side)])
    assert one(world, "a", "a").key != closed.key


def test_a_method_that_breaks_marks_its_own_job_failed(
    world: dict[str, GMDataset], tmp_path: Path, plugins: dict[str, type[Method]], monkeypatch: Any
) -> None:
    monkeypatch.setattr(plugins["colour"], "fit", lambda self, *a, **k: 1 / 0)
    job, store = one(world, "a", "large"), Store(tmp_path)
    record = execute(job, store, QUICK)
    assert record.status == "failed" and "ZeroDivisionError" in (record.reason or "")
    assert "Traceback" in (store.folder(job) / "traceback.txt").read_text()


def test_a_method_slower_than_the_limit_is_declined_and_run_again_without_it(
    world: dict[str, GMDataset], tmp_path: Path, plugins: dict[str, type[Method]]
) -> None:
    class Reporting(plugins["colour"]):  # type: ignore[misc]
        def fit(self, train: ImageSet, *, context: FitContext, **rest: Any) -> Method:
            for done in range(3):
                context.progress("train", done, 2)
            fitted: Method = super().fit(train, context=context, **rest)
            return fitted

    plugins["colour"] = Reporting
    job, store = one(world, "a", "large"), Store(tmp_path)
    record = execute(job, store, dataclasses.replace(QUICK, time_limit=1e-9))
    assert record.status == "declined"
    assert "time limit of 1e-09 minutes on cpu" in (record.reason or "")
    assert "'train'" in (record.reason or "")
    assert store.find(job) is None
    assert execute(job, store, dataclasses.replace(QUICK, time_limit=60)).status == "done"
