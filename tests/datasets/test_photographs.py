"""The crops of gm-mini come from disjoint regions of the photographs."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from fpbench.datasets.card import read_recipe
from fpbench.datasets.origins import photographs
from fpbench.datasets.origins.photographs import CROP, PHOTOGRAPHS, Crop
from fpbench.distribution import install_command
from fpbench.errors import BadInput
from fpbench.registry import card_folders

COUNTS = {"reference": 1200, "train": 160, "validation": 40, "test": 150}


@pytest.fixture(scope="module")
def chosen() -> dict[str, list[Crop]]:
    recipe = read_recipe(card_folders()["gm-mini"])
    counts = {split: getattr(recipe.counts, split) for split in COUNTS}
    return photographs.choose(counts, recipe.seed)


def test_counts_are_those_of_the_recipe(chosen: dict[str, list[Crop]]) -> None:
    assert {split: len(crops) for split, crops in chosen.items()} == COUNTS


def test_no_pixel_of_a_photograph_is_in_two_splits(chosen: dict[str, list[Crop]]) -> None:
    for entry in PHOTOGRAPHS:
        shape = photographs.photograph(entry.name).shape[:2]
        covered = {}
        for split, crops in chosen.items():
            mask = np.zeros(shape, int)
            for crop in crops:
                if crop.photograph == entry.name:
                    mask[crop.top : crop.top + CROP, crop.left : crop.left + CROP] += 1
            covered[split] = mask
        for one, other in combinations(covered, 2):
            assert not (covered[one].astype(bool) & covered[other].astype(bool)).any()
        for split in ("train", "validation", "test"):
            assert covered[split].max() <= 1, f"crops of {split} overlap in {entry.name}"


def test_every_photograph_is_in_every_split(chosen: dict[str, list[Crop]]) -> None:
    names = {entry.name for entry in PHOTOGRAPHS}
    for crops in chosen.values():
        assert {crop.photograph for crop in crops} == names


def test_crops_are_neither_flat_nor_near_duplicates(chosen: dict[str, list[Crop]]) -> None:
    crops = [crop for split in chosen.values() for crop in split]
    pixels = photographs.cut(crops).astype(np.float64)
    luminance = pixels @ [0.299, 0.587, 0.114]
    assert luminance.std(axis=(1, 2)).min() > 5
    flat = pixels.reshape(len(crops), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    square = (flat**2).sum(axis=1)
    distance = square[:, None] + square[None] - 2 * flat @ flat.T
    np.fill_diagonal(distance, np.inf)
    assert np.sqrt(distance.min() / flat.shape[1]) > 3.9


def test_area_reduction_is_the_rounded_mean() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 3)).astype(np.uint8)
    reduced = photographs.reduce_area(pixels, 2)
    for row in range(3):
        for column in range(5):
            block = pixels[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            expected = np.floor(block.reshape(4, 3).mean(axis=0) + 0.5)
            assert (reduced[row, column] == expected).all()


def test_too_many_crops_are_refused_with_numbers() -> None:
    with pytest.raises(BadInput, match=r"hold \d+ crops for the split test.*ask for 9999"):
        photographs.choose({**COUNTS, "test": 9999}, 0)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    photographs.photograph.cache_clear()
    with pytest.raises(BadInput, match=re.escape(install_command("zoo"))):
        photographs.photograph("astronaut")
