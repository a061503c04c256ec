"""Scores of planted arrays: what they were when each was computed by itself, before families."""

from collections.abc import Callable

import numpy as np
import pytest

from fpbench.metrics.attribution import accuracy_score, auc_real_score, auc_score
from fpbench.metrics.bags import accuracy_bag_score, accuracy_of_bags_score
from fpbench.metrics.decorrelation import (
    decorrelation_scores,
    item_correlations,
    source_fingerprints,
)
from fpbench.metrics.neighbourhood import purity_score, silhouette_score
from fpbench.metrics.projection import principal_axes
from fpbench.metrics.score import Score
from fpbench.metrics.separability import raw_ratio_score, separability_scores
from fpbench.scores.catalogue import FAMILIES, SAME_SOURCES
from fpbench.scores.decorrelation import KEYS
from fpbench.scores.evidence import Labels, Outcome, ScoringSettings
from fpbench.scores.family import ScoreFamily, compute_scores, gather_evidence

Planted = tuple[Outcome, Labels, ScoringSettings]
ACROSS = (FAMILIES["transfer"],)

# Value, both ends of the interval, chance and n, of version 3 of the rules. Whoever changes one
# raises `fpbench.runs.job.SCORING_VERSION`.
WITHIN_SOURCES = {
    "accuracy": (0.3125, 0.2289062500, 0.4062499999, 0.3333333333, 96),
    "accuracy_with_real": (0.2578125, 0.1875, 0.328125, 0.25, 128),
    "accuracy_bag10": (0.3333333333, 0.1111111111, 0.6666666666, 1 / 3, 96),
    "auc": (0.4850260416, 0.4019856770, 0.5742309570, 0.5, 96),
    "auc_with_real": (0.4840494791, 0.4274678548, 0.5509460449, 0.5, 128),
    "auc_real": (0.5068359375, 0.4007161458, 0.6321695963, 0.5, 128),
    "probe_accuracy": (0.3125, 0.2289062500, 0.4062499999, 0.3333333333, 96),
    "fdr": (1.9601846972, 1.1787043967, 3.2597859633, 0.9941064783, 96),
    "fdr_inter": (2.3621096357, 1.4556818164, 3.8329543367, None, 96),
    "fdr_intra": (1.2297713899, 0.9160418212, 1.6509482825, None, 96),
    "fdr_raw": (0.8986311298, None, None, 0.5945789647, 96),
    "decorrelation_margin": (0.02909003377, -0.01383492168, 0.06884541320, 0, 96),
    "decorrelation_self": (0.2667542736, 0.2258837862, 0.3055649812, 0.24609375, 96),
    "decorrelation_cross": (0.2376642398, 0.2131606599, 0.2645723206, 0.24609375, 96),
    "decorrelation_margin_cc": (0.02912886315, -0.02620637732, 0.08786415742, 0, 96),
    "decorrelation_margin_signed": (0.3068684241, 0.2259132979, 0.3849058836, 0, 96),
    "decorrelation_dsf": (0.1555197929, 0.1483553762, 0.1620077669, 0.1598029922, 96),
    "decorrelation_dsf_l1": (0.4028580686, 0.3849932588, 0.4232605021, 0.4153645833, 96),
    "purity": (0.4479166677, 0.3841536473, 0.5093958353, 0.3263157894, 96),
    "silhouette": (0.02381361389, 0.001087990960, 0.04457095945, None, 96),
}  # fmt: skip
ACROSS_DATASETS = {
    "shared_masked": (0.7749999999, 0.6499999999, 0.8999999999, 0.5, 40),
    "shared_unmasked": (0.625, 0.475, 0.7749999999, 0.3333333333, 40),
    "family": (0.6833333333, 0.5833333333, 0.7833333333, 1 / 3, 100),
    "disjoint": (0.825, 0.7, 0.925, 0.5, 40),
    "shared_masked_with_real": (0.6833333333, 0.5666666666, 0.8004166666, 1 / 3, 60),
    "shared_unmasked_with_real": (0.6, 0.4833333333, 0.7333333333, 0.25, 60),
    "auc_real": (0.82875, 0.738125, 0.9075, 0.5, 100),
}  # fmt: skip


def scored(families: tuple[ScoreFamily, ...], planted: Planted) -> dict[str, Score]:
    outcome, labels, settings = planted
    evidence = gather_evidence(families, outcome, labels, settings)
    return compute_scores(families, evidence, labels, settings)


def assert_as_before(
    found: dict[str, Score], expected: dict[str, tuple[float | None, ...]]
) -> None:
    for key, numbers in expected.items():
        score = found[key]
        told = (score.value, score.ci_low, score.ci_high, score.chance, score.n)
        for number, before in zip(told, numbers, strict=True):
            close = before is None or pytest.approx(before, rel=1e-6, abs=1e-9)
            assert number is before or number == close, (key, told)


