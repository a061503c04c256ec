"""From an outcome to scores: what families keep, and what bad input does, with the reason."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fpbench.errors import BadInput
from fpbench.metrics.score import Score
from fpbench.scores.catalogue import SAME_SOURCES
from fpbench.scores.evidence import (
    PROBABILITIES,
    PROBE,
    BagVectors,
    Evidence,
    Labels,
    Outcome,
    ScoringSettings,
)
from fpbench.scores.family import chosen_families, compute_scores, gather_evidence

Planted = tuple[Outcome, Labels, ScoringSettings]
Plant = Callable[..., Planted]

FDR = ("fdr", "fdr_inter", "fdr_intra", "fdr_raw")
CORRELATION = ("decorrelation_margin", "decorrelation_self", "decorrelation_cross")
NEAR = ("purity", "silhouette")
EVERY = [score.key for family in SAME_SOURCES for score in family.scores]
OF_IMAGES = [key for key in EVERY if not key.endswith("_by_images")]
"""Of a method that judges no sets."""


def gather(outcome: Outcome, labels: Labels, settings: ScoringSettings) -> Evidence:
    return gather_evidence(SAME_SOURCES, outcome, labels, settings)


def scored(outcome: Outcome, labels: Labels, settings: ScoringSettings) -> dict[str, Score]:
    evidence = gather(outcome, labels, settings)
    return compute_scores(SAME_SOURCES, evidence, labels, settings)


def null(found: dict[str, Score], keys: Any) -> None:
    for key in keys:
        assert found[key].value is None and found[key].ci_low is None, key
        assert found[key].reason, key


def test_good_input_has_values(plant: Plant) -> None:
    found = scored(*plant())
    for key in (*FDR, *CORRELATION, *NEAR, "accuracy", "auc"):
        assert found[key].value is not None, (key, found[key].reason)
    assert list(found) == OF_IMAGES


def test_a_set_method_is_judged_on_bags_both_ways(plant: Plant) -> None:
    """Its own judgement of bags, and what its single images give: that of any other method."""
    outcome, labels, settings = plant(bags=True)
    found = scored(outcome, labels, settings)
    alone = scored(dataclasses.replace(outcome, bags=()), labels, settings)
    assert found["accuracy_bag10_by_images"] == alone["accuracy_bag10"]
    assert found["accuracy_bag10"] != alone["accuracy_bag10"]
    assert "accuracy_bag10_by_images" not in alone
    assert "accuracy_bag100_by_images" not in found  # it judged no bags of 100
    evidence = gather(outcome, labels, settings)
    older = compute_scores(SAME_SOURCES, evidence, labels, settings, rules=3)
    assert set(found) - set(older) == {"accuracy_bag10_by_images"}
    assert compute_scores(SAME_SOURCES, evidence, labels, settings, rules=4).keys() == found.keys()


def test_decorrelation_of_a_set_method_is_that_of_its_bags(plant: Plant) -> None:
    outcome, labels, settings = plant(images=40)
    rng = np.random.default_rng(5)
    owners = np.repeat(np.arange(4), 4)
    vectors = [np.eye(4, 12)[owners] + 0.3 * rng.normal(size=(16, 12)) for _ in range(2)]
    test, train = (part.astype(np.float32) for part in vectors)
    bags = BagVectors(10, test, owners, train, owners)
    evidence = gather(dataclasses.replace(outcome, bag_vectors=bags), labels, settings)
    arrays = evidence.arrays
    assert arrays["bag_correlation_size"].tolist() == [10]
    assert arrays["bag_correlation_labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    found = compute_scores(SAME_SOURCES, evidence, labels, settings)
    # The same images, were each of the bags' vectors an image's.
    kept = owners > 0
    means = np.stack([train[owners == k].mean(axis=0) for k in (1, 2, 3)])
    centre = means.mean(axis=0)
    expected = np.abs(np.corrcoef(test[kept] - centre, means - centre)[:12, 12:])
    own = expected[np.arange(12), owners[kept] - 1]
    assert found["decorrelation_self"].n == 12
    assert found["decorrelation_self"].value == pytest.approx(own.mean(), abs=1e-5)
    by_image = scored(outcome, labels, settings)
    assert by_image["decorrelation_self"].n == 120
    # The correlations of single images stay, for the structure of sources.
    plain = gather(outcome, labels, settings).arrays["correlations"]
    np.testing.assert_array_equal(arrays["correlations"], plain)


def test_too_few_images_for_fdr(plant: Plant) -> None:
    found = scored(*plant(images=6))
    null(found, FDR[:3])
    assert "needs 8 test images of each source; there are 6" in (found["fdr"].reason or "")
    assert found["accuracy"].value is not None


def test_constant_embeddings_of_all(plant: Plant) -> None:
    outcome, labels, settings = plant()
    flat = np.full_like(outcome.test_embeddings, 0.1)
    outcome = dataclasses.replace(outcome, test_embeddings=flat, train_embeddings=flat)
    null(scored(outcome, labels, settings), (*FDR, *CORRELATION, *NEAR))


def test_embeddings_constant_on_test_images_only(plant: Plant) -> None:
    """The fingerprints are fine, and still there is nothing to hold against them."""
    outcome, labels, settings = plant()
    flat = np.full_like(outcome.test_embeddings, 0.1)
    found = scored(dataclasses.replace(outcome, test_embeddings=flat), labels, settings)
    keys = [key for key in found if key.startswith("decorrelation")]
    null(found, (*FDR, *NEAR, *keys))
    assert "embeddings are equal" in (found["decorrelation_margin"].reason or "")


@pytest.mark.parametrize(
    ("dimension", "reason"), [(1, "is constant"), (2, "Embeddings have 2 dimensions")]
)
def test_too_few_dimensions_to_correlate(plant: Plant, dimension: int, reason: str) -> None:
    outcome, labels, settings = plant()
    outcome = dataclasses.replace(
        outcome,
        test_embeddings=outcome.test_embeddings[:, :dimension],
        train_embeddings=outcome.train_embeddings[:, :dimension],
    )
    found = scored(outcome, labels, settings)
    null(found, CORRELATION)
    assert reason in (found["decorrelation_margin"].reason or "")
    assert found["purity"].value is not None


def test_one_source_that_does_not_vary(plant: Plant) -> None:
    outcome, labels, settings = plant()
    rows = outcome.test_embeddings.copy()
    rows[labels.labels == 2] = rows[labels.labels == 2][0]
    null(scored(dataclasses.replace(outcome, test_embeddings=rows), labels, settings), FDR)


def test_a_fingerprint_without_variance(plant: Plant) -> None:
    """The mean training embedding of a source, less that of all, is the same everywhere."""
    outcome, labels, settings = plant()
    rows = outcome.train_embeddings.copy()
    rows[:] = 0.0
    for k in (1, 2, 3):
        rows[outcome.train_labels == k] = float(k)
    found = scored(dataclasses.replace(outcome, train_embeddings=rows), labels, settings)
    null(found, CORRELATION)
    assert "constant" in (found["decorrelation_margin"].reason or "")


def test_a_single_generator(plant: Plant) -> None:
    found = scored(*plant(generators=1))
    null(found, (*FDR, *CORRELATION, *NEAR, "accuracy", "auc"))
    assert "one source only" in (found["decorrelation_margin"].reason or "")
    assert "one source only" in (found["fdr"].reason or "")


def test_probabilities_that_are_not_finite(plant: Plant) -> None:
    outcome, labels, settings = plant()
    proba = outcome.proba.copy()
    proba[40, 1] = np.nan
    found = scored(dataclasses.replace(outcome, proba=proba), labels, settings)
    null(found, ("accuracy", "accuracy_with_real", "accuracy_bag10", "auc", "auc_real"))
    assert found["accuracy"].reason == "Probabilities of 1 images are not finite."
    assert found["probe_accuracy"].value is not None


def test_fewer_images_than_a_bag_holds(plant: Plant) -> None:
    found = scored(*plant(images=9))
    null(found, ("accuracy_bag10", "accuracy_bag100"))
    assert "A bag holds 10 images" in (found["accuracy_bag10"].reason or "")


def test_an_image_listed_twice(plant: Plant) -> None:
    outcome, labels, settings = plant()
    evidence = gather(outcome, labels, settings)
    ids = labels.ids.copy()
    ids[1] = ids[0]
    twice = dataclasses.replace(labels, ids=ids)
    found = compute_scores(SAME_SOURCES, evidence, twice, settings)
    null(found, found)
    assert {score.reason for score in found.values()} == {"1 images are listed twice, e.g. test0."}


def test_embeddings_that_are_not_finite(plant: Plant) -> None:
    outcome, labels, settings = plant()
    rows = outcome.test_embeddings.copy()
    rows[40, 3] = np.nan
    broken = dataclasses.replace(outcome, test_embeddings=rows)
    null(scored(broken, labels, settings), (*FDR, *CORRELATION, *NEAR))


def test_reasons_are_kept_as_reasons_and_not_as_numbers(plant: Plant) -> None:
    outcome, labels, settings = plant()
    flat = np.full_like(outcome.test_embeddings, 0.1)
    outcome = dataclasses.replace(outcome, test_embeddings=flat, train_embeddings=flat)
    evidence = gather(outcome, labels, settings)
    assert set(evidence.arrays) == {PROBABILITIES, PROBE, "fdr_features"}
    assert all(np.isfinite(evidence.floats(key)).all() for key in evidence.arrays)
    decorrelation = {
        score.key for f in SAME_SOURCES if f.name == "decorrelation" for score in f.scores
    }
    assert set(evidence.reasons) == {"fdr_raw", *decorrelation, *NEAR}
    found = compute_scores(SAME_SOURCES, evidence, labels, settings)
    for key, reason in evidence.reasons.items():
        assert found[key].reason == reason, key


def test_training_embeddings_without_axes_are_a_reason(plant: Plant) -> None:
    outcome, labels, settings = plant()
    rows = outcome.train_embeddings.copy()
    rows[3, 3] = np.inf
    broken = dataclasses.replace(outcome, train_embeddings=rows)
    evidence = gather(broken, labels, settings)
    assert "fdr_features" not in evidence.arrays
    assert {evidence.reasons[key] for key in FDR[:3]} == {"1 embeddings are not finite."}
    null(compute_scores(SAME_SOURCES, evidence, labels, settings), FDR[:3])


CONSTANT = "A source's fingerprint, or an image's, is constant: it correlates with nothing."
UNDEFINED = (
    "Embeddings define no neighbourhoods: all are equal, there are no more than 10, or there is "
    "one generator only."
)


@pytest.mark.parametrize(
    ("generators", "correlation", "fdr", "near"),
    [
        (3, CONSTANT, "32 embeddings are not finite.", UNDEFINED),
        (
            1,
            "There is one source only; decorrelation compares several.",
            "There is one source only; separability compares several.",
            UNDEFINED,
        ),
    ],
)
def test_evidence_of_before_reasons_were_stored_gives_the_sentences_it_gave(
    plant: Plant, generators: int, correlation: str, fdr: str, near: str
) -> None:
    """It held not a number wherever there was no value; the sentences are those of that time."""
    outcome, labels, settings = plant(generators=generators)
    n, d = outcome.test_embeddings.shape
    old = Evidence(
        {
            PROBABILITIES: outcome.proba,
            PROBE: outcome.probe_proba,
            "fdr_features": np.full((n, settings.fdr_dimensions), np.nan, np.float32),
            "fdr_raw": np.asarray([np.nan, np.nan]),
            "correlations": np.full((n, generators), np.nan, np.float32),
            "fingerprint_correlations": np.full((generators, generators), np.nan, np.float32),
            "dimension": np.asarray([d]),
            "purity": np.full(n, np.nan, np.float32),
            "silhouette": np.full(n, np.nan, np.float32),
        }
    )
    found = compute_scores(SAME_SOURCES, old, labels, settings)
    assert list(found) == OF_IMAGES
    for key, score in found.items():
        if key.startswith("decorrelation"):
            assert (score.reason, score.n) == (correlation, 32 * generators), key
        elif key in FDR[:3]:
            assert (score.reason, score.n) == (fdr, 32 * generators), key
        elif key == "fdr_raw":
            assert score.reason == "Embeddings define no ratio of Fréchet distances."
        elif key in NEAR:
            assert (score.reason, score.n) == (near, 0), key
    assert found["accuracy_with_real"].value is not None


def test_two_dimensions_in_old_evidence_are_told_as_such(plant: Plant) -> None:
    outcome, labels, settings = plant()
    old = Evidence(
        {
            PROBABILITIES: outcome.proba,
            "correlations": np.full((len(outcome.proba), 3), np.nan, np.float32),
            "dimension": np.asarray([2]),
        }
    )
    found = compute_scores(SAME_SOURCES, old, labels, settings)
    assert found["decorrelation_margin"].reason == (
        "Embeddings have 2 dimensions; with fewer than three a correlation tells nothing."
    )


def test_what_the_evidence_does_not_hold_has_no_score(plant: Plant) -> None:
    """Evidence of before there were neighbourhoods, or of a run with families left out."""
    outcome, labels, settings = plant()
    evidence = gather(outcome, labels, settings)
    arrays = {k: v for k, v in evidence.arrays.items() if k not in (*NEAR, PROBE, "correlations")}
    found = compute_scores(SAME_SOURCES, Evidence(arrays), labels, settings)
    assert not {*NEAR, "probe_accuracy", *CORRELATION} & set(found)
    assert found["fdr"].value is not None and found["accuracy"].value is not None


def test_families_are_chosen_by_their_name_or_by_a_score_of_theirs() -> None:
    assert chosen_families(SAME_SOURCES, None) == SAME_SOURCES
    for names, expected in (
        (["attribution"], ["attribution"]),
        (["accuracy"], ["attribution"]),
        (["purity", "fdr_raw", "auc"], ["attribution", "separability", "neighbourhood"]),
        ([], []),
    ):
        assert [family.name for family in chosen_families(SAME_SOURCES, names)] == expected


def test_a_family_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"score or family of scores 'acuracy'\. Did you mean accur"):
        chosen_families(SAME_SOURCES, ["fdr", "acuracy"])
    with pytest.raises(BadInput, match="'shared_masked'"):
        chosen_families(SAME_SOURCES, ["shared_masked"])


def test_some_families_keep_nothing_of_the_others(plant: Plant) -> None:
    outcome, labels, settings = plant(bags=True)
    few = chosen_families(SAME_SOURCES, ["accuracy", "purity"])
    evidence = gather_evidence(few, outcome, labels, settings)
    assert set(evidence.arrays) == {PROBABILITIES, *NEAR}
    whole = scored(outcome, labels, settings)
    found = compute_scores(few, evidence, labels, settings)
    assert "purity" in found and "fdr" not in found
    assert found == {key: whole[key] for key in found}
