"""Robustness jobs: what is shown, what is scored and stored, and planted truth under JPEG."""

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fpbench.compute.perturbations import PERTURBATIONS, TABLE, Strength
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.images import ImageSet, Source
from fpbench.leaderboard.audit.verify import verify
from fpbench.library import fit
from fpbench.metrics.attribution import accuracy_score
from fpbench.runs.evidence import read_evidence
from fpbench.runs.execute import execute
from fpbench.runs.job import Job, Limits
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.protocols import robustness
from fpbench.runs.record import Record
from fpbench.runs.rescoring import evidence_of, score_again
from fpbench.runs.store import Store
from fpbench.scores.evidence import Evidence, Labels, ScoringSettings
from fpbench.scores.robustness import (
    ANSWERS,
    AT_STRENGTH,
    PERTURBED,
    RANGES,
    Robustness,
    answers_of,
    pack,
    unpack,
)

QUICK = JobOptions(device="cpu", figures=False)


def plan(method: str, dataset: str, protocol: str = "robustness", **more: Any) -> Job:
    side = one_side(dataset, resolve(dataset).identity)
    (job,) = make_plan([method], [(side, side)], protocol=protocol, **more)
    return job


def run(folder: Path, method: str, dataset: str, **more: Any) -> Record:
    record = execute(plan(method, dataset, **more), Store(folder), QUICK)
    assert record.status == "done", record.reason
    return record


def value(record: Record, key: str) -> float:
    found = record.scores[key].value
    assert found is not None, record.scores[key].reason
    return found


def rows(images: Any) -> set[bytes]:
    return {np.ascontiguousarray(image).tobytes() for image in images}


