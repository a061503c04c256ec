"""Errors within families, by counting and by construction."""

import numpy as np
import pytest

from fpbench.metrics.families import family_errors
from fpbench.metrics.score import NotComputable

FAMILIES = ["GAN"] * 4 + ["VAE"] * 3 + ["Flow"] * 2 + ["Score"]


def test_share_and_chance_by_counting_single_errors() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 10, 3000)
    named = np.where(rng.random(3000) < 0.5, true, rng.integers(0, 10, 3000))
    counts = np.zeros((10, 10))
    np.add.at(counts, (true, named), 1)
    found = family_errors(counts, FAMILIES)
    wrong = true != named
    inside = np.array([FAMILIES[a] == FAMILIES[b] for a, b in zip(true, named, strict=True)])
    assert found.errors == wrong.sum()
    assert found.share == pytest.approx((wrong & inside).sum() / wrong.sum())
    peers = np.array([FAMILIES.count(FAMILIES[k]) - 1 for k in true[wrong]])
    assert found.chance == pytest.approx(np.mean(peers / 9))
    assert found.share == pytest.approx(found.chance, abs=0.03)  # errors here fall evenly


def test_errors_that_follow_families_are_found_and_others_are_not() -> None:
    rng = np.random.default_rng(1)
    alike = np.array([[a == b for b in FAMILIES] for a in FAMILIES])
    planted = rng.poisson(np.where(alike, 20.0, 2.0))
    assert family_errors(planted, FAMILIES).p_value < 0.01
    p = []
    for seed in range(60):
        pairs = rng.gamma(0.5, 1.0, (10, 10))  # some pairs are alike, whatever their families
        p.append(family_errors(pairs + pairs.T, rng.permutation(FAMILIES), seed=seed).p_value)
    assert np.mean(np.array(p) <= 0.05) <= 0.12


def test_what_has_no_answer() -> None:
    with pytest.raises(NotComputable, match="named wrongly"):
        family_errors(np.eye(3), ["GAN", "GAN", "VAE"])
    with pytest.raises(NotComputable, match="share a family"):
        family_errors(np.ones((3, 3)), ["GAN", "Flow", "VAE"])
    with pytest.raises(ValueError, match="for 2 sources"):
        family_errors(np.ones((3, 3)), ["GAN", "VAE"])
