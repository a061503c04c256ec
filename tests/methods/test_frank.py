import numpy as np
import pytest
import torch
from scipy.fft import dctn

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext
from fpbench_methods.frank import Frank
from fpbench_methods.nn.attributor import count_parameters
from fpbench_methods.nn.dct_cnn import DCTCNN, LinearAttributor

SOURCES = tuple(Source(name, "Synthetic", name) for name in "ab")


def random_set(count: int, seed: int) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    return ImageSet(pixels, SOURCES, np.arange(count) % 2)


def log_dct(pixels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    coefficients = dctn(pixels / 255.0, axes=(1, 2), norm="ortho")
    return np.log(np.abs(coefficients) + 1e-12)


def test_spectra_are_standardised_by_the_training_images_alone() -> None:
    train, validation, test = random_set(40, 0), random_set(30, 1), random_set(7, 2)
    method = Frank().fit(
        train, reference=train, validation=validation, context=FitContext(budget="smoke")
    )
    known = log_dct(train.pixels)
    expected = (log_dct(test.pixels) - known.mean(axis=0)) / known.std(axis=0)
    np.testing.assert_allclose(method.spectra(test.pixels), expected, atol=2e-3)
    batch = torch.from_numpy(test.pixels.copy()).permute(0, 3, 1, 2)
    np.testing.assert_allclose(
        method.prepare(batch).numpy(), np.moveaxis(expected, 3, 1), atol=2e-3
    )


def test_the_network_has_the_size_that_its_layers_give() -> None:
    """3-8-16-32 channels of 3×3, and 32·32·32 maps to 5 sources at 128×128."""
    convolutions = (27 * 3 + 3) + (27 * 8 + 8) + (72 * 16 + 16) + (144 * 32 + 32)
    assert count_parameters(DCTCNN(5, (128, 128))) == convolutions + 32 * 32 * 32 * 5 + 5
    assert count_parameters(LinearAttributor(5, 3 * 64 * 64)) == 3 * 64 * 64 * 5 + 5
    odd = DCTCNN(4, (17, 23))
    assert odd(torch.zeros(2, 3, 17, 23)).shape == (2, 4)


def test_the_penalty_shrinks_the_linear_network() -> None:
    train = random_set(40, 0)

    def norm(l2: float) -> float:
        method = Frank(network="logistic", l2=l2).fit(
            train, reference=train, validation=train, context=FitContext(budget="small")
        )
        assert method._network is not None
        return float(method._network.state_dict()["head.weight"].square().sum())

    assert norm(1.0) < 0.5 * norm(0.0)


def test_images_of_another_size_are_refused() -> None:
    train = random_set(8, 0)
    method = Frank().fit(
        train, reference=train, validation=train, context=FitContext(budget="smoke")
    )
    with pytest.raises(ValueError, match=r"fitted on images of 16x16 and cannot judge .* 8x8"):
        method.predict_proba(ImageSet(np.zeros((1, 8, 8, 3), np.uint8)))
