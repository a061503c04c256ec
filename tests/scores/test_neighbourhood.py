"""Purity and silhouette of a job, against scikit-learn and against brute force."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from fpbench.runs.neighbourhoods import (
    IMAGES_PER_SOURCE,
    gather_neighbourhoods,
    isometric,
    neighbourhood_scores,
)


def planted(images: int, dimension: int, sources: int = 4, gap: float = 1.0) -> tuple:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(sources), images)
    centres = rng.normal(size=(sources, dimension)) * gap
    rows = (centres[labels] + rng.normal(size=(len(labels), dimension))).astype(np.float32)
    return rows, labels


@pytest.mark.parametrize("dimension", [6, 5000])
def test_both_agree_with_scikit_learn_in_few_and_in_many_dimensions(dimension: int) -> None:
    rows, labels = planted(30, dimension, gap=0.6 / dimension**0.25)
    generated = labels > 0
    purity, silhouette = gather_neighbourhoods(rows, labels, generated)
    assert np.isnan(purity[~generated]).all() and np.isnan(silhouette[~generated]).all()
    own, of = rows[generated].astype(np.float64), labels[generated]
    found = NearestNeighbors(n_neighbors=11).fit(own).kneighbors(own, return_distance=False)
    expected = (of[found[:, 1:]] == of[:, None]).mean(axis=1)
    # What single images contribute differs from their own values; the means do not.
    assert purity[generated].mean() == pytest.approx(expected.mean(), abs=1e-6)
    mean = silhouette_samples(own, of).mean()
    assert silhouette[generated].mean() == pytest.approx(mean, abs=1e-5)
    scores = neighbourhood_scores(purity, silhouette, labels, 0)
    assert scores["purity"].value == pytest.approx(expected.mean(), abs=1e-6)
    assert scores["purity"].chance == pytest.approx(29 / 89)
    assert scores["silhouette"].chance is None and scores["silhouette"].n == 90


def test_isometric_keeps_all_distances() -> None:
    rows = np.random.default_rng(1).normal(size=(20, 4500)) + 100
    np.testing.assert_allclose(pdist(isometric(rows)), pdist(rows), rtol=1e-9)


def test_the_same_images_are_used_whatever_the_embeddings() -> None:
    rows, labels = planted(IMAGES_PER_SOURCE + 30, 3, sources=3)
    generated = labels > 0
    first, _ = gather_neighbourhoods(rows, labels, generated)
    second, _ = gather_neighbourhoods(rows[:, :2] ** 2, labels, generated)
    assert (np.isfinite(first) == np.isfinite(second)).all()
    assert np.bincount(labels[np.isfinite(first)]).tolist() == [0] + [IMAGES_PER_SOURCE] * 2
    used = np.isfinite(first)
    nearest = cdist(rows[used], rows[used]).argsort(axis=1)[:, 1:11]
    expected = (labels[used][nearest] == labels[used][:, None]).mean(axis=1)
    assert first[used].mean() == pytest.approx(expected.mean(), abs=1e-6)


def test_sources_alike_land_at_chance_and_sources_apart_at_one() -> None:
    rows, labels = planted(150, 8, gap=0.0)
    scores = neighbourhood_scores(*gather_neighbourhoods(rows, labels, labels >= 0), labels, 0)
    purity = scores["purity"]
    assert purity.value is not None and purity.chance is not None
    assert purity.value == pytest.approx(purity.chance, abs=0.02)
    assert abs(scores["silhouette"].value or 0) < 0.05
    rows, labels = planted(150, 8, gap=30.0)
    scores = neighbourhood_scores(*gather_neighbourhoods(rows, labels, labels >= 0), labels, 0)
    assert scores["purity"].value == 1.0 and (scores["silhouette"].value or 0) > 0.8


@pytest.mark.parametrize(
    "rows", [np.ones((60, 4), np.float32), np.ones((60, 5000), np.float32)], ids=["few", "many"]
)
def test_constant_embeddings_have_no_neighbourhoods(rows: np.ndarray) -> None:
    labels = np.repeat([0, 1], 30)
    scores = neighbourhood_scores(*gather_neighbourhoods(rows, labels, labels >= 0), labels, 0)
    for score in scores.values():
        assert score.value is None and "all are equal" in (score.reason or "")


def test_one_generator_has_no_score() -> None:
    rows, labels = planted(30, 4, sources=2)
    scores = neighbourhood_scores(*gather_neighbourhoods(rows, labels, labels == 1), labels, 0)
    assert all(score.value is None and score.reason for score in scores.values())
