"""Transfer jobs on planted colours: who is matched with whom, what is left out, which sizes go."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fpbench import registry
from fpbench.datasets.load import DatasetIdentity, GMDataset
from fpbench.errors import BadInput
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, Method, MethodCard, Variant
from fpbench.runs import transfer
from fpbench.runs.store import RECORD_FILE, Store
from fpbench.runs.transfer import execute_transfer, task_of
from fpbench.runs.transferdata import enlarge, restrict_sources
from fpbench.runs.transferjob import TransferSpec, plan_transfer
from fpbench.runs.transferrecord import TRANSFER_FILE, find_transfer, read_transfer
from fpbench.runs.transferscoring import read_task, score_transfer

COLOURS = {"photographs": 20, "DCGAN": 60, "WGAN": 75, "NVAE": 140, "VAE": 155, "Glow": 200}
FAMILIES = {"DCGAN": "GAN", "WGAN": "GAN", "NVAE": "VAE", "VAE": "VAE", "Glow": "Flow"}


class Colour(Method):
    """Names the source whose mean colour is nearest; fussy about sizes if told to be."""

    card = MethodCard(
        name="colour", title="t", authors="a", year=2026, citation="c", licence="MIT",
        version="1", variants={"only": Variant("the only one")},
    )  # fmt: skip
    reference_mean = 0.0

    def __init__(self, *, fussy: bool = False) -> None:
        self.fussy = fussy

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> "Colour":
        self.size = train.size
        type(self).reference_mean = float(reference.pixels.mean())
        means = train.pixels.mean(axis=(1, 2, 3))
        self.centres = np.array(
            [means[train.labels == k].mean() for k in range(len(train.sources))]
        )
        return self

    def embed(self, images: ImageSet) -> Any:
        if self.fussy and images.size != self.size:
            raise ValueError("templates have another size")
        means = images.pixels.mean(axis=(1, 2, 3))
        return np.stack([means, means**2 / 255, images.pixels.std(axis=(1, 2, 3))], 1).astype(
            np.float32
        )

    def predict_proba(self, images: ImageSet) -> Any:
        means = images.pixels.mean(axis=(1, 2, 3))
        score = np.exp(-np.abs(means[:, None] - self.centres) / 5)
        return (score / score.sum(axis=1, keepdims=True)).astype(np.float32)


def dataset(name: str, architectures: list[str], size: int = 8, seed: int = 0) -> GMDataset:
    rng = np.random.default_rng(seed)
    sources = [Source("real", "Real", "photographs")]
    sources += [Source(f"{a.lower()}-{name}", FAMILIES[a], a) for a in architectures]

    def split(count: int, of: list[Source], tag: str) -> ImageSet:
        labels = np.repeat(np.arange(len(of)), count)
        base = np.array([COLOURS[source.architecture] for source in of])[labels]
        noise = rng.integers(-8, 9, (len(labels), size, size, 3))
        pixels = (base[:, None, None, None] + noise + 20 * (name == "b" and tag == "r")).astype(
            np.uint8
        )
        return ImageSet(pixels, of, labels, [f"{name}{tag}{i}" for i in range(len(labels))])

    return GMDataset(
        DatasetIdentity(name, "1", name * 8, None),
        tuple(sources),
        split(20, sources[:1], "r"),
        split(20, sources, "t"),
        split(10, sources, "v"),
        split(30, sources, "e"),
        30,
        2,
    )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> dict[str, GMDataset]:
    """Datasets by name, and the method `colour`."""
    datasets = {
        "a": dataset("a", ["DCGAN", "NVAE", "Glow"]),
        "b": dataset("b", ["DCGAN", "NVAE", "WGAN", "VAE"], seed=1),
        "large": dataset("large", ["DCGAN", "NVAE"], size=16, seed=2),
    }
    monkeypatch.setattr(transfer, "load_once", lambda name, content, offline: datasets[name])
    monkeypatch.setattr(registry, "method_class", lambda name: Colour)
    monkeypatch.setattr(registry, "resolve_method", lambda name: (Colour, "only"))
    monkeypatch.setattr(registry, "method_origin", lambda name: "tests")
    return datasets


def one(world: dict[str, GMDataset], train: str, test: str, **settings: Any) -> TransferSpec:
    (spec,) = plan_transfer(
        ["colour"], (train, world[train].identity), (test, world[test].identity), **settings
    )
    return spec


def test_scores_caps_and_matching_are_those_worked_out_by_hand(
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    spec, store = one(world, "a", "b"), Store(tmp_path)
    record = execute_transfer(spec, store, device="cpu")
    assert record.status == "done", record.reason
    labels = record.labels
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
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    spec, store = one(world, "a", "b"), Store(tmp_path)

    def hesitate(self: Colour, images: ImageSet) -> Any:
        return rng.dirichlet(np.ones(4) * 0.3, len(images)).astype(np.float32)

    Colour.predict_proba, kept = hesitate, Colour.predict_proba  # type: ignore[method-assign]
    try:
        record = execute_transfer(spec, store, device="cpu")
    finally:
        Colour.predict_proba = kept  # type: ignore[method-assign]
    table = pq.read_table(store.folder(spec) / "predictions.parquet").to_pandas()
    proba = table[[c for c in table.columns if c.startswith("p:")]].to_numpy()
    assert table["id"].tolist() == world["b"].test.ids.tolist()
    again = score_transfer(task_of(proba, world["a"].train, world["b"].test), spec.seed)
    assert {k: s.value for k, s in again.items()} == {k: s.value for k, s in record.scores.items()}
    stored = read_task(store.folder(spec) / "predictions.parquet", record)
    assert score_transfer(stored, spec.seed) == again
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
    record = execute_transfer(one(world, "a", "b"), Store(tmp_path), device="cpu")
    assert record.labels.left_out == 8
    assert [s.images for s in record.test.sources] == [22, 30, 30, 30, 30]
    world["a"] = dataclasses.replace(world["a"], train=test)
    with pytest.raises(BadInput, match="nothing is left to test"):
        execute_transfer(one(world, "a", "b"), Store(tmp_path), device="cpu")


def test_reference_images_are_those_asked_for(world: dict[str, GMDataset], tmp_path: Path) -> None:
    for choice, name in (("source", "a"), ("target", "b")):
        spec = one(world, "a", "b", reference=choice)
        execute_transfer(spec, Store(tmp_path), device="cpu")
        assert Colour.reference_mean == pytest.approx(world[name].reference.pixels.mean())


def test_chosen_halves_of_one_dataset_share_no_model(
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    spec = one(
        world, "b", "b", train_sources=["dcgan-b", "nvae-b"], test_sources=["wgan-b", "vae-b"]
    )
    record = execute_transfer(spec, Store(tmp_path), device="cpu")
    assert [s.name for s in record.train.sources] == ["real", "dcgan-b", "nvae-b"]
    assert record.labels.shared_architectures == [] and record.labels.cap == 0
    shared = record.scores["shared_masked"]
    assert shared.value is None and "share 0 architectures" in (shared.reason or "")
    assert record.scores["disjoint"].value == 1 and record.scores["disjoint"].n == 60
    with pytest.raises(BadInput, match=r"no generator 'wgan'.*wgan-b"):
        execute_transfer(one(world, "b", "b", test_sources=["wgan"]), Store(tmp_path), device="cpu")


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
    native = execute_transfer(one(world, "a", "large"), store, device="cpu")
    assert native.status == "done" and native.protocol.size_rule == "native"
    assert native.protocol.judged_size == (16, 16) and native.scores["shared_masked"].value == 1
    fussy = {"fussy": True}
    declined = execute_transfer(one(world, "a", "large", params=fussy), store, device="cpu")
    assert declined.status == "declined" and declined.reason
    assert "trained on 8x8 and cannot judge 16x16" in declined.reason
    assert "--resize" in declined.reason and "confounded" in declined.reason
    assert find_transfer(store, one(world, "a", "large", params=fussy)) is None
    for train, test in (("a", "large"), ("large", "a")):
        spec = one(world, train, test, params=fussy, resize=True)
        resized = execute_transfer(spec, store, device="cpu")
        assert resized.status == "done" and resized.protocol.size_rule == "nearest"
        assert resized.protocol.judged_size == (16, 16)
    with pytest.raises(BadInput, match=r"reference images of large are 16x16.*--resize"):
        execute_transfer(one(world, "a", "large", reference="target"), store, device="cpu")


def test_enlarging_is_pillows_nearest_neighbour(world: dict[str, GMDataset]) -> None:
    images = world["a"].test.select(range(3))
    for size in ((16, 16), (24, 16)):
        found = enlarge(images, size).pixels
        for image, given in zip(found, images.pixels, strict=True):
            expected = Image.fromarray(given).resize(size[::-1], Image.Resampling.NEAREST)
            np.testing.assert_array_equal(image, np.asarray(expected))


def test_a_finished_job_is_found_and_a_board_does_not_take_it_for_a_run(
    world: dict[str, GMDataset], tmp_path: Path
) -> None:
    spec, store = one(world, "a", "b"), Store(tmp_path)
    assert find_transfer(store, spec) is None
    record = execute_transfer(spec, store, device="cpu")
    assert find_transfer(store, spec) == record
    assert read_transfer(store.folder(spec) / TRANSFER_FILE) == record
    assert store.record_paths() == [] and not (store.folder(spec) / RECORD_FILE).exists()
    (store.folder(spec) / TRANSFER_FILE).write_text("{}")
    assert find_transfer(store, spec) is None
    with pytest.raises(BadInput, match="no valid transfer record"):
        read_transfer(store.folder(spec) / TRANSFER_FILE)


def test_the_key_depends_on_the_question_and_not_on_where_the_files_lie(
    world: dict[str, GMDataset],
) -> None:
    spec = one(world, "a", "b")
    moved = dataclasses.replace(spec, train=dataclasses.replace(spec.train, location="elsewhere"))
    assert moved.key == spec.key
    others = [
        one(world, "b", "a"),
        one(world, "a", "b", reference="target"),
        one(world, "a", "b", resize=True),
        one(world, "a", "b", seeds=[1]),
        one(world, "a", "b", budget="smoke"),
        one(world, "a", "b", train_sources=["dcgan-a"]),
        one(world, "a", "b", test_sources=["dcgan-a"]),
        one(world, "a", "b", params={"fussy": True}),
    ]
    assert len({spec.key, *(other.key for other in others)}) == 9


def test_a_method_that_breaks_marks_its_own_job_failed(
    world: dict[str, GMDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Colour, "fit", lambda self, *a, **k: 1 / 0)
    spec, store = one(world, "a", "large"), Store(tmp_path)
    record = execute_transfer(spec, store, device="cpu")
    assert record.status == "failed" and "ZeroDivisionError" in (record.reason or "")
    assert "Traceback" in (store.folder(spec) / "traceback.txt").read_text()


def test_a_method_slower_than_the_limit_is_declined_and_run_again_without_it(
    world: dict[str, GMDataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = Colour.fit

    def reporting(self: Colour, train: ImageSet, *, context: FitContext, **rest: Any) -> Colour:
        for done in range(3):
            context.progress("train", done, 2)
        return fit(self, train, context=context, **rest)

    monkeypatch.setattr(Colour, "fit", reporting)
    spec, store = one(world, "a", "large"), Store(tmp_path)
    record = execute_transfer(spec, store, device="cpu", time_limit=1e-9)
    assert record.status == "declined"
    assert "time limit of 1e-09 minutes on cpu" in (record.reason or "")
    assert "'train'" in (record.reason or "")
    assert find_transfer(store, spec) is None
    assert execute_transfer(spec, store, device="cpu", time_limit=60).status == "done"