def test_scores_within_one_set_of_sources_are_what_they_were(
    plant: Callable[..., Planted],
) -> None:
    found = scored(SAME_SOURCES, plant(bags=True))
    assert_as_before(found, WITHIN_SOURCES)
    by_images = found.pop("accuracy_bag10_by_images")
    assert by_images == scored(SAME_SOURCES, plant())["accuracy_bag10"]
    (missing,) = set(found) - set(WITHIN_SOURCES)
    assert found[missing] == Score.missing(
        "A bag holds 100 images, but source 0 has 32 test images.", n=128
    )


def test_scores_across_datasets_are_what_they_were(
    plant_transfer: Callable[[], Planted],
) -> None:
    found = scored(ACROSS, plant_transfer())
    assert_as_before(found, ACROSS_DATASETS)
    assert set(found) == set(ACROSS_DATASETS)


def test_families_hand_the_metrics_the_images_that_are_meant(
    plant: Callable[..., Planted],
) -> None:
    """Masks and counting among generators, done here by hand: Real is the first of four."""
    outcome, labels, settings = plant(bags=True)
    found = scored(SAME_SOURCES, (outcome, labels, settings))
    y, ids, p, seed = labels.labels, labels.ids, outcome.proba, settings.seed
    made, made_of_train = y >= 1, outcome.train_labels >= 1
    among = y[made] - 1
    rows, d = outcome.test_embeddings, settings.fdr_dimensions
    assert found["accuracy"] == accuracy_score(y, p, 0, seed=seed, ids=ids)
    with_real = accuracy_score(y, p, 0, with_real=True, seed=seed, ids=ids)
    assert found["accuracy_with_real"] == with_real
    assert found["auc"] == auc_score(y, p, 0, seed=seed, ids=ids)
    assert found["auc_real"] == auc_real_score(y, p, 0, seed=seed, ids=ids)
    (bag,) = outcome.bags
    of_bags = accuracy_of_bags_score(y, bag.members, bag.proba, 0, seed=seed, ids=ids)
    assert found["accuracy_bag10"] == of_bags
    none, *_ = plant()
    alone = scored(SAME_SOURCES, (none, labels, settings))
    assert alone["accuracy_bag10"] == accuracy_bag_score(y, p, 10, 0, seed=seed, ids=ids)
    axes = principal_axes(outcome.train_embeddings, d)
    part = (rows @ axes).astype(np.float32)[made]
    n = settings.fdr_samples
    separable = separability_scores(part, part, among, n=n, d=d, seed=seed, raw=False)
    assert {k: found[k] for k in ("fdr", "fdr_inter", "fdr_intra")} == {
        k: separable[k] for k in ("fdr", "fdr_inter", "fdr_intra")
    }
    raw = raw_ratio_score(rows[made], y[made], n=n, seed=seed)
    assert (found["fdr_raw"].value, found["fdr_raw"].chance) == (raw.value, raw.chance)
    prints = source_fingerprints(
        outcome.train_embeddings[made_of_train], outcome.train_labels[made_of_train] - 1
    )
    correlations = item_correlations(rows[made], prints).astype(np.float32).astype(np.float64)
    apart = decorrelation_scores(correlations, among, 3, rows.shape[1], seed=seed)
    assert {key.key: found[key.key] for key in KEYS.values()} == {
        definition.key: apart[key] for key, definition in KEYS.items()
    }
    for key, measure in (("purity", purity_score), ("silhouette", silhouette_score)):
        near = measure(rows[made], y[made], seed=seed)
        assert found[key].value == pytest.approx(near.value, abs=1e-6)
        assert (found[key].n, found[key].chance) == (near.n, near.chance)


def test_real_may_be_any_source(plant: Callable[..., Planted]) -> None:
    """The same images with Real listed last: scores of generators are the same."""
    outcome, labels, settings = plant()
    turned = np.asarray([3, 0, 1, 2])
    sources = (*labels.tested[1:], labels.tested[0])
    moved = Outcome(
        outcome.proba[:, [1, 2, 3, 0]],
        outcome.probe_proba[:, [1, 2, 3, 0]],
        True,
        outcome.test_embeddings,
        outcome.train_embeddings,
        turned[outcome.train_labels],
        1.0,
        1.0,
        None,
    )
    others = Labels(labels.ids, turned[labels.labels], sources, sources)
    assert others.real == 3 and others.generators.tolist() == [0, 1, 2]
    first = scored(SAME_SOURCES, (outcome, labels, settings))
    second = scored(SAME_SOURCES, (moved, others, settings))
    for key in ("accuracy", "auc", "auc_real", "fdr", "decorrelation_margin", "purity"):
        assert second[key].value == pytest.approx(first[key].value), key