def test_the_method_is_fitted_once_and_shown_the_test_images_at_every_strength(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles", dataset)
    images = resolve(dataset).load()
    train, validation, reference = methods["tiles"].trained
    assert rows(train.pixels) == rows(images.train.pixels)
    assert rows(validation.pixels) == rows(images.validation.pixels)
    assert rows(reference.pixels) == rows(images.reference.pixels)
    clean, *perturbed = methods["tiles"].shown
    assert len(perturbed) == len(TABLE) == 26
    assert rows(clean.pixels) == rows(images.test.pixels)
    for strength, shown in zip(TABLE, perturbed, strict=True):
        assert rows(shown.pixels) == rows(strength.apply(images.test.pixels)), strength.key
        assert not shown.labelled and shown.sources == ()
        assert shown.ids.tolist() == [str(k) for k in range(len(shown))]
    # In one order for all strengths, which is not that of the sources.
    assert (clean.pixels != images.test.pixels).any()
    assert record.setup.embedding_dimension is None
    closed = run(tmp_path, "tiles", dataset, protocol="closed-set")
    assert record.scores["accuracy"] == closed.scores["accuracy"]


def test_scores_are_means_of_what_scikit_learn_finds_in_the_evidence(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles", dataset)
    folder = Store(tmp_path).folder(record.job)
    evidence, labels = evidence_of(record, folder)
    stored = evidence.arrays
    proba = unpack(stored[PERTURBED], stored[RANGES], 7, len(labels.labels))
    made = labels.labels != 0
    images, fitted = resolve(dataset).load().test, methods["tiles"].fitted
    given = [fitted.predict_proba(ImageSet(strength.apply(images.pixels))) for strength in TABLE]
    accuracy, area = [], []
    for index, p in enumerate(proba):
        answers = 1 + given[index][made][:, 1:].argmax(axis=1)
        accuracy.append(balanced_accuracy_score(labels.labels[made], answers))
        area.append(roc_auc_score(labels.labels == 0, p[:, 0]))
        assert value(record, AT_STRENGTH[index].key) == pytest.approx(accuracy[-1])
    means = [np.mean([accuracy[k] for k in own]) for own in PERTURBATIONS.values()]
    areas = [np.mean([area[k] for k in own]) for own in PERTURBATIONS.values()]
    assert value(record, "robust_mean") == pytest.approx(np.mean(means))
    assert value(record, "robust_worst") == pytest.approx(min(means))
    assert value(record, "robust_real") == pytest.approx(np.mean(areas), abs=1e-6)
    assert next(iter(record.scores)) == "robust_mean"
    assert len(record.scores) == 30
    for key, entry in record.scores.items():
        assert entry.ci_low is not None and entry.ci_high is not None, key
        assert entry.value is not None and entry.ci_low <= entry.value <= entry.ci_high, key
        assert entry.chance == (0.5 if key == "robust_real" else pytest.approx(1 / 6)), key


def test_a_record_is_verified_and_scored_again(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles", dataset)
    folder = Store(tmp_path).folder(record.job)
    assert score_again(record, folder) == {k: e.score for k, e in record.scores.items()}
    assert verify(folder, device="cpu").outcome == "bitwise"


def outcome_of(proba: Any, clean: Any, y: Any, sources: tuple[Source, ...]) -> dict[str, Any]:
    labels = Labels(np.arange(len(y)).astype(str), y, sources, sources)
    packed, ranges = pack(proba)
    answers = answers_of(proba, 0 if sources[0].is_real else None)
    evidence = Evidence({"p": clean, PERTURBED: packed, RANGES: ranges, ANSWERS: answers})
    return Robustness().score(evidence, labels, ScoringSettings(0))


@pytest.mark.parametrize("seed", range(6))
def test_the_worst_perturbation_is_never_better_than_the_mean(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sources = (Source("real", "Real", "p"), *(Source(f"g{k}", "GAN", f"g{k}") for k in range(3)))
    y = np.repeat(np.arange(4), 12)
    proba = rng.dirichlet(np.ones(4) * rng.uniform(0.1, 2), (26, 48)).astype(np.float32)
    found = outcome_of(proba, proba[0], y, sources)
    assert found["robust_worst"].value <= found["robust_mean"].value
    assert found["robust_worst"].ci_low <= found["robust_mean"].ci_low
    assert found["robust_worst"].ci_high <= found["robust_mean"].ci_high


def test_one_answer_for_all_is_chance_and_all_right_is_not_certain() -> None:
    sources = (Source("real", "Real", "p"), *(Source(f"g{k}", "GAN", f"g{k}") for k in range(4)))
    y = np.repeat(np.arange(5), 20)
    same = np.full((26, 100, 5), 0.2, np.float32)
    found = outcome_of(same, same[0], y, sources)
    for key, score in found.items():
        assert score.value == pytest.approx(0.5 if key == "robust_real" else 0.25), key
    right = np.tile(np.eye(5, dtype=np.float32)[y], (26, 1, 1))
    found = outcome_of(right, right[0], y, sources)
    assert all(score.value == 1 for score in found.values())
    assert all(0.7 < score.ci_low < 1 for score in found.values())
    without = outcome_of(right[:, 20:, 1:], right[0][20:, 1:], y[20:] - 1, sources[1:])
    assert without["robust_real"].reason == "No source is Real."
    assert without["robust_mean"].value == 1


def test_intervals_hold_the_truth_of_many_methods_that_guess() -> None:
    sources = tuple(Source(f"g{k}", "GAN", f"g{k}") for k in range(4))
    y = np.repeat(np.arange(4), 25)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(60):
        # An image is right at all strengths or at none, as the paired bootstrap must notice.
        right = rng.random(100) < 0.6
        answers = np.where(right, y, (y + 1) % 4)
        proba = np.tile(np.eye(4, dtype=np.float32)[answers], (26, 1, 1))
        score = outcome_of(proba, proba[0], y, sources)["robust_mean"]
        held += score.ci_low <= 0.6 <= score.ci_high
    assert held >= 52  # 57 but for three standard errors


def test_stored_probabilities_are_small_and_near() -> None:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(14), (26, 5600)).astype(np.float32)
    packed, ranges = pack(proba)
    answers = answers_of(proba, 0)
    assert packed.nbytes + ranges.nbytes + answers.nbytes <= 2_990_000
    assert np.abs(unpack(packed, ranges, 14, 5600) - proba).max() < 4e-4
    corners = np.array([[[0, 1, 0.5, 1e-5, 1 - 1e-5]]], np.float32)
    again = unpack(*pack(corners), 5, 1)
    np.testing.assert_allclose(again, corners, atol=4e-4)
    assert again[0, 0, 0] == 0 and again[0, 0, 1] == 1
    # Where all are nearly equal the steps are as small.
    near = (1 / 14 + rng.uniform(-1e-5, 1e-5, (26, 50, 14))).astype(np.float32)
    assert np.abs(unpack(*pack(near), 14, 50) - near).max() < 2e-8
    with pytest.raises(ValueError, match="is not of 5601 images"):
        unpack(packed, ranges, 14, 5601)
    with pytest.raises(ValueError, match="not of 26 strengths"):
        unpack(packed, ranges[:3], 14, 5600)


def test_answers_are_known_where_real_takes_all() -> None:
    sources = (Source("real", "Real", "p"), *(Source(f"g{k}", "GAN", f"g{k}") for k in range(3)))
    y = np.repeat(np.arange(4), 10)
    sure = np.full((40, 4), 1e-20, np.float32)
    sure[:, 0] = 1
    sure[np.arange(40), y] += np.float32(1e-15) * (y > 0)
    found = outcome_of(np.tile(sure, (26, 1, 1)), sure, y, sources)
    assert found["robust_mean"].value == 1 == found["accuracy"].value
    shared = np.tile(np.array([0.4, 0.2, 0.2, 0.2], np.float32), (26, 40, 1))
    assert set(answers_of(shared, 0).ravel().tolist()) == {4}
    assert outcome_of(shared, shared[0], y, sources)["robust_mean"].value == pytest.approx(1 / 3)


def test_images_are_perturbed_once_for_all_methods(
    methods: dict[str, Any], dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path / "kept", "tiles", dataset)

    def refuse(self: Strength, images: Any) -> Any:
        raise AssertionError("perturbed again")

    with monkeypatch.context() as patched:
        patched.setattr(Strength, "apply", refuse)
        assert run(tmp_path / "kept", "tiles-probe", dataset).status == "done"
        again = run(tmp_path / "again", "tiles", dataset)
    # Where they are too many to keep, and are shown some at a time, the answers are the same.
    monkeypatch.setattr(robustness, "KEPT", 0)
    monkeypatch.setattr(robustness, "_BATCH", 10 * 16 * 16 * 3)
    fresh = run(tmp_path / "fresh", "tiles", dataset)
    assert len(methods["tiles"].shown) > 100
    assert first.scores == again.scores
    assert {k: e.value for k, e in fresh.scores.items()} == pytest.approx(
        {k: e.value for k, e in first.scores.items()}
    )


def test_a_method_without_probabilities_goes_by_the_probe(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles-probe", dataset)
    assert record.setup.classifier == "probe" and value(record, "accuracy") > 0.8
    closed = run(tmp_path, "tiles-probe", dataset, protocol="closed-set")
    assert value(record, "accuracy") == value(closed, "accuracy")


def test_augmentation_perturbs_what_is_trained_on_and_is_another_job(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    images = resolve(dataset).load()
    clean = plan("tiles", dataset)
    job = plan("tiles", dataset, limits=Limits(augment=True))
    assert job.key != clean.key and "augmented" in job.title and "augmented" not in clean.title
    assert Job.from_dict(job.to_dict()).key == job.key
    record = execute(job, Store(tmp_path), QUICK)
    assert record.status == "done", record.reason
    train, validation, reference = methods["tiles"].trained
    for shown, given in ((train, images.train), (validation, images.validation)):
        changed = (shown.pixels != given.pixels).any(axis=(1, 2, 3)).mean()
        assert 0.35 < changed < 0.65
        np.testing.assert_array_equal(shown.labels, given.labels)
        assert shown.ids.tolist() == given.ids.tolist()
    np.testing.assert_array_equal(reference.pixels, images.reference.pixels)
    assert rows(methods["tiles"].shown[0].pixels) == rows(images.test.pixels)
    other = plan("tiles", dataset, limits=Limits(augment=True), seeds=[1])
    execute(other, Store(tmp_path), QUICK)
    assert (methods["tiles"].trained[0].pixels != train.pixels).any()


def test_tiny_images_are_refused(
    methods: dict[str, Any], dataset_of_side: Callable[[int], Path], tmp_path: Path
) -> None:
    folder = dataset_of_side(7)
    with pytest.raises(BadInput, match=r"images of 7x7; robustness needs at least 8 pixels"):
        execute(plan("tiles", str(folder)), Store(tmp_path / "runs"), QUICK)


def test_images_below_what_a_method_takes_decline_the_job(
    methods: dict[str, Any], dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = dataclasses.replace(methods["tiles"].card, min_size=64)
    monkeypatch.setattr(methods["tiles"], "card", card)
    record = execute(plan("tiles", dataset), Store(tmp_path), QUICK)
    assert record.status == "declined" and "at least 64 pixels" in (record.reason or "")


def test_evidence_of_other_strengths_is_not_scored(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    from safetensors.numpy import save_file

    record = run(tmp_path, "tiles", dataset)
    folder = Store(tmp_path).folder(record.job)
    sources = record.test.as_sources
    found, _ = read_evidence(
        folder, sources, sources, sum(s.test or 0 for s in record.test.sources)
    )
    cut = {key: found.arrays[key][:25].copy() for key in (PERTURBED, RANGES, ANSWERS)}
    save_file(cut, folder / "evidence.safetensors")
    with pytest.raises(BadInput, match="cannot be scored"):
        score_again(record, folder)


def test_curves_are_drawn_and_the_terminal_gets_every_strength(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    job = plan("tiles", dataset)
    record = execute(job, Store(tmp_path), JobOptions(device="cpu"))
    assert record.notes == []
    figure = Store(tmp_path).folder(job) / "figures" / "robustness.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    lines = robustness.Robustness().remarks(record)
    assert len(lines) == 10
    text = "\n".join(lines)
    for strength in TABLE:
        assert f"{value(record, f'robust_{strength.key}'):.3f}" in text, strength.key


def falls(weak_to_strong: list[tuple[float, float]]) -> bool:
    """Whether values fall, but for the noise that the ends of their intervals tell of."""
    pairs = pairwise(weak_to_strong)
    return all(strong[0] <= weak[0] + np.hypot(weak[1], strong[1]) for weak, strong in pairs)


def test_a_planted_fingerprint_falls_with_the_strength_of_jpeg() -> None:
    images = resolve("gm-synthetic").load()
    method = fit("prnu", images, device="cpu")
    test = images.test
    found = []
    for index in PERTURBATIONS["jpeg"]:
        proba = method.predict_proba(ImageSet(TABLE[index].apply(test.pixels)))
        score = accuracy_score(test.labels, proba, 0)
        assert score.value is not None and score.halfwidth is not None
        found.append((score.value, score.halfwidth))
    assert falls(found) and found[0][0] > 0.9 and found[-1][0] < 0.7, found


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prnu", "logdct"])
def test_a_whole_job_on_planted_patterns(tmp_path: Path, method: str) -> None:
    record = run(tmp_path, method, "gm-synthetic")
    jpeg = [record.scores[AT_STRENGTH[index].key].score for index in PERTURBATIONS["jpeg"]]
    assert falls([(score.value or 0, score.halfwidth or 0) for score in jpeg])
    assert value(record, "accuracy") > 0.98 > value(record, "robust_jpeg_40") + 0.2
    assert value(record, "robust_noise_8") > 0.95
    assert value(record, "robust_worst") <= value(record, "robust_mean")


def test_the_order_of_images_changes_no_perturbed_pixel(dataset: str) -> None:
    images = resolve(dataset).load().test
    order = np.random.default_rng(0).permutation(len(images))
    turned = ImageSet(images.pixels[order])
    for strength in TABLE:
        np.testing.assert_array_equal(
            strength.apply(turned.pixels), strength.apply(images.pixels)[order]
        )
