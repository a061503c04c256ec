from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext
from fpbench_methods.manifpt import ManiFPT
from fpbench_methods.manifpt.manifold import Manifold
from fpbench_methods.manifpt.spaces import freq, rgb
from fpbench_methods.nn.attributor import count_parameters
from fpbench_methods.nn.resnet_cifar import ResNetCifar

SOURCES = (Source("real", "Real", "Real"), Source("a", "Synthetic", "a"))


def random_images(count: int, seed: int, size: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("space", ["rgb", "freq"])
@pytest.mark.parametrize("k", [1, 3])
def test_artifact_is_the_deviation_from_the_nearest_real_images(space: str, k: int) -> None:
    reference, queries = random_images(40, 0), random_images(9, 1)
    transform = {"rgb": rgb, "freq": freq}[space]
    mapped, targets = transform(queries), transform(reference)
    distances = cdist(
        mapped.reshape(9, -1).astype(np.float64), targets.reshape(40, -1).astype(np.float64)
    )
    nearest = np.argsort(distances, axis=1)[:, :k]
    expected = mapped - targets[nearest].mean(axis=1)
    manifold = Manifold(reference, space, "own", k)
    np.testing.assert_array_equal(np.sort(manifold.nearest(queries)), np.sort(nearest))
    found = manifold.artifacts(queries, manifold.nearest(queries))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_freq_is_the_shifted_log_magnitude_of_numpy() -> None:
    images = random_images(2, 3)
    spectrum = np.fft.fftshift(np.fft.fft2(images / 255.0, axes=(1, 2)), axes=(1, 2))
    np.testing.assert_allclose(freq(images), np.log(np.abs(spectrum) + 1e-12), atol=1e-3)


def test_searching_in_pixels_is_a_variant_of_freq() -> None:
    reference, queries = random_images(60, 4), random_images(20, 5)
    in_pixels = Manifold(reference, "freq", "rgb").nearest(queries)
    np.testing.assert_array_equal(in_pixels, Manifold(reference, "rgb").nearest(queries))
    assert (in_pixels != Manifold(reference, "freq").nearest(queries)).any()


def test_resnet20_has_the_size_that_its_paper_states() -> None:
    """He et al. 2016, table 6: 0.27 M parameters for ResNet-20 on CIFAR-10."""
    network = ResNetCifar(10)
    weighted = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert len(weighted) == 20
    assert round(count_parameters(network) / 1e6, 2) == 0.27
    for size in (8, 15, 32, 64):
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 10)
    assert network.embed(torch.zeros(2, 3, 32, 32)).shape == (2, 64)


def shifted_set(per_source: int, seed: int) -> ImageSet:
    """Real images near the reference, and source a: the same plus a checkerboard."""
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], per_source)
    base = 100 + 4 * generator.normal(size=(2 * per_source, 16, 16, 3))
    board = 6 * ((np.indices((16, 16)).sum(axis=0) % 2) * 2 - 1)[..., None]
    images = base + board * labels[:, None, None, None]
    return ImageSet(np.clip(np.rint(images), 0, 255).astype(np.uint8), SOURCES, labels)


@pytest.fixture(scope="module")
def fitted() -> ManiFPT:
    train, validation = shifted_set(60, 0), shifted_set(20, 1)
    reference = shifted_set(40, 2).of_source("real")
    return ManiFPT().fit(
        train, reference=reference, validation=validation, context=FitContext(budget="small")
    )


def test_learns_a_planted_artifact(fitted: ManiFPT) -> None:
    test = shifted_set(40, 3)
    proba = fitted.predict_proba(test.unlabelled())
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert (proba.argmax(axis=1) == test.labels).mean() > 0.95
    assert fitted.embed(test.unlabelled()).shape == (80, 64)


def test_residual_is_the_image_less_its_nearest_real_image(fitted: ManiFPT) -> None:
    test = shifted_set(3, 4)
    difference = fitted.residual(test)
    projected = test.pixels - difference
    reference = shifted_set(40, 2).of_source("real").pixels.reshape(40, -1)
    for image in projected.reshape(len(test), -1):
        assert (reference == image).all(axis=1).any()


def test_saved_and_loaded_gives_the_same(fitted: ManiFPT, tmp_path: Path) -> None:
    test = shifted_set(5, 5)
    fitted.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = ManiFPT.load(tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(test), fitted.predict_proba(test), atol=1e-6)


def test_reference_size_limits_the_manifold() -> None:
    train = shifted_set(8, 0)
    reference = shifted_set(40, 2).of_source("real")
    method = ManiFPT(reference_size=5).fit(
        train, reference=reference, validation=train, context=FitContext(budget="smoke")
    )
    projected = train.pixels - method.residual(train)
    assert len(np.unique(projected.reshape(len(train), -1), axis=0)) <= 5


def test_a_reference_smaller_than_k_is_refused() -> None:
    train = shifted_set(8, 0)
    with pytest.raises(ValueError, match=r"k=50 neighbours.*40 images"):
        ManiFPT(k=50).fit(
            train,
            reference=shifted_set(40, 2).of_source("real"),
            validation=train,
            context=FitContext(budget="smoke"),
        )
