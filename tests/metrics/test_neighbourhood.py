import numpy as np
import pytest
from sklearn import metrics
from sklearn.neighbors import NearestNeighbors

from fpbench.metrics import neighbourhood
from fpbench.metrics.score import NotComputable


def clouds(seed=0, sizes=(40, 70, 30), dimensions=8, apart=1.5):
    centres = np.random.default_rng(5).normal(size=(len(sizes), dimensions)) * apart / 2
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    return centres[labels] + rng.normal(size=(len(labels), dimensions)), labels


@pytest.mark.parametrize("k", [1, 10, 139])
def test_purity_is_that_of_scikit_learn_neighbours(k, monkeypatch):
    monkeypatch.setattr(neighbourhood, "_CHUNK", 33)
    rows, labels = clouds()
    index = NearestNeighbors(n_neighbors=k).fit(rows).kneighbors(return_distance=False)
    expected = (labels[index] == labels[:, None]).mean(axis=1)
    assert neighbourhood.neighbour_purity(rows, labels, k) == pytest.approx(expected)


def test_silhouettes_are_those_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(neighbourhood, "_CHUNK", 33)
    rows, labels = clouds(sizes=(40, 70, 1))
    assert neighbourhood.silhouettes(rows, labels) == pytest.approx(
        metrics.silhouette_samples(rows, labels)
    )
    assert neighbourhood.silhouettes(rows + 1000, labels) == pytest.approx(
        metrics.silhouette_samples(rows, labels), abs=1e-6
    )


def test_copies_of_one_embedding_share_the_places():
    rows = np.array([[0.0]] * 6 + [[9.0]] * 2)
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    got = neighbourhood.neighbour_purity(rows, labels, 3)
    assert got[:6] == pytest.approx(2 / 5)
    assert got[6:] == pytest.approx(1 / 3)


def test_scores_weigh_sources_equally_and_state_chance():
    rows, labels = clouds()
    score = neighbourhood.purity_score(rows, labels)
    values = neighbourhood.neighbour_purity(rows, labels)
    assert score.value == pytest.approx(np.mean([values[labels == i].mean() for i in range(3)]))
    assert score.ci_low < score.value < score.ci_high
    assert score.n == 140
    null = [
        neighbourhood.purity_score(rows, np.random.default_rng(s).permutation(labels), repeats=2)
        for s in range(60)
    ]
    assert np.mean([n.value for n in null]) == pytest.approx(score.chance, abs=0.01)
    silhouette = neighbourhood.silhouette_score(rows, labels)
    assert silhouette.value > 0.05
    assert silhouette.chance is None


def test_scores_do_not_depend_on_scale_offset_or_order():
    rows, labels = clouds()
    order = np.random.default_rng(0).permutation(len(labels))
    for score in (neighbourhood.purity_score, neighbourhood.silhouette_score):
        one = score(rows, labels).value
        assert score(100 * rows[order] + 7, labels[order]).value == pytest.approx(one)


def test_no_value_without_grounds():
    rows, labels = clouds()
    for score in (neighbourhood.purity_score, neighbourhood.silhouette_score):
        assert "one source only" in score(rows, labels * 0).reason
        assert "not finite" in score(np.where(rows > 2, np.nan, rows), labels).reason
        assert score(np.full_like(rows, 0.1), labels).reason == "All embeddings are equal."
        assert "All embeddings are equal" in (
            score(np.full(rows.shape, 0.1, np.float32), labels).reason
        )
        assert "listed twice" in score(rows, labels, ids=["a"] * 140).reason
        assert "no image" in score(rows[:0], labels[:0]).reason
        assert "one image" in score(rows[:111], labels[:111]).reason
    assert "10 neighbours need more" in neighbourhood.purity_score(rows[:9], labels[:9]).reason
    with pytest.raises(NotComputable, match="one source"):
        neighbourhood.silhouettes(rows, labels * 0)
    with pytest.raises(ValueError, match="no 0-th"):
        neighbourhood.neighbour_purity(rows, labels, 0)


def test_contributions_are_what_leaving_an_image_out_changes():
    """Against the jackknife of the mean silhouette, whose pseudo-values they approximate."""
    rows, labels = clouds(sizes=(60, 60, 60))
    whole = metrics.silhouette_samples(rows, labels)
    shares = neighbourhood.silhouette_shares(rows, labels)
    assert shares.mean() == pytest.approx(whole.mean())
    kept = [np.arange(180) != i for i in range(0, 180, 5)]
    change = [whole.mean() - metrics.silhouette_samples(rows[k], labels[k]).mean() for k in kept]
    assert np.corrcoef(change, shares[::5])[0, 1] > 0.95
    purity = neighbourhood.neighbour_purity(rows, labels)
    shares = neighbourhood.purity_shares(rows, labels)
    assert shares.mean() == pytest.approx(purity.mean())
    change = [purity.mean() - neighbourhood.neighbour_purity(rows[k], labels[k]).mean()
              for k in kept]  # fmt: skip
    assert np.corrcoef(change, shares[::5])[0, 1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("apart", [1.0, 2.5])
@pytest.mark.parametrize("score", [neighbourhood.purity_score, neighbourhood.silhouette_score])
def test_intervals_cover_at_500_repeats(score, apart):
    labels = np.repeat(np.arange(4), 60)
    centres = np.random.default_rng(5).normal(size=(4, 8))
    centres *= apart / np.linalg.norm(centres, axis=1, keepdims=True)
    drawn = [
        score(centres[labels] + np.random.default_rng(seed).normal(size=(240, 8)), labels,
              seed=seed, repeats=400)
        for seed in range(500)
    ]  # fmt: skip
    truth = np.mean([s.value for s in drawn])
    assert 0.92 <= np.mean([s.ci_low <= truth <= s.ci_high for s in drawn]) <= 0.98
