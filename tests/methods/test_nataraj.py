import numpy as np
import pytest
import torch
from skimage.feature import graycomatrix

from fpbench_methods.nataraj import Nataraj, scaled_cooccurrence
from fpbench_methods.nn.attributor import count_parameters
from fpbench_methods.nn.cooccurrence_cnn import CooccurrenceCNN


@pytest.mark.parametrize("levels", [256, 64, 16])
def test_matrices_are_those_of_scikit_image(levels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 31, 3), dtype=np.uint8)
    found = scaled_cooccurrence(pixels, levels)
    np.testing.assert_allclose(found.sum(axis=(2, 3)), 256, rtol=1e-5)
    for image, matrices in zip(pixels, found, strict=True):
        for c in range(3):
            coarse = (image[..., c] // (256 // levels)).astype(np.uint8)
            counts = graycomatrix(coarse, [1], [0], levels=levels)[:, :, 0, 0]
            np.testing.assert_allclose(matrices[c], counts * 256 / (20 * 30), rtol=1e-6)


def test_the_network_has_the_layers_of_the_paper() -> None:
    """Convolutions and dense layers of the stated widths, weights counted by hand."""
    convolutions = (
        (27 * 32 + 32) + (25 * 32 * 32 + 32)
        + (9 * 32 * 64 + 64) + (25 * 64 * 64 + 64)
        + (9 * 64 * 128 + 128) + (25 * 128 * 128 + 128)
    )  # fmt: skip
    dense = (128 * 32 * 32 * 256 + 256) + (256 * 256 + 256) + (256 * 7 + 7)
    assert count_parameters(CooccurrenceCNN(7, 256)) == convolutions + dense
    small = CooccurrenceCNN(7, 16)
    assert small(torch.zeros(2, 3, 16, 16)).shape == (2, 7)
    assert small.embed(torch.zeros(2, 3, 16, 16)).shape == (2, 256)


def test_it_takes_images_of_another_size_than_it_was_trained_on() -> None:
    method = Nataraj(levels=8)
    batch = torch.zeros(1, 3, 10, 40, dtype=torch.uint8)
    assert method.prepare(batch).shape == (1, 3, 8, 8)
    assert method.takes((10, 40))
    assert not method.takes((10, 1))
