"""What bad input does to the scores of a job: no value, and the reason, in the record."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from fpbench.images import ImageSet, Source
from fpbench.runs.artifacts import Evidence
from fpbench.runs.folds import Splits
from fpbench.runs.outcome import InvalidOutput, Outcome, check_embeddings
from fpbench.runs.record import ScoreEntry
from fpbench.runs.scoring import Protocol, compute_scores, gather_evidence, score_entries

FDR = ("fdr", "fdr_inter", "fdr_intra", "fdr_raw")
CORRELATION = ("decorrelation_margin", "decorrelation_self", "decorrelation_cross")
NEAR = ("purity", "silhouette")


def job(images: int = 32, generators: int = 3) -> tuple[Outcome, Splits, Protocol]:
    rng = np.random.default_rng(0)
    sources = [Source("real", "Real", "photographs")]
    sources += [Source(f"s{k}", "GAN", f"S{k}") for k in range(generators)]
    labels = np.repeat(np.arange(generators + 1), images)
    count = len(labels)

    def image_set(name: str) -> ImageSet:
        pixels = np.zeros((count, 4, 4, 3), np.uint8)
        return ImageSet(pixels, sources, labels, [f"{name}{i}" for i in range(count)])

    rows = [
        (np.eye(generators + 1, 12)[labels] + rng.normal(size=(count, 12))).astype(np.float32)
        for _ in range(2)
    ]
    proba = rng.dirichlet(np.ones(generators + 1), count).astype(np.float32)
    train = image_set("train")
    outcome = Outcome(proba, proba, True, rows[0], rows[1], 1.0, 1.0, None)
    return (
        outcome,
        Splits(train, train, train, image_set("test")),
        Protocol(0, images, max(1, images // 8), 0),
    )


def entries(outcome: Outcome, splits: Splits, protocol: Protocol) -> dict[str, ScoreEntry]:
    return score_entries(compute_scores(gather_evidence(outcome, splits, protocol), protocol))


def null(found: dict[str, ScoreEntry], keys: Any) -> None:
    for key in keys:
        assert found[key].value is None and found[key].ci_low is None, key
        assert found[key].reason, key


def test_good_input_has_values() -> None:
    found = entries(*job())
    for key in (*FDR, *CORRELATION, *NEAR, "accuracy", "auc"):
        assert found[key].value is not None, (key, found[key].reason)


def test_too_few_images_for_fdr() -> None:
    found = entries(*job(images=6))
    null(found, FDR[:3])
    assert "needs 8 test images of each source; there are 6" in (found["fdr"].reason or "")
    assert found["accuracy"].value is not None


def test_constant_embeddings_of_all() -> None:
    outcome, splits, protocol = job()
    flat = np.full_like(outcome.test_embeddings, 0.1)
    outcome = dataclasses.replace(outcome, test_embeddings=flat, train_embeddings=flat)
    null(entries(outcome, splits, protocol), (*FDR, *CORRELATION, *NEAR))


def test_embeddings_constant_on_test_images_only() -> None:
    """The fingerprints are fine, and still there is nothing to hold against them."""
    outcome, splits, protocol = job()
    flat = np.full_like(outcome.test_embeddings, 0.1)
    found = entries(dataclasses.replace(outcome, test_embeddings=flat), splits, protocol)
    keys = [key for key in found if key.startswith("decorrelation")]
    null(found, (*FDR, *NEAR, *keys))
    assert "embeddings are equal" in (found["decorrelation_margin"].reason or "")


@pytest.mark.parametrize(
    ("dimension", "reason"), [(1, "is constant"), (2, "Embeddings have 2 dimensions")]
)
def test_too_few_dimensions_to_correlate(dimension: int, reason: str) -> None:
    outcome, splits, protocol = job()
    outcome = dataclasses.replace(
        outcome,
        test_embeddings=outcome.test_embeddings[:, :dimension],
        train_embeddings=outcome.train_embeddings[:, :dimension],
    )
    found = entries(outcome, splits, protocol)
    null(found, CORRELATION)
    assert reason in (found["decorrelation_margin"].reason or "")
    assert found["purity"].value is not None


def test_one_source_that_does_not_vary() -> None:
    outcome, splits, protocol = job()
    rows = outcome.test_embeddings.copy()
    rows[splits.test.labels == 2] = rows[splits.test.labels == 2][0]
    null(entries(dataclasses.replace(outcome, test_embeddings=rows), splits, protocol), FDR)


def test_a_fingerprint_without_variance() -> None:
    """The mean training embedding of a source, less that of all, is the same everywhere."""
    outcome, splits, protocol = job()
    rows = outcome.train_embeddings.copy()
    rows[:] = 0.0
    for k in (1, 2, 3):
        rows[splits.train.labels == k] = float(k)
    outcome = dataclasses.replace(outcome, train_embeddings=rows)
    found = entries(outcome, splits, protocol)
    null(found, CORRELATION)
    assert "constant" in (found["decorrelation_margin"].reason or "")


def test_a_single_generator() -> None:
    found = entries(*job(generators=1))
    null(found, (*FDR, *CORRELATION, *NEAR, "accuracy", "auc"))
    assert "one source only" in (found["decorrelation_margin"].reason or "")
    assert "one source only" in (found["fdr"].reason or "")


def test_probabilities_that_are_not_finite() -> None:
    outcome, splits, protocol = job()
    proba = outcome.proba.copy()
    proba[40, 1] = np.nan
    found = entries(dataclasses.replace(outcome, proba=proba), splits, protocol)
    null(found, ("accuracy", "accuracy_with_real", "accuracy_bag10", "auc", "auc_real"))
    assert found["accuracy"].reason == "Probabilities of 1 images are not finite."
    assert found["probe_accuracy"].value is not None


def test_fewer_images_than_a_bag_holds() -> None:
    found = entries(*job(images=9))
    null(found, ("accuracy_bag10", "accuracy_bag100"))
    assert "A bag holds 10 images" in (found["accuracy_bag10"].reason or "")


def test_an_image_listed_twice() -> None:
    outcome, splits, protocol = job()
    evidence: Evidence = gather_evidence(outcome, splits, protocol)
    ids = evidence.ids.copy()
    ids[1] = ids[0]
    found = score_entries(compute_scores(dataclasses.replace(evidence, ids=ids), protocol))
    null(found, found)
    assert {entry.reason for entry in found.values()} == {"1 images are listed twice, e.g. test0."}


def test_not_a_number_fails_the_job_or_the_scores() -> None:
    outcome, splits, protocol = job()
    rows = outcome.test_embeddings.copy()
    rows[40, 3] = np.nan
    with pytest.raises(InvalidOutput, match="NaN or infinity for 1 of"):
        check_embeddings("embed", rows, len(rows))
    broken = dataclasses.replace(outcome, test_embeddings=rows)
    null(entries(broken, splits, protocol), (*FDR, *CORRELATION, *NEAR))
