import io
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import median_filter

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext
from fpbench_methods.dnadet import DNADet
from fpbench_methods.dnadet.network import PatchTraining, SimpleCNN, supervised_contrast
from fpbench_methods.dnadet.transformations import Transformation, apply, transformations
from fpbench_methods.nn.attributor import count_parameters


def image(seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(seed).integers(0, 256, (32, 24, 3), dtype=np.uint8)


def test_there_are_170_transformations_in_the_stated_numbers() -> None:
    known = transformations()
    assert len(set(known)) == 170
    assert Counter(one.kind for one in known) == {
        "jpeg": 24, "double-jpeg": 24, "blur": 14, "median": 14, "resize": 80, "noise": 14,
    }  # fmt: skip
    assert {one.strength for one in known if one.kind == "jpeg"} == set(range(30, 100, 3))
    scales = sorted({one.strength for one in known if one.kind == "resize"})
    np.testing.assert_allclose(scales, np.linspace(0.15, 0.9, 16))


def test_every_transformation_keeps_shape_and_type() -> None:
    generator = np.random.default_rng(0)
    for one in transformations():
        changed = apply(one, image(), generator)
        assert changed.shape == (32, 24, 3)
        assert changed.dtype == np.uint8


def test_transformations_are_those_of_other_libraries() -> None:
    generator = np.random.default_rng(0)
    stream = io.BytesIO()
    Image.fromarray(image()).save(stream, "JPEG", quality=42)
    np.testing.assert_array_equal(
        apply(Transformation("jpeg", 42), image(), generator), np.array(Image.open(stream))
    )
    median = np.stack([median_filter(image()[..., c], 5, mode="nearest") for c in range(3)], -1)
    np.testing.assert_array_equal(apply(Transformation("median", 5), image(), generator), median)
    flat = np.full((32, 24, 3), 90, np.uint8)
    np.testing.assert_array_equal(apply(Transformation("blur", 9), flat, generator), flat)
    noise = apply(Transformation("noise", 9), np.full((200, 200, 3), 128, np.uint8), generator)
    assert noise.std() == pytest.approx(9, rel=0.02)


def test_blur_has_the_stated_width() -> None:
    """A window of 3 has σ = 0.8: weights exp(−0.78125) and 1."""
    point = np.zeros((9, 9, 3), np.uint8)
    point[4, 4] = 255
    found = apply(Transformation("blur", 3), point, np.random.default_rng(0))[:, :, 0]
    side = np.exp(-0.5 / 0.64)
    weights = np.array([side, 1, side]) / (1 + 2 * side)
    np.testing.assert_array_equal(found[3:6, 3:6], np.rint(255 * np.outer(weights, weights)))


def test_the_network_has_the_stated_layers() -> None:
    expected, width_in = 0, 3
    for width in (64, 128, 256, 512):
        expected += 16 * width_in * width + width + 9 * width * width + width + 4 * width
        width_in = width
    network = SimpleCNN(5)
    assert count_parameters(network) == expected + 512 * 5 + 5
    assert network.eval().embed(torch.zeros(1, 3, 17, 40)).shape == (1, 512)


def test_contrast_equals_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(7, 4, generator=generator), dim=1)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 0])
    losses = []
    for i in range(7):
        others = [a for a in range(7) if a != i]
        whole = sum(float(torch.exp(vectors[i] @ vectors[a] / 0.07)) for a in others)
        positives = [p for p in others if labels[p] == labels[i]]
        if positives:
            terms = [
                np.log(float(torch.exp(vectors[i] @ vectors[p] / 0.07)) / whole) for p in positives
            ]
            losses.append(-np.mean(terms))
    assert float(supervised_contrast(vectors, labels)) == pytest.approx(np.mean(losses), rel=1e-4)


def test_contrast_without_any_positive_is_zero() -> None:
    vectors = torch.eye(3, requires_grad=True)
    loss = supervised_contrast(vectors, torch.arange(3))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0


def test_losses_are_weighted_by_learned_uncertainties() -> None:
    torch.manual_seed(0)
    training = PatchTraining(SimpleCNN(3, dropout=0.0)).eval()
    patches, labels = torch.randn(6, 3, 16, 16), torch.tensor([0, 0, 1, 1, 2, 2])
    plain = float(training.loss(patches, labels, labels))
    with torch.no_grad():
        training.log_variances.copy_(torch.tensor([np.log(2.0), np.log(2.0)]))
    halved = float(training.loss(patches, labels, labels))
    assert halved == pytest.approx(plain / 2 + 2 * np.log(2.0), rel=1e-4)


def test_positives_can_share_an_architecture() -> None:
    sources = [Source(name, "GAN", arch) for name, arch in (("a", "x"), ("b", "y"), ("c", "x"))]
    pixels = np.zeros((6, 16, 16, 3), np.uint8)
    images = ImageSet(pixels, sources, [0, 1, 2, 0, 1, 2])
    by_source = DNADet()._groups(images)
    by_architecture = DNADet(positives="architecture")._groups(images)
    assert by_source.tolist() == [0, 1, 2, 0, 1, 2]
    assert by_architecture.tolist() == [0, 1, 0, 0, 1, 0]


def test_the_first_stage_changes_what_the_second_starts_from() -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    sources = [Source(name, "Synthetic", name) for name in "ab"]
    images = ImageSet(pixels, sources, np.arange(8) % 2)
    found = [
        DNADet(pretrain=pretrain)
        .fit(images, reference=images, validation=images, context=FitContext(budget="smoke"))
        .embed(images)
        for pretrain in (True, False)
    ]
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_the_papers_resizing_gives_512() -> None:
    batch = torch.zeros(1, 3, 32, 40, dtype=torch.uint8)
    assert DNADet(resize=True).prepare(batch).shape == (1, 3, 512, 512)
    assert DNADet().prepare(batch).shape == (1, 3, 32, 40)
    assert float(DNADet().prepare(batch).min()) == -1
