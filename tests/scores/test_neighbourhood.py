"""Purity and silhouette of a job, against scikit-learn and against brute force."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples
from sklearn.neighbors import NearestNeighbors

from fpbench.images import Source
from fpbench.metrics.score import Score
from fpbench.scores.evidence import Evidence, Labels, Outcome, ScoringSettings
from fpbench.scores.family import Gathered
from fpbench.scores.neighbourhood import IMAGES_PER_SOURCE, Neighbourhood

Rows = tuple[NDArray[np.float32], NDArray[np.int64]]
SETTINGS = ScoringSettings(0)


def planted(images: int, dimension: int, sources: int = 4, gap: float = 1.0) -> Rows:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(sources), images)
    centres = rng.normal(size=(sources, dimension)) * gap
    rows = (centres[labels] + rng.normal(size=(len(labels), dimension))).astype(np.float32)
    return rows, labels


def made_by(labels: NDArray[np.int64], real: bool = True) -> Labels:
    """Who made which image; the first source is Real, or a generator too."""
    sources = [Source(f"s{k}", "GAN", f"S{k}") for k in range(int(labels.max()) + 1)]
    if real:
        sources[0] = Source("real", "Real", "photographs")
    ids = np.arange(len(labels)).astype(str)
    return Labels(ids, labels, tuple(sources), tuple(sources))


def gather(rows: NDArray[np.float32], labels: Labels) -> Gathered:
    nothing = np.zeros((len(rows), 1), np.float32)
    outcome = Outcome(nothing, nothing, True, rows, rows, labels.labels, 1.0, 1.0, None)
    return Neighbourhood().gather(outcome, labels, SETTINGS)


def score(gathered: Gathered, labels: Labels) -> dict[str, Score]:
    return Neighbourhood().score(Evidence(gathered.arrays, gathered.reasons), labels, SETTINGS)


@pytest.mark.parametrize("dimension", [6, 5000])
def test_both_agree_with_scikit_learn_in_few_and_in_many_dimensions(dimension: int) -> None:
    rows, y = planted(30, dimension, gap=0.6 / dimension**0.25)
    labels = made_by(y)
    generated = y > 0
    gathered = gather(rows, labels)
    purity, silhouette = gathered.arrays["purity"], gathered.arrays["silhouette"]
    assert np.isnan(purity[~generated]).all() and np.isnan(silhouette[~generated]).all()
    own, of = rows[generated].astype(np.float64), y[generated]
    found = NearestNeighbors(n_neighbors=11).fit(own).kneighbors(own, return_distance=False)
    expected = (of[found[:, 1:]] == of[:, None]).mean(axis=1)
    # What single images contribute differs from their own values; the means do not.
    assert purity[generated].mean() == pytest.approx(expected.mean(), abs=1e-6)
    mean = silhouette_samples(own, of).mean()
    assert silhouette[generated].mean() == pytest.approx(mean, abs=1e-5)
    scores = score(gathered, labels)
    assert scores["purity"].value == pytest.approx(expected.mean(), abs=1e-6)
    assert scores["purity"].chance == pytest.approx(29 / 89)
    assert scores["silhouette"].chance is None and scores["silhouette"].n == 90


def test_the_same_images_are_used_whatever_the_embeddings() -> None:
    rows, y = planted(IMAGES_PER_SOURCE + 30, 3, sources=3)
    labels = made_by(y)
    first = gather(rows, labels).arrays["purity"]
    second = gather(rows[:, :2] ** 2, labels).arrays["purity"]
    assert (np.isfinite(first) == np.isfinite(second)).all()
    assert np.bincount(y[np.isfinite(first)]).tolist() == [0] + [IMAGES_PER_SOURCE] * 2
    used = np.isfinite(first)
    nearest = cdist(rows[used], rows[used]).argsort(axis=1)[:, 1:11]
    expected = (y[used][nearest] == y[used][:, None]).mean(axis=1)
    assert first[used].mean() == pytest.approx(expected.mean(), abs=1e-6)


def test_sources_alike_land_at_chance_and_sources_apart_at_one() -> None:
    rows, y = planted(150, 8, gap=0.0)
    labels = made_by(y, real=False)
    scores = score(gather(rows, labels), labels)
    purity = scores["purity"]
    assert purity.value is not None and purity.chance is not None
    assert purity.value == pytest.approx(purity.chance, abs=0.02)
    assert abs(scores["silhouette"].value or 0) < 0.05
    rows, y = planted(150, 8, gap=30.0)
    scores = score(gather(rows, labels), labels)
    assert scores["purity"].value == 1.0 and (scores["silhouette"].value or 0) > 0.8


@pytest.mark.parametrize(
    "rows", [np.ones((60, 4), np.float32), np.ones((60, 5000), np.float32)], ids=["few", "many"]
)
def test_constant_embeddings_have_no_neighbourhoods(rows: NDArray[np.float32]) -> None:
    labels = made_by(np.repeat([0, 1], 30), real=False)
    gathered = gather(rows, labels)
    assert gathered.arrays == {} and sorted(gathered.reasons) == ["purity", "silhouette"]
    for found in score(gathered, labels).values():
        assert found.value is None and "all are equal" in (found.reason or "")


def test_one_generator_has_no_score() -> None:
    rows, y = planted(30, 4, sources=2)
    labels = made_by(y)
    scores = score(gather(rows, labels), labels)
    assert sorted(scores) == ["purity", "silhouette"]
    assert all(found.value is None and found.reason for found in scores.values())
