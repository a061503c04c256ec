"""The floors: majority, pixels and logdct; and the base of methods on feature vectors."""

import numpy as np
import pytest
from scipy.fft import dctn
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext
from fpbench_methods.logdct import LogDCT
from fpbench_methods.majority import Majority
from fpbench_methods.mccloskey import McCloskey
from fpbench_methods.pixels import Pixels

SOURCES = tuple(Source(name, "Synthetic", name) for name in "abc")


def random_set(count: int, seed: int, size: int = 12) -> ImageSet:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    base = generator.normal(90 + 15 * labels[:, None, None, None], 40, (count, size, size, 3))
    return ImageSet(np.clip(base, 0, 255).astype(np.uint8), SOURCES, labels)


def test_majority_gives_the_training_shares() -> None:
    labels = np.array([0] * 2 + [1] * 5 + [2] * 3)
    train = ImageSet(random_set(10, 0).pixels, SOURCES, labels)
    method = Majority().fit(train, reference=train, validation=train, context=FitContext())
    proba = method.predict_proba(random_set(4, 1))
    np.testing.assert_allclose(proba, np.tile([0.2, 0.5, 0.3], (4, 1)), atol=1e-7)
    assert (method.embed(random_set(4, 1)) == 0).all()


def test_pixels_names_the_source_of_the_nearest_image() -> None:
    train, test = random_set(60, 0), random_set(40, 1)
    method = Pixels().fit(
        train, reference=train, validation=random_set(20, 2), context=FitContext()
    )
    flat = train.pixels.reshape(60, -1).astype(float)
    neighbour = KNeighborsClassifier(1, algorithm="brute").fit(flat, train.labels)
    expected = neighbour.predict(test.pixels.reshape(40, -1).astype(float))
    proba = method.predict_proba(test.unlabelled())
    np.testing.assert_array_equal(proba.argmax(axis=1), expected)
    distances, _ = neighbour.kneighbors(test.pixels.reshape(40, -1).astype(float))
    np.testing.assert_allclose(method.distances(test).min(axis=1), distances[:, 0], rtol=1e-6)


def test_pixels_refuses_images_of_another_size() -> None:
    train = random_set(6, 0)
    method = Pixels().fit(train, reference=train, validation=train, context=FitContext())
    with pytest.raises(ValueError, match="8x8 cannot be compared with training images of 12x12"):
        method.predict_proba(random_set(2, 1, size=8))


def test_logdct_is_a_pipeline_of_scipy_and_scikit_learn() -> None:
    train, test = random_set(90, 0), random_set(30, 1)

    def spectra(images: ImageSet) -> np.ndarray:  # type: ignore[type-arg]
        grey = images.pixels.astype(float) @ [0.299, 0.587, 0.114] / 255
        coefficients = dctn(grey, axes=(1, 2), norm="ortho")
        return np.log(np.abs(coefficients) + 1e-12).reshape(len(images), -1)

    scaler = StandardScaler().fit(spectra(train))
    model = LogisticRegression(C=0.01, max_iter=1000, tol=1e-3)
    model.fit(scaler.transform(spectra(train)), train.labels)
    method = LogDCT(c=0.01).fit(train, reference=train, validation=train, context=FitContext())
    np.testing.assert_allclose(
        method.predict_proba(test), model.predict_proba(scaler.transform(spectra(test))), atol=1e-3
    )
    np.testing.assert_allclose(method.embed(test), scaler.transform(spectra(test)), atol=1e-2)


def test_features_are_standardised_by_the_training_images_alone() -> None:
    train = random_set(50, 0)
    methods = [
        LogDCT().fit(train, reference=train, validation=random_set(20, s), context=FitContext())
        for s in (1, 2)
    ]
    test = random_set(10, 3)
    np.testing.assert_array_equal(methods[0].embed(test), methods[1].embed(test))
    embedded = methods[0].embed(train)
    np.testing.assert_allclose(embedded.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(embedded.std(axis=0), 1, atol=1e-5)


def test_a_feature_that_never_varied_in_training_is_ignored() -> None:
    """Training images without any dark pixel: their shares are zero, whatever a test shows."""
    pixels = np.random.default_rng(0).integers(100, 256, (30, 8, 8, 3), dtype=np.uint8)
    train = ImageSet(pixels, SOURCES, np.arange(30) % 3)
    method = McCloskey().fit(train, reference=train, validation=train, context=FitContext())
    embedded = method.embed(ImageSet(np.zeros((1, 8, 8, 3), np.uint8)))
    assert np.isfinite(embedded).all()
    assert (embedded[:, 4:] == 0).all()


def test_budget_smoke_uses_few_images_of_each_source() -> None:
    class Counting(LogDCT):
        smoke_images = 4
        seen = 0

        def features(self, pixels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
            Counting.seen += len(pixels)
            return super().features(pixels)

    train = random_set(60, 0)
    few = train.select(np.empty(0, np.int64))
    Counting().fit(train, reference=train, validation=few, context=FitContext(budget="smoke"))
    assert Counting.seen == 12


def test_images_of_another_size_are_refused() -> None:
    train = random_set(9, 0)
    method = LogDCT().fit(train, reference=train, validation=train, context=FitContext())
    with pytest.raises(ValueError, match="64 features, but logdct was fitted on 144"):
        method.predict_proba(random_set(2, 1, size=8))
