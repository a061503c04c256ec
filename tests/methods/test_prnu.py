from pathlib import Path

import numpy as np
import pytest
import pywt
from numpy.typing import NDArray

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext
from fpbench_methods.prnu import PRNU

SOURCES = (
    Source("real", "Real", "Real"),
    Source("a", "Synthetic", "a"),
    Source("b", "Synthetic", "b"),
)


def smooth_images(count: int, seed: int) -> NDArray[np.float64]:
    """Random low-frequency images with a little noise, mean 128."""
    generator = np.random.default_rng(seed)
    coarse = generator.normal(0, 40, (count, 4, 4, 3))
    big = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    return 128 + big + generator.normal(0, 4, big.shape)


def patterns() -> NDArray[np.float64]:
    """No pattern for real, and one fixed high-frequency pattern each for a and b."""
    generator = np.random.default_rng(99)
    fixed = generator.choice([-1.0, 1.0], (2, 32, 32, 3))
    return np.concatenate([np.zeros((1, 32, 32, 3)), fixed])


def planted(per_source: int, seed: int, strength: float) -> ImageSet:
    labels = np.repeat(np.arange(3), per_source)
    images = smooth_images(len(labels), seed) + strength * patterns()[labels]
    return ImageSet(np.clip(np.rint(images), 0, 255).astype(np.uint8), SOURCES, labels)


def fitted(strength: float, **params: float) -> PRNU:
    return PRNU(**params).fit(  # type: ignore[arg-type]
        planted(60, 0, strength),
        reference=planted(10, 1, strength),
        validation=planted(20, 2, strength),
        context=FitContext(),
    )


def test_recovers_the_planted_patterns() -> None:
    method = fitted(4.0)
    truth = patterns()[1:].reshape(2, -1)
    truth = truth - truth.mean(axis=1, keepdims=True)
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    found = method.fingerprints()[1:]
    correlations = found @ truth.T
    # The wavelet filter keeps most, not all, of a white pattern.
    assert np.diag(correlations).min() > 0.8
    assert np.abs(correlations - np.diag(np.diag(correlations))).max() < 0.2


def test_attributes_by_the_highest_correlation_and_calibrates() -> None:
    method = fitted(4.0)
    test = planted(30, 3, 4.0)
    proba = method.predict_proba(test.unlabelled())
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    scores = method.correlations(test)
    assert (proba.argmax(axis=1) == scores.argmax(axis=1)).all()
    generated = test.labels > 0
    assert (scores.argmax(axis=1) == test.labels)[generated].mean() > 0.95


def test_an_anticorrelated_image_is_not_attributed() -> None:
    method = fitted(4.0)
    images = smooth_images(20, 5) - 4.0 * patterns()[1]
    inverted = ImageSet(np.clip(np.rint(images), 0, 255).astype(np.uint8))
    assert (method.correlations(inverted)[:, 1] < 0).all()
    assert (method.predict_proba(inverted).argmax(axis=1) != 1).all()


def test_correlation_equals_numpy_on_a_pywavelets_residual() -> None:
    """One image, one channel layout, computed again with PyWavelets and np.corrcoef."""
    method = fitted(4.0, levels=1, sigma=5.0)
    image = planted(1, 7, 4.0).pixels[1:2]
    residual = np.empty((32, 32, 3))
    for c in range(3):
        plane = image[0, :, :, c].astype(np.float64)
        approximation, details = pywt.dwt2(plane, "db4", mode="symmetric")
        kept = []
        for detail in details:
            energies = []
            for width in (3, 5, 7, 9):
                padded = np.pad(detail**2, width // 2)
                windows = np.lib.stride_tricks.sliding_window_view(padded, (width, width))
                energies.append(np.maximum(windows.mean(axis=(2, 3)) - 25.0, 0))
            variance = np.min(energies, axis=0)
            kept.append(detail * variance / (variance + 25.0))
        clean = pywt.idwt2((approximation, tuple(kept)), "db4", mode="symmetric")
        residual[:, :, c] = plane - clean[:32, :32]
    expected = [
        np.corrcoef(residual.ravel(), fingerprint)[0, 1] for fingerprint in method.fingerprints()
    ]
    found = method.correlations(ImageSet(image))[0]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_embeddings_are_centred_unit_residuals() -> None:
    method = fitted(4.0)
    test = planted(5, 8, 4.0)
    embedded = method.embed(test)
    np.testing.assert_allclose(embedded.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(method.embed(test.select([3])), embedded[3:4], atol=1e-5)


def test_saved_and_loaded_gives_the_same(tmp_path: Path) -> None:
    method = fitted(4.0)
    test = planted(5, 8, 4.0)
    method.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = PRNU.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(test), method.predict_proba(test))


def test_images_of_another_size_are_refused() -> None:
    method = fitted(4.0)
    with pytest.raises(ValueError, match=r"16x16.*position by position"):
        method.predict_proba(ImageSet(np.zeros((1, 16, 16, 3), np.uint8)))


def test_dncnn_has_its_papers_size_and_learns_to_find_noise() -> None:
    """17 layers of 64 channels have 558,336 convolution weights; noise is found better than not."""
    from fpbench_methods.nn.dncnn import DenoiserSize, DnCNN, denoiser_residual, train_denoiser

    weights = [p.numel() for p in DnCNN(17, 64).parameters() if p.ndim == 4]
    assert len(weights) == 17 and sum(weights) == 2 * 3 * 64 * 9 + 15 * 64 * 64 * 9
    clean = np.clip(smooth_images(80, 5), 0, 255)
    coarse = np.rint(np.repeat(np.repeat(clean[:, ::8, ::8], 8, axis=1), 8, axis=2))
    images = coarse.astype(np.uint8)
    network = train_denoiser(images[:64], 12.0, DenoiserSize(4, 8, 300), FitContext())
    rng = np.random.default_rng(0)
    noisy = np.clip(images[64:] + np.rint(rng.normal(0, 12, images[64:].shape)), 0, 255)
    noise = noisy - images[64:]
    found = denoiser_residual(network, noisy.astype(np.uint8), 12.0, "cpu")
    assert found.shape == noise.shape and found.dtype == np.float32
    assert np.mean((noise - found) ** 2) < 0.65 * np.mean(noise**2)
    assert np.corrcoef(found.ravel(), noise.ravel())[0, 1] > 0.6


def test_dncnn_names_planted_patterns_and_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    test = planted(20, 3, 6.0)
    method = PRNU(denoiser="dncnn", sigma=4.0).fit(
        planted(30, 0, 6.0),
        reference=planted(40, 1, 0.0),
        validation=planted(10, 2, 6.0),
        context=FitContext(budget="smoke"),
    )
    proba = method.predict_proba(test)
    generated = test.labels > 0
    named = proba[generated, 1:].argmax(axis=1) + 1
    assert (named == test.labels[generated]).mean() > 0.9
    method.save(tmp_path)
    again = PRNU.load(tmp_path)
    np.testing.assert_array_equal(again.predict_proba(test), proba)
    np.testing.assert_array_equal(again.embed(test), method.embed(test))
