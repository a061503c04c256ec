import numpy as np
import pytest
from PIL import Image

from fpbench_methods.bases.grey import grey_levels, luminance
from fpbench_methods.mccloskey import McCloskey, chromaticity_histogram, exposure_shares


def test_grey_levels_are_those_of_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 17, 3), dtype=np.uint8)
    expected = np.stack([np.array(Image.fromarray(image).convert("L")) for image in pixels])
    np.testing.assert_array_equal(grey_levels(pixels), expected)
    np.testing.assert_allclose(luminance(pixels), expected, atol=0.51)
    extremes = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.uint8)
    assert grey_levels(extremes).ravel().tolist() == [0, 255]


def test_shares_of_a_hand_made_image() -> None:
    """Levels 0, 5, 6, 15, 128, 239, 245, 250, 254 and 255, a tenth each."""
    levels = np.array([0, 5, 6, 15, 128, 239, 245, 250, 254, 255], np.uint8)
    over = [0.4, 0.4, 0.3, 0.1]  # ≥ 240, 245, 250, 255
    under = [0.1, 0.2, 0.3, 0.4]  # ≤ 0, 5, 10, 15
    found = exposure_shares(levels.reshape(1, 2, 5, 1))
    np.testing.assert_allclose(found, [over + under])
    grey = np.repeat(levels.reshape(1, 2, 5, 1), 3, axis=3)
    np.testing.assert_allclose(McCloskey().features(grey), [over + under])
    assert McCloskey(cue="channels").features(grey).shape == (1, 24)


def test_chromaticities_of_known_colours() -> None:
    pixels = np.zeros((1, 2, 2, 3), np.uint8)
    pixels[0, 0, 0] = (100, 100, 100)  # r = g = 1/3
    pixels[0, 0, 1] = (0, 0, 0)  # counts as neutral
    pixels[0, 1, 0] = (200, 0, 0)  # r = 1
    pixels[0, 1, 1] = (60, 60, 0)  # r = g = 1/2, on the diagonal of the grid
    found = chromaticity_histogram(pixels, 4)
    cells = [(r, g) for r in range(4) for g in range(4) if r + g < 4]
    shares = {cell: share for cell, share in zip(cells, found[0], strict=True) if share}
    assert shares == {(1, 1): 0.5, (3, 0): 0.25, (2, 1): 0.25}


@pytest.mark.parametrize("bins", [2, 8, 16])
def test_histograms_equal_those_of_numpy(bins: int) -> None:
    pixels = np.random.default_rng(1).integers(1, 256, (4, 9, 9, 3), dtype=np.uint8)
    found = chromaticity_histogram(pixels, bins)
    assert found.shape == (4, bins * (bins + 1) // 2)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    r_cell, g_cell = np.divmod(np.arange(bins * bins), bins)
    for row, image in zip(found, pixels.reshape(4, -1, 3).astype(float), strict=True):
        total = image.sum(axis=1)
        expected, _, _ = np.histogram2d(
            image[:, 0] / total, image[:, 1] / total, bins=bins, range=[[0, 1], [0, 1]]
        )
        np.testing.assert_allclose(row, expected.ravel()[r_cell + g_cell < bins] / 81)
