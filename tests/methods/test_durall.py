import numpy as np
import pytest
from numpy.typing import NDArray

from fpbench_methods.durall import azimuthal_profile


def by_hand(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The definition, pixel by pixel, with NumPy's transform."""
    grey = image.astype(np.float64) @ [0.299, 0.587, 0.114]
    magnitude = 20 * np.log(np.abs(np.fft.fftshift(np.fft.fft2(grey))) + 1e-8)
    h, w = grey.shape
    rings: dict[int, list[float]] = {}
    for y in range(h):
        for x in range(w):
            radius = int(np.hypot(y - h // 2, x - w // 2))
            rings.setdefault(radius, []).append(magnitude[y, x])
    means = np.array([np.mean(rings[r]) for r in sorted(rings)])
    return means[1:-1] / means[1]


@pytest.mark.parametrize("size", [(16, 16), (15, 20)])
def test_profile_equals_the_definition(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8)
    found = azimuthal_profile(pixels)
    np.testing.assert_allclose(found, [by_hand(image) for image in pixels], rtol=1e-4)
    assert (found[:, 0] == 1).all()


def test_a_profile_of_its_own_length_is_not_changed() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    whole = azimuthal_profile(pixels)
    np.testing.assert_allclose(azimuthal_profile(pixels, whole.shape[1]), whole, atol=1e-9)
    longer = azimuthal_profile(pixels, 2 * whole.shape[1] - 1)
    np.testing.assert_allclose(longer[:, ::2], whole, atol=1e-9)


def test_a_constant_image_has_a_finite_profile() -> None:
    found = azimuthal_profile(np.full((1, 16, 16, 3), 77, np.uint8))
    assert np.isfinite(found).all()
