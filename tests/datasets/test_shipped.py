"""The datasets whose images this repository holds: every generator learnt, none copies another."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from fpbench.datasets.card import read_manifest, read_recipe, read_sources
from fpbench.datasets.layout import LABELLED_SPLITS, MANIFEST, shard_path
from fpbench.datasets.resolve import resolve
from fpbench.datasets.shards import read_shard
from fpbench.images import REAL
from fpbench.registry import card_folders

BUILT = {name: folder for name, folder in card_folders().items() if (folder / MANIFEST).is_file()}
FAMILIES = {"VAE", "GAN", "Flow", "Score"}

each_built = pytest.mark.parametrize("folder", BUILT.values(), ids=list(BUILT))


@each_built
def test_all_families_and_at_least_twelve_generators(folder: Path) -> None:
    manifest, entries = read_manifest(folder), read_sources(folder)
    generators = [name for name in manifest.sources if name != REAL]
    assert len(generators) >= 12
    assert {entries[name].family for name in generators} == FAMILIES
    # What the recipe can build is built, with the counts that it asks for.
    recipe = read_recipe(folder)
    available = [name for name, origin in recipe.sources.items() if origin.kind != "unavailable"]
    assert generators == available
    for split in LABELLED_SPLITS:
        assert set(manifest.counts[split].values()) == {getattr(recipe.counts, split)}


@each_built
def test_every_generator_undercuts_noise_and_the_mean_image(folder: Path) -> None:
    manifest = read_manifest(folder)
    yardsticks = manifest.facts[REAL]["yardsticks"]
    for name, quality in manifest.quality.items():
        for key in ("frechet", "kernel"):
            assert quality[key] < 0.8 * min(row[key] for row in yardsticks.values()), name


@each_built
def test_no_two_sources_share_an_image(folder: Path) -> None:
    owners: dict[str, str] = {}
    for split in LABELLED_SPLITS:
        for source in read_manifest(folder).sources:
            path = folder / shard_path(split, source)
            for image in read_shard(path) if path.is_file() else ():
                digest = hashlib.sha256(image.read()).hexdigest()
                assert owners.setdefault(digest, image.id) == image.id
    assert len(owners) > 1000


@each_built
def test_images_of_one_source_differ(folder: Path) -> None:
    manifest = read_manifest(folder)
    for source in manifest.sources:
        path = folder / shard_path("test", source)
        if path.is_file():
            counts = Counter(image.read() for image in read_shard(path))
            assert max(counts.values()) == 1


def frechet(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Squared distance of the Gaussians fitted to two sets of vectors."""
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    cross = np.trace(sqrtm(cov_a @ cov_b).real)
    means = np.square(a.mean(0) - b.mean(0)).sum()
    return float(means + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)


def test_embedded_images_are_nearer_to_real_ones_than_noise_or_their_mean() -> None:
    """The same by another computation: full pixels, principal components of unseen real images."""
    data = resolve("gm-mini").load()

    def flat(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return images.reshape(len(images), -1) / 255.0

    reference = flat(data.reference.pixels)
    centre = reference.mean(0)
    axes = np.linalg.svd(reference - centre, full_matrices=False)[2][:32].T
    real = (reference - centre) @ axes
    rng = np.random.default_rng(0)
    noise = rng.normal(reference.mean(), reference.std(), (150, reference.shape[1])).clip(0, 1)
    to_noise = frechet(real, (noise - centre) @ axes)
    to_mean = float(np.trace(np.cov(real.T)))
    for label, source in enumerate(data.sources):
        images = flat(data.test.pixels[data.test.labels == label])
        distance = frechet(real, (images - centre) @ axes)
        assert distance < 0.8 * min(to_noise, to_mean), source.name
