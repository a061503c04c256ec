"""A small outcome of a job with planted sources, and one that was trained on other sources."""

from collections.abc import Callable

import numpy as np
import pytest

from fpbench.images import Source
from fpbench.metrics.bags import draw_bags
from fpbench.scores.evidence import BagOutput, Labels, Outcome, ScoringSettings

Planted = tuple[Outcome, Labels, ScoringSettings]
Plant = Callable[..., Planted]


def planted(images: int = 32, generators: int = 3, bags: bool = False) -> Planted:
    """Embeddings apart by source, probabilities of nothing; judgements of bags of 10 if asked."""
    rng = np.random.default_rng(0)
    sources = [Source("real", "Real", "photographs")]
    sources += [Source(f"s{k}", "GAN", f"S{k}") for k in range(generators)]
    y = np.repeat(np.arange(generators + 1), images)
    count = len(y)
    rows = [
        (np.eye(generators + 1, 12)[y] + rng.normal(size=(count, 12))).astype(np.float32)
        for _ in range(2)
    ]
    proba = rng.dirichlet(np.ones(generators + 1), count).astype(np.float32)
    judged: tuple[BagOutput, ...] = ()
    if bags:
        members = draw_bags(y, 10, 20, np.random.default_rng(1))
        drawn = rng.dirichlet(np.ones(generators + 1), len(members)).astype(np.float32)
        judged = (BagOutput(10, members, y[members[:, 0]], drawn),)
    outcome = Outcome(proba, proba, True, rows[0], rows[1], y, 1.0, 1.0, None, judged)
    ids = np.asarray([f"test{i}" for i in range(count)])
    labels = Labels(ids, y, tuple(sources), tuple(sources))
    return outcome, labels, ScoringSettings(0, images, max(1, images // 8))


def transferred() -> Planted:
    """Probabilities over the sources of one dataset, of images of another."""
    rng = np.random.default_rng(0)
    real = Source("real", "Real", "photographs")
    columns = (real, Source("a", "GAN", "DCGAN"), Source("b", "VAE", "NVAE"),
               Source("c", "Flow", "Glow"))  # fmt: skip
    tested = (real, Source("d", "GAN", "DCGAN"), Source("e", "VAE", "NVAE"),
              Source("f", "GAN", "WGAN"), Source("g", "VAE", "VAE"))  # fmt: skip
    y = np.repeat(np.arange(5), 20)
    right = np.asarray([0, 1, 2, 1, 2])[y]
    raw = rng.random((len(y), 4))
    raw[np.arange(len(y)), right] += 0.4
    proba = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    nothing = np.zeros((len(y), 3), np.float32)
    outcome = Outcome(proba, proba, True, nothing, nothing[:4], np.arange(4), 1.0, 1.0, None)
    ids = np.asarray([f"test{i}" for i in range(len(y))])
    return outcome, Labels(ids, y, tested, columns), ScoringSettings(3)


@pytest.fixture(scope="session")
def plant() -> Plant:
    """Makes a planted job: ``plant(images=..., generators=..., bags=...)``."""
    return planted


@pytest.fixture(scope="session")
def plant_transfer() -> Callable[[], Planted]:
    """Makes a planted transfer."""
    return transferred
