"""Large images: trained on as crops, judged whole or by the mean over a grid of crops."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fpbench import registry
from fpbench.compute.training_log import trainings_noted
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, Method
from fpbench_methods.bases.calibration import softmax
from fpbench_methods.bases.crops import (
    CROP,
    PHASE,
    assembled,
    crop_side,
    drawn,
    random_crops,
    starts,
    tiled,
    within_area,
)

SIDE = 96
SOURCES = (
    Source("real", "Real", "photographs", {}),
    Source("a", "GAN", "A", {"upsampling": "nearest"}),
    Source("b", "GAN", "B", {"upsampling": "bilinear"}),
)


def planted(each: int, sources: tuple[Source, ...] = SOURCES, seed: int = 0) -> ImageSet:
    """Smooth images of 96×96 on which generators leave a wave of their own."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sources)), each)
    base = rng.integers(60, 190, (len(labels), 3, 3, 3)).repeat(SIDE // 3, 1).repeat(SIDE // 3, 2)
    pixels = base + rng.normal(0, 6, (len(labels), SIDE, SIDE, 3))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for k in range(1, len(sources)):
        pixels[labels == k] += 14 * np.cos(2 * np.pi * (columns * k + rows) / 8)[None, :, :, None]
    return ImageSet(np.clip(pixels, 0, 255).astype(np.uint8), sources, labels)


def fitted(name: str, budget: Any = "smoke") -> tuple[Method, ImageSet]:
    cls, variant = registry.resolve_method(name)
    method = cls.make(variant)
    method.fit(
        planted(8),
        reference=planted(24, SOURCES[:1], seed=1),
        validation=planted(3, seed=2),
        context=FitContext(seed=0, budget=budget),
    )
    return method, planted(4, seed=3).unlabelled()


def test_images_up_to_the_crop_and_budget_full_are_left_whole() -> None:
    assert crop_side("small", (64, 300)) is None
    assert crop_side("small", (65, 65)) == crop_side("smoke", (256, 256)) == CROP
    assert crop_side("full", (256, 256)) is None


def test_crops_begin_at_multiples_of_eight_and_reach_every_corner() -> None:
    rows = torch.arange(96).view(1, 1, 96, 1) * 1000 + torch.arange(96).view(1, 1, 1, 96)
    torch.manual_seed(0)
    corners = random_crops(rows.expand(400, 1, 96, 96), 64)[:, 0, 0, 0]
    tops, lefts = corners // 1000, corners % 1000
    assert set(tops.tolist()) == set(lefts.tolist()) == {0, 8, 16, 24, 32}
    cut = random_crops(rows, 64)[0, 0]
    assert torch.equal(cut - cut[0, 0], rows[0, 0, :64, :64])


@pytest.mark.parametrize("length", [65, 96, 100, 128, 250, 256, 1024])
def test_a_grid_reaches_both_borders(length: int) -> None:
    at = starts(length, 64)
    assert at[0] == 0 and at[-1] == length - 64 and len(at) <= 4
    assert all(place % PHASE == 0 for place in at[:-1])
    covering = starts(length, 64, None)
    assert all(b - a <= 64 for a, b in itertools.pairwise(covering))


def test_tiles_are_the_images_pieces() -> None:
    images = np.random.default_rng(0).integers(0, 255, (3, 128, 96, 3)).astype(np.uint8)
    crops, corners = tiled(images, 64)
    assert corners == [(0, 0), (0, 32), (64, 0), (64, 32)]
    np.testing.assert_array_equal(crops[4 + 3], images[1, 64:, 32:])
    made = assembled(crops.astype(np.float32), corners, (128, 96))
    np.testing.assert_array_equal(made, images)
    some = drawn(images, 64, 2, 0, "test")
    assert some.shape == (6, 64, 64, 3)
    np.testing.assert_array_equal(some, drawn(images, 64, 2, 0, "test"))
    places = {some[3].tobytes() == images[1, t : t + 64, s : s + 64].tobytes()
              for t in range(0, 65, 8) for s in range(0, 33, 8)}  # fmt: skip
    assert True in places


def test_memory_of_a_batch_does_not_grow_with_the_image() -> None:
    assert within_area(256, (64, 64)) == within_area(256, (32, 32)) == 256
    assert within_area(256, (256, 256)) * 256 * 256 == 256 * 64 * 64
    assert within_area(8, (4096, 4096)) == 1


@pytest.mark.parametrize("name", ["manifpt:rgb", "npr"])
def test_networks_with_a_global_average_are_trained_on_crops_and_judge_whole_images(
    name: str,
) -> None:
    with trainings_noted() as logs:
        method, images = fitted(name)
    assert [log.crop for log in logs] == [CROP]
    logits = method.infer(images)  # type: ignore[attr-defined]
    whole = method._network(method.prepare(torch.from_numpy(images.pixels).permute(0, 3, 1, 2)))  # type: ignore[attr-defined]
    np.testing.assert_allclose(logits, whole.detach().numpy(), rtol=1e-3, atol=1e-4)


def test_networks_of_a_fixed_size_judge_by_the_mean_over_crops(tmp_path: Path) -> None:
    method, images = fitted("yu:attribution")
    crops, corners = tiled(images.pixels, CROP)
    each = ImageSet(crops, SOURCES)
    with torch.no_grad():
        network: Any = method._network  # type: ignore[attr-defined]
        rows = method.prepare(torch.from_numpy(each.pixels).permute(0, 3, 1, 2))  # type: ignore[attr-defined]
        expected = softmax(network(rows).numpy()).reshape(len(images), len(corners), -1).mean(1)
    np.testing.assert_allclose(method.predict_proba(images), expected, rtol=1e-3, atol=1e-5)
    method.save(tmp_path)
    again = type(method).load(tmp_path)
    np.testing.assert_allclose(again.predict_proba(images), expected, rtol=1e-3, atol=1e-5)


def test_spectra_are_those_of_crops_with_the_same_crop_of_the_nearest_real_image() -> None:
    from fpbench_methods.manifpt.spaces import freq

    method, images = fitted("manifpt:freq")
    rows = method.rows_of(images)  # type: ignore[attr-defined]
    assert rows.shape == (len(images), SIDE, SIDE, 6)
    np.testing.assert_array_equal(rows[..., :3], images.pixels)
    crop = np.ascontiguousarray(rows[:2, 8:72, 16:80])
    made = method.prepare(torch.from_numpy(crop).permute(0, 3, 1, 2))  # type: ignore[attr-defined]
    expected = freq(np.ascontiguousarray(crop[..., :3])) - freq(np.ascontiguousarray(crop[..., 3:]))
    np.testing.assert_allclose(made.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "manifpt:rgb", "manifpt:freq", "npr", "yu:attribution", "yu:visnet", "asnani:attribution",
        "asnani:parsing", "dnadet", "dsf:plus", "frank:cnn", "nataraj", "riemann:geodesic",
    ],
)  # fmt: skip
def test_every_learned_method_takes_large_images(name: str, tmp_path: Path) -> None:
    method, images = fitted(name)
    embedded = method.embed(images)
    proba = method.predict_proba(images)
    assert len(embedded) == len(images) and proba.shape == (len(images), 3)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-3)
    if method.implements("residual"):
        assert method.residual(images).shape == images.pixels.shape
    method.save(tmp_path)
    np.testing.assert_allclose(
        type(method).load(tmp_path).predict_proba(images), proba, rtol=1e-3, atol=1e-4
    )
