"""Co-occurrence against scikit-image's grey-level co-occurrence matrices."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.feature import graycomatrix

from fpbench.compute.cooccurrence import cooccurrence


def test_equals_scikit_image() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 19, 33, 3), dtype=np.uint8)
    images[1] //= 64
    found = cooccurrence(images)
    assert found.shape == (4, 3, 256, 256)
    assert (found.sum(axis=(2, 3)) == 19 * 32).all()
    down = cooccurrence(images, offset=(2, 0))
    for n in range(4):
        for c in range(3):
            plane = images[n, :, :, c]
            expected = graycomatrix(plane, [1], [0], levels=256)[:, :, 0, 0]
            np.testing.assert_array_equal(found[n, c], expected)
            expected = graycomatrix(plane, [2], [np.pi / 2], levels=256)[:, :, 0, 0]
            np.testing.assert_array_equal(down[n, c], expected)


def test_counts_a_known_row() -> None:
    row = np.array([0, 255, 255, 0, 0, 255], np.uint8)
    image = np.repeat(row[None, None, :, None], 3, axis=3)
    found = cooccurrence(image)[0, 2]
    assert (found[0, 255], found[255, 255], found[255, 0], found[0, 0]) == (2, 1, 1, 1)
    assert found.sum() == 5


def test_strided_views_and_no_images() -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    view = images[::2, ::-1, :, ::-1]
    np.testing.assert_array_equal(cooccurrence(view), cooccurrence(view.copy()))
    assert cooccurrence(images[:0]).shape == (0, 3, 256, 256)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        cooccurrence(np.zeros((1, 8, 8, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="neighbour"):
        cooccurrence(np.zeros((1, 8, 1, 3), np.uint8))
    with pytest.raises(ValueError, match="neighbour"):
        cooccurrence(np.zeros((1, 8, 8, 3), np.uint8), offset=(0, 0))
