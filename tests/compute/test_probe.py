"""The common head on planted classes, against scikit-learn, and through a file."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from fpbench.compute import probe as probe_module
from fpbench.compute.probe import PROBE_PLAN, Probe
from fpbench.errors import BadInput


def planted(count: int, dimension: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes around fixed means, in dimensions of very different scales."""
    means = (
        1.2 * np.random.default_rng(0).normal(size=(classes, dimension)) / np.sqrt(dimension / 16)
    )
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    scale = np.logspace(-3, 3, dimension)
    return (means[labels] + rng.normal(size=(count, dimension))) * scale + 5 * scale, labels


def test_learns_as_well_as_logistic_regression() -> None:
    train, held_out, test = (planted(n, 48, 5, s) for n, s in ((1500, 1), (500, 2), (1000, 3)))
    probe = Probe().fit(*train, *held_out, seed=0)
    proba = probe.predict_proba(test[0])
    assert proba.shape == (1000, 5) and proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    accuracy = (proba.argmax(1) == test[1]).mean()
    mean, deviation = train[0].mean(0), train[0].std(0)
    reference = LogisticRegression(C=0.05, max_iter=500).fit(
        (train[0] - mean) / deviation, train[1]
    )
    expected = reference.score((test[0] - mean) / deviation, test[1])
    assert expected > 0.7
    assert accuracy > expected - 0.05
    assert probe.log is not None and probe.log.best_epoch < PROBE_PLAN.epochs


def test_is_the_same_for_the_same_seed_and_for_any_scale() -> None:
    train, held_out = planted(400, 8, 3, 1), planted(200, 8, 3, 2)
    first = Probe().fit(*train, *held_out, seed=5).predict_proba(held_out[0])
    torch.manual_seed(123)
    np.testing.assert_array_equal(
        first, Probe().fit(*train, *held_out, seed=5).predict_proba(held_out[0])
    )
    assert (
        np.abs(first - Probe().fit(*train, *held_out, seed=6).predict_proba(held_out[0])).max() > 0
    )
    scaled = Probe().fit(train[0] * 4096, train[1], held_out[0] * 4096, held_out[1], seed=5)
    np.testing.assert_allclose(scaled.predict_proba(held_out[0] * 4096), first, atol=1e-3)


def test_constant_dimensions_do_no_harm() -> None:
    train, held_out = planted(400, 8, 3, 1), planted(200, 8, 3, 2)
    plain = Probe().fit(*train, *held_out).predict_proba(held_out[0])
    padded = [np.insert(rows, 3, 0.1, axis=1) for rows in (train[0], held_out[0])]
    probe = Probe().fit(padded[0], train[1], padded[1], held_out[1])
    odd = padded[1].copy()
    odd[:, 3] = 1e6
    np.testing.assert_array_equal(probe.predict_proba(odd), probe.predict_proba(padded[1]))
    assert (plain.argmax(1) == held_out[1]).mean() <= (
        probe.predict_proba(odd).argmax(1) == held_out[1]
    ).mean() + 0.1
    flat = Probe().fit(np.ones((20, 4)), np.arange(20) % 2, np.ones((4, 4)), np.arange(4) % 2)
    assert np.isfinite(flat.predict_proba(np.ones((3, 4)))).all()


def test_survives_a_file(tmp_path: Path) -> None:
    train, held_out = planted(200, 8, 3, 1), planted(100, 8, 3, 2)
    probe = Probe().fit(*train, *held_out, classes=4)
    probe.save(tmp_path / "probe.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["probe.safetensors"]
    loaded = Probe.load(tmp_path / "probe.safetensors")
    expected = probe.predict_proba(held_out[0])
    assert expected.shape == (100, 4)
    np.testing.assert_array_equal(loaded.predict_proba(held_out[0]), expected)
    assert loaded.predict_proba(held_out[0][:0]).shape == (0, 4)
    (tmp_path / "other.safetensors").write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="no fitted probe"):
        Probe.load(tmp_path / "other.safetensors")


def test_bad_input_is_refused() -> None:
    rows, labels = np.ones((6, 4)), np.arange(6) % 2
    with pytest.raises(RuntimeError, match="not fitted"):
        Probe().predict_proba(rows)
    with pytest.raises(RuntimeError, match="not fitted"):
        Probe().save(Path("nowhere"))
    broken = rows.copy()
    broken[2, 1] = np.nan
    with pytest.raises(ValueError, match="training embeddings contain"):
        Probe().fit(broken, labels, rows, labels)
    with pytest.raises(ValueError, match="validation embeddings have 3 dimensions, not 4"):
        Probe().fit(rows, labels, rows[:, :3], labels)
    with pytest.raises(ValueError, match="shape"):
        Probe().fit(rows[:, :0], labels, rows[:, :0], labels)
    with pytest.raises(ValueError, match="labels must be from 0 to 0"):
        Probe().fit(rows, labels, rows, labels, classes=1)
    with pytest.raises(ValueError, match="needs training and validation"):
        Probe().fit(rows, labels, rows[:0], labels[:0])
    with pytest.raises(ValueError, match="integer labels"):
        Probe().fit(rows, labels[:3], rows, labels)


def test_takes_seconds_on_two_thousand_embeddings() -> None:
    train, held_out = planted(2000, 512, 10, 1), planted(500, 512, 10, 2)
    began = time.process_time()
    Probe().fit(*train, *held_out)
    assert time.process_time() - began < 20  # CPU seconds, so that a busy machine does not fail it


def test_very_long_embeddings_are_told_by_their_components(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    rows = rng.normal(size=(60, 500)).astype(np.float32)
    rows[:, :200] += 0.5 * rng.normal(size=(3, 200)).astype(np.float32)[labels]
    held_out = rows[30:]
    monkeypatch.setattr(probe_module, "WIDEST", 400)
    probe = Probe().fit(rows[:30], labels[:30], held_out, labels[30:], classes=3)
    span = probe._span
    assert span is not None and probe._network is not None
    # The same as the singular vectors of the standardised rows, up to one factor and signs.
    shown = (rows[:30] - rows[:30].mean(0)) / rows[:30].std(0)
    other = (held_out - rows[:30].mean(0)) / rows[:30].std(0)
    _, lengths, axes = np.linalg.svd(shown.astype(np.float64), full_matrices=False)
    kept = lengths**2 > 1e-6 * lengths[0] ** 2
    expected = np.abs(other @ axes[kept].T)
    found = np.abs(span.components(held_out)[:, ::-1])
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=2e-3)
    assert np.square(span.components(rows[:30])).mean() == pytest.approx(1, rel=1e-3)
    named = probe.predict_proba(held_out).argmax(1)
    assert (named == labels[30:]).mean() > 0.8
    probe.save(tmp_path / "probe")
    np.testing.assert_allclose(
        Probe.load(tmp_path / "probe").predict_proba(held_out), probe.predict_proba(held_out),
        atol=1e-5,
    )  # fmt: skip
