"""Sampling: one quantiser, repeatable, in batches."""

import dataclasses

import numpy as np
import pytest
import torch

from fpbench.zoo.sample import quantise, sample
from fpbench.zoo.table import model, models
from fpbench.zoo.train import TrainedModel, load, train


def untrained(name, size=16):
    torch.manual_seed(0)
    net = model(name).build(size).eval()
    if hasattr(net, "sampling_steps"):
        net.sampling_steps = 3
    return TrainedModel(model(name), net, 0, 0.0, size, {})


def test_the_quantiser_undoes_the_pipelines_scaling():
    levels = np.arange(256, dtype=np.uint8)
    assert np.array_equal(quantise(levels / np.float32(127.5) - 1), levels)


def test_the_quantiser_rounds_to_the_nearest_level_and_clips():
    exact = np.array([10.4, 10.6, -3.0, 300.0, 254.6]) / 127.5 - 1
    assert quantise(exact).tolist() == [10, 11, 0, 255, 255]
    assert quantise(np.array([0.0])).tolist() == [128]
    assert quantise(np.array([-np.inf, np.inf])).tolist() == [0, 255]
    with pytest.raises(ValueError, match="NaN"):
        quantise(np.array([np.nan]))


def test_quantisation_error_is_at_most_half_a_level():
    values = np.random.default_rng(0).uniform(-1, 1, 10_000)
    assert np.abs(quantise(values) / 127.5 - 1 - values).max() <= 0.5 / 127.5 + 1e-12


@pytest.mark.parametrize("name", list(models()))
def test_samples_repeat_for_a_seed_and_differ_between_seeds(name):
    trained = untrained(name)
    first, again, other = (
        np.concatenate(list(sample(trained, 5, seed=seed, batch=3))) for seed in (1, 1, 2)
    )
    assert first.shape == (5, 16, 16, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len({image.tobytes() for image in first}) == 5


def test_batches_and_progress():
    seen = []
    batches = list(
        sample(untrained("dcgan-small"), 7, seed=0, batch=3, progress=lambda *u: seen.append(u))
    )
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert seen == [("sampling dcgan-small", done, 7) for done in (3, 6, 7)]
    assert batches[0].flags.c_contiguous


@pytest.mark.parametrize(("count", "batch"), [(0, 1), (1, 0)])
def test_nothing_to_draw_is_refused(count, batch):
    with pytest.raises(ValueError, match="positive"):
        next(sample(untrained("dcgan-small"), count, seed=0, batch=batch))


def test_the_callers_random_numbers_stay_his():
    trained = untrained("dcgan-small")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    next(sample(trained, 2, seed=0))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["glow-small", "dcgan-small", "ncsn-small"])
def test_a_loaded_model_draws_the_same_images(name, small_images, tmp_path):
    row = model(name)
    row = dataclasses.replace(row, training=dataclasses.replace(row.training, batch=8))
    trained = train(row, small_images, checkpoint=tmp_path / "a", steps=2)
    loaded = load(row, tmp_path / "a")
    a, b = (np.concatenate(list(sample(t, 4, seed=0))) for t in (trained, loaded))
    assert np.array_equal(a, b)
