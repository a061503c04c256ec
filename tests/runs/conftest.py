"""Small datasets of planted colours and a method that names them, for jobs that take no time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fpbench import registry
from fpbench.datasets.dataset import DatasetIdentity, GMDataset
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, Method, MethodCard, Variant
from fpbench.runs import execute

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
        Colour.reference_mean = float(reference.pixels.mean())
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


def planted(name: str, architectures: list[str], size: int = 8, seed: int = 0) -> GMDataset:
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
        DatasetIdentity(name, "1", name * 8, "digest"),
        tuple(sources),
        split(20, sources[:1], "r"),
        split(20, sources, "t"),
        split(10, sources, "v"),
        split(30, sources, "e"),
        30,
        2,
    )


@dataclass(frozen=True)
class Found:
    """What a name is resolved to."""

    dataset: GMDataset

    def load(self, progress: object = None) -> GMDataset:
        return self.dataset


class World(dict[str, GMDataset]):
    """Datasets by name; a new one under an old name is loaded as such."""

    def __setitem__(self, name: str, dataset: GMDataset) -> None:
        execute.loaded.clear()
        super().__setitem__(name, dataset)


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Method]]:
    """The methods that are registered, by name; `colour` is."""
    found: dict[str, type[Method]] = {"colour": Colour}
    monkeypatch.setattr(registry, "method_class", found.__getitem__)
    monkeypatch.setattr(registry, "resolve_method", lambda name: (found[name], "only"))
    monkeypatch.setattr(registry, "method_origin", lambda name: "tests")
    return found


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch, plugins: dict[str, type[Method]]
) -> Iterator[dict[str, GMDataset]]:
    """Datasets by name, and the methods of `plugins`."""
    datasets = World(
        {
            "a": planted("a", ["DCGAN", "NVAE", "Glow"]),
            "b": planted("b", ["DCGAN", "NVAE", "WGAN", "VAE"], seed=1),
            "large": planted("large", ["DCGAN", "NVAE"], size=16, seed=2),
        }
    )
    monkeypatch.setattr(execute, "resolve", lambda name, **options: Found(datasets[name]))
    execute.loaded.clear()
    yield datasets
    execute.loaded.clear()
