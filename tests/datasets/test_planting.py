"""What is planted has the stated strength and can be recovered by averaging."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fpbench.datasets import planting
from fpbench.datasets.dataset import GMDataset
from fpbench.datasets.resolve import resolve
from fpbench.datasets.synthetic import SyntheticDataset, form, squeeze
from fpbench.images import REAL

KINDS = ("pattern", "kernel", "colour")


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return squeeze(resolve("gm-mini").load().train.of_source(REAL).pixels)


def test_highpass_is_the_image_minus_its_box_mean(photographs: np.ndarray) -> None:
    x = photographs[:3].astype(np.float64)
    box = ndimage.uniform_filter(x, size=(1, 3, 3, 1), mode="mirror")
    np.testing.assert_allclose(planting.highpass(x), x - box, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [-6.0, 0.0, 6.0])
def test_planted_power_is_the_stated_one(kind: str, snr_db: float, photographs: np.ndarray) -> None:
    clean = photographs.astype(np.float32)
    residual = clean - ndimage.uniform_filter(clean, size=(1, 3, 3, 1), mode="mirror")
    for fingerprint in planting.fingerprints(kind, 6, seed=0).values():
        alpha = planting.strength(fingerprint, clean, snr_db)
        planted = planting.plant(photographs, fingerprint, alpha)
        # What rounding adds is no part of what was planted.
        change = np.mean((planted - clean.astype(np.float64)) ** 2) - 1 / 12
        measured = 10 * np.log10(change / np.mean(residual.astype(np.float64) ** 2))
        assert measured == pytest.approx(snr_db, abs=0.3)


def test_headroom_keeps_planting_from_clipping(photographs: np.ndarray) -> None:
    for kind in KINDS:
        for fingerprint in planting.fingerprints(kind, 6, seed=0).values():
            alpha = planting.strength(fingerprint, photographs.astype(np.float32), 0)
            planted = planting.plant(photographs, fingerprint, alpha)
            assert np.mean((planted == 0) | (planted == 255)) < 1e-3


def test_patterns_are_orthogonal_and_of_unit_power() -> None:
    tiles = [f.tile.ravel() for f in planting.fingerprints("pattern", 6, 0).values()]
    gram = np.stack(tiles) @ np.stack(tiles).T / tiles[0].size
    np.testing.assert_allclose(gram, np.eye(6), atol=1e-5)


def test_kernel_equals_a_strided_transposed_convolution(photographs: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    fingerprint = planting.fingerprints("kernel", 6, 0)["kernel-2"]
    clean = photographs[:4].astype(np.float32)
    small = torch.from_numpy(clean).permute(0, 3, 1, 2)
    small = torch.nn.functional.avg_pool2d(small, 2)
    weight = torch.zeros(3, 1, 3, 3)
    gains = torch.from_numpy(fingerprint.gains)
    for c in range(3):
        for i in range(3):
            for j in range(3):
                # Centre: the phase (0, 0); edges: shared by two; corners: shared by four.
                share = (2 if i != 1 else 1) * (2 if j != 1 else 1)
                weight[c, 0, i, j] = gains[int(i != 1), int(j != 1), c] / share
    doubled = torch.nn.functional.conv_transpose2d(
        small, weight, stride=2, padding=1, output_padding=1, groups=3
    )
    doubled = doubled.permute(0, 2, 3, 1).numpy()
    ours = clean + fingerprint.change(clean)
    # The last row and column differ: ours repeat the border, the convolution sees zeros.
    np.testing.assert_allclose(ours[:, :-1, :-1], doubled[:, :-1, :-1], rtol=1e-4, atol=1e-2)


def test_colour_equals_a_matrix_on_every_pixel(photographs: np.ndarray) -> None:
    fingerprint = planting.fingerprints("colour", 3, 0)["colour-1"]
    pixel = photographs[0, 3, 5].astype(np.float64)
    change = fingerprint.change(photographs[:1].astype(np.float32))[0, 3, 5]
    np.testing.assert_allclose(change, fingerprint.matrix @ pixel - pixel, atol=1e-3)


@pytest.mark.parametrize("ref", ["gm-synthetic", "gm-synthetic:kernel"])
def test_averaging_recovers_the_true_fingerprint(ref: str) -> None:
    found = resolve(ref)
    assert isinstance(found, SyntheticDataset)
    dataset, truth = found.load(), found.true_fingerprints()
    assert set(truth) == {source.name for source in dataset.sources[1:]}
    for name, template in truth.items():
        residuals = planting.highpass(dataset.train.of_source(name).pixels)
        mean = residuals.mean(axis=0).ravel()
        expected = planting.highpass(template[None])[0].ravel()
        assert np.corrcoef(mean, expected)[0, 1] > 0.98


def test_colour_has_no_truth_locked_to_positions() -> None:
    found = resolve("gm-synthetic:colour")
    assert isinstance(found, SyntheticDataset)
    with pytest.raises(ValueError, match="Colour is not locked to positions"):
        found.true_fingerprints()


def _template_accuracy(dataset: GMDataset) -> float:
    """Nearest average residual, the plainest method there is, over generators."""
    names = [source.name for source in dataset.sources[1:]]
    train = [planting.highpass(dataset.train.of_source(name).pixels).mean(0) for name in names]
    templates = np.stack([t.ravel() / np.linalg.norm(t) for t in train])
    hits = []
    for index, name in enumerate(names):
        residuals = planting.highpass(dataset.test.of_source(name).pixels)
        scores = residuals.reshape(len(residuals), -1) @ templates.T
        hits.append((scores.argmax(axis=1) == index).mean())
    return float(np.mean(hits))


def test_planted_sources_are_told_apart_and_unplanted_ones_are_not() -> None:
    assert _template_accuracy(resolve("gm-synthetic").load()) > 0.95
    assert _template_accuracy(resolve("gm-synthetic:kernel").load()) > 0.95
    chance, n = 1 / 6, 6 * 150
    interval = 3 * np.sqrt(chance * (1 - chance) / n)
    assert abs(_template_accuracy(resolve("gm-synthetic:none").load()) - chance) < interval


def test_forms_are_eight_different_ones() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    assert len({form(image, number).tobytes() for number in range(8)}) == 8
