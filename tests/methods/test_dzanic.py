import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize

from fpbench_methods.dzanic import Dzanic, decay_features, fit_exponents


@pytest.mark.parametrize("exponent", [-8.0, -2.0, -0.37, 0.0, 1.5])
def test_recovers_a_planted_power_law(exponent: float) -> None:
    radii = np.linspace(0.75, 1.0, 100)
    values = 3e-4 * (radii / radii[0]) ** exponent
    assert fit_exponents(radii, values[None])[0] == pytest.approx(exponent, abs=1e-5)


def test_the_exponent_is_that_of_a_simplex_search() -> None:
    generator = np.random.default_rng(0)
    radii = np.linspace(0.75, 1.0, 100)
    clean = (radii / 0.75) ** generator.uniform(-6, 1, (10, 1))
    values = clean * generator.lognormal(0, 0.1, clean.shape)
    found = fit_exponents(radii, values)
    for row, exponent in zip(values, found, strict=True):

        def error(b: NDArray[np.float64], row: NDArray[np.float64] = row) -> float:
            return float(((row[0] * (radii / radii[0]) ** b[0] - row) ** 2).sum())

        simplex = minimize(error, [-2.0], method="Nelder-Mead", options={"xatol": 1e-7})
        assert exponent == pytest.approx(simplex.x[0], abs=1e-4)


@pytest.mark.parametrize("size", [(256, 256), (128, 160)])
def test_features_of_a_spectrum_that_is_a_power_law(size: tuple[int, int]) -> None:
    """|F| = r^−3 in units of the highest frequency; zero frequency is 7 everywhere."""
    h, w = size
    y, x = np.mgrid[:h, :w]
    radius = np.hypot(y - h // 2, x - w // 2) / np.hypot(h // 2, w // 2)
    spectrum = np.where(radius > 0, np.maximum(radius, 1e-9) ** -3.0, 7.0)[None]
    b, first, last = decay_features(spectrum)[0]
    assert b == pytest.approx(-3, abs=0.1)
    assert first == pytest.approx(0.75**-3 / 7, rel=0.03)
    assert last == pytest.approx(1 / 7, rel=0.05)


def test_contrast_does_not_change_the_features() -> None:
    spectrum = np.random.default_rng(0).uniform(1, 2, (2, 32, 32))
    np.testing.assert_allclose(decay_features(5 * spectrum), decay_features(spectrum))


def test_flat_and_black_images_have_finite_features() -> None:
    pixels = np.stack([np.full((16, 16, 3), 99, np.uint8), np.zeros((16, 16, 3), np.uint8)])
    assert np.isfinite(Dzanic().features(pixels)).all()
