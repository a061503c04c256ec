"""Every row learns photographs: closer to them than noise and than their mean are."""

import numpy as np
import pytest

from fpbench.zoo.sample import sample
from fpbench.zoo.table import model, models
from fpbench.zoo.train import train

DIMENSIONS = 32
# Enough steps to leave the start well behind, a minute or two of one CPU core per row.
STEPS = 400


@pytest.fixture(scope="module")
def crops():
    """Two disjoint halves of crops, uint8 of shape (1500, 32, 32, 3) each."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image's photographs")
    rng = np.random.default_rng(0)
    photographs = [data.astronaut()[::2, ::2], data.coffee()[::2, ::2], data.chelsea()]
    found = []
    for index in range(3000):
        photograph = photographs[index % 3]
        y, x = (rng.integers(0, photograph.shape[axis] - 31) for axis in (0, 1))
        found.append(photograph[y : y + 32, x : x + 32])
    shuffled = np.stack(found)[rng.permutation(3000)]
    return shuffled[:1500], shuffled[1500:]


def frechet_distance(a, b):
    """Squared distance of the Gaussians fitted to two sets of vectors."""
    from scipy.linalg import sqrtm

    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    cross = np.trace(sqrtm(cov_a @ cov_b).real)
    means = np.square(a.mean(0) - b.mean(0)).sum()
    return float(means + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(models()))
def test_samples_are_nearer_to_photographs_than_noise_or_their_mean(name, crops, tmp_path):
    seen, unseen = crops
    trained = train(model(name), seen, checkpoint=tmp_path / "a", steps=STEPS)
    drawn = np.concatenate(list(sample(trained, 256, seed=0)))

    flat = unseen.reshape(len(unseen), -1) / 255.0
    centre = flat.mean(0)
    axes = np.linalg.svd(flat - centre, full_matrices=False)[2][:DIMENSIONS].T

    def features(images):
        return (images.reshape(len(images), -1) / 255.0 - centre) @ axes

    rng = np.random.default_rng(0)
    noise = rng.normal(unseen.mean(), unseen.std(), drawn.shape).clip(0, 255)
    mean = np.broadcast_to(unseen.mean(0), drawn.shape)
    real = features(unseen)
    distance = frechet_distance(real, features(drawn))
    assert distance < 0.7 * frechet_distance(real, features(noise))
    assert distance < 0.7 * frechet_distance(real, features(mean))
    # A collapsed model repeats itself: nearest neighbours among its samples lie much nearer.
    assert _nearest(drawn) > 0.2 * _nearest(unseen[: len(drawn)])


def _nearest(images):
    flat = images.reshape(len(images), -1).astype(float)
    squares = np.square(flat).sum(1)
    apart = squares[:, None] + squares[None] - 2 * flat @ flat.T
    np.fill_diagonal(apart, np.inf)
    return float(np.sqrt(np.maximum(apart.min(1), 0)).mean())
