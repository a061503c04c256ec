"""The one pipeline: limits, resumption, refusals."""

import dataclasses
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from fpbench.errors import BadInput
from fpbench.zoo import checkpoint as checkpoints
from fpbench.zoo import train as pipeline
from fpbench.zoo.table import model, models
from fpbench.zoo.train import Diverged, load, train


def weights(trained):
    return trained.net.state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def changed_training(name, **changes):
    row = model(name)
    return dataclasses.replace(row, training=dataclasses.replace(row.training, **changes))


@pytest.mark.parametrize("name", list(models()))
def test_a_few_steps_change_every_row_and_stay_finite(name, small_images, tmp_path):
    row = changed_training(name, batch=8)
    trained = train(row, small_images, checkpoint=tmp_path / "a", steps=3, seed=1)
    assert trained.steps == 3 and trained.size == 16
    first = train(row, small_images, checkpoint=tmp_path / "b", steps=1, seed=1)
    moved = [
        key
        for key, parameter in trained.net.named_parameters()
        if not torch.equal(parameter, first.net.get_parameter(key))
    ]
    assert moved
    assert all(torch.isfinite(tensor.float()).all() for tensor in weights(trained).values())
    facts = trained.describe()
    moves = sum(len(trained.net.turns(step)) for step in range(3))
    # Models that look at one batch first have seen it too.
    assert facts["images_seen"] == 8 * (moves + 1)
    assert facts["training_images"] == 48 and facts["seed"] == 1
    assert facts["parameters"] == sum(p.numel() for p in first.net.parameters())


@pytest.mark.parametrize("name", ["dcgan-small", "progan-small", "sngan-small", "ldm-small"])
def test_a_resumed_training_ends_in_the_same_weights(name, small_images, tmp_path):
    row = changed_training(name, batch=8)
    straight = train(row, small_images, checkpoint=tmp_path / "a", steps=5)
    resumed = _interrupted(row, small_images, tmp_path / "b", steps=5, after=2)
    assert same(weights(straight), weights(resumed))
    whole, _ = checkpoints.read(tmp_path / "a")
    other, _ = checkpoints.read(tmp_path / "b")
    assert same(whole, other)


def _interrupted(row, images, path, *, steps, after):
    """Train, but be stopped once `after` steps have been saved."""

    class Stopped(Exception):
        pass

    def stop(what, done, total):
        if done > after:
            raise Stopped

    before = pipeline.SAVE_SECONDS
    pipeline.SAVE_SECONDS = 0.0
    try:
        with pytest.raises(Stopped):
            train(row, images, checkpoint=path, steps=steps, progress=stop)
    finally:
        pipeline.SAVE_SECONDS = before
    assert checkpoints.read_facts(path)["steps"] == after
    return train(row, images, checkpoint=path, steps=steps)


def test_a_finished_training_is_not_touched(small_images, tmp_path):
    row = changed_training("beta-vae-small", batch=8)
    path = tmp_path / "a"
    first = train(row, small_images, checkpoint=path, steps=2)
    content = path.read_bytes()
    again = train(row, small_images, checkpoint=path, steps=2)
    assert path.read_bytes() == content
    assert same(weights(first), weights(again))
    assert same(weights(first), weights(load(row, path)))


def test_seeds_make_trainings_repeat_and_differ(small_images, tmp_path):
    row = changed_training("gan-small", batch=8)
    a, b, c = (
        weights(train(row, small_images, checkpoint=tmp_path / str(i), steps=2, seed=seed))
        for i, seed in enumerate((3, 3, 4))
    )
    assert same(a, b) and not same(a, c)


def test_the_callers_random_numbers_stay_his(small_images, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    row = changed_training("beta-vae-small", batch=8)
    train(row, small_images, checkpoint=tmp_path / "a", steps=1)
    assert torch.equal(torch.rand(3), expected)


def test_minutes_end_a_training_and_count_over_resumptions(small_images, tmp_path):
    row = changed_training("beta-vae-small", batch=8)
    seen = []
    path = tmp_path / "a"
    first = train(
        row,
        small_images,
        checkpoint=path,
        minutes=0.03,
        progress=lambda *update: seen.append(update),
    )
    assert 0.03 <= first.minutes < 0.3
    assert seen[-1] == ("training beta-vae-small", 1, 1)
    again = train(row, small_images, checkpoint=path, minutes=0.03)
    assert (again.steps, again.minutes) == (first.steps, first.minutes)
    more = train(row, small_images, checkpoint=path, minutes=first.minutes + 0.01)
    assert more.steps > first.steps and more.minutes > first.minutes


def test_steps_are_reported(small_images, tmp_path):
    seen = []
    row = changed_training("beta-vae-small", batch=8)
    train(row, small_images, checkpoint=tmp_path / "a", steps=3, progress=lambda *u: seen.append(u))
    assert seen == [("training beta-vae-small", done, 3) for done in (1, 2, 3)]


def test_the_average_follows_the_stated_rule(small_images, tmp_path):
    row = changed_training("beta-vae-small", batch=8)
    path = tmp_path / "a"
    start = pipeline._Session(row, small_images, 16, 0, torch.device("cpu"), "fp32").net
    average = {name: p.detach().clone() for name, p in start.named_parameters()}
    for step in (1, 2, 3):
        train(row, small_images, checkpoint=path, steps=step, precision="fp32")
        now = checkpoints.read(path)[0]
        decay = min(row.training.ema, (1 + step) / (10 + step))
        for name, value in average.items():
            value.mul_(decay).add_(now[f"net.{name}"], alpha=1 - decay)
    for name, value in average.items():
        torch.testing.assert_close(now[f"average.{name}"], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("flip", [True, False])
def test_images_are_mirrored_only_where_the_row_says_so(flip, tmp_path):
    ramp = np.zeros((1, 16, 16, 3), np.uint8)
    ramp[:] = np.arange(16, dtype=np.uint8)[None, None, :, None] * 16
    row = changed_training("beta-vae-small", batch=64, flip=flip)
    session = pipeline._Session(row, ramp, 16, 0, torch.device("cpu"), "fp32")
    torch.manual_seed(0)
    rising = (session.batch()[:, 0, 0].diff(dim=-1) > 0).all(-1)
    assert rising.all() != flip
    assert rising.any()


def test_a_checkpoint_of_another_training_is_refused_by_name(small_images, tmp_path):
    path = tmp_path / "mine.safetensors"
    row = changed_training("beta-vae-small", batch=8)
    train(row, small_images, checkpoint=path, steps=1)
    rate = changed_training("beta-vae-small", batch=8, rate=1e-2)
    cases = [
        (model("dcgan-small"), small_images, 0, "of beta-vae-small, not of dcgan-small"),
        (rate, small_images, 0, "other hyper-parameters"),
        (row, np.repeat(np.repeat(small_images, 2, 1), 2, 2), 0, "image size 16, not 32"),
        (row, small_images, 1, "seed 0, not 1"),
        (row, small_images[1:], 0, "training images with SHA-256"),
    ]
    for other, images, seed, reason in cases:
        with pytest.raises(BadInput, match=reason) as caught:
            train(other, images, checkpoint=path, steps=2, seed=seed)
        assert "mine.safetensors" in str(caught.value)
    with pytest.raises(BadInput, match="not of dcgan-small"):
        load(model("dcgan-small"), path)


@pytest.mark.parametrize(
    ("images", "limits", "reason"),
    [
        (np.zeros((2, 16, 16, 3)), {"steps": 1}, "uint8"),
        (np.zeros((2, 16, 16), np.uint8), {"steps": 1}, "uint8"),
        (np.zeros((0, 16, 16, 3), np.uint8), {"steps": 1}, "at least one"),
        (np.zeros((2, 16, 24, 3), np.uint8), {"steps": 1}, "square"),
        (np.zeros((2, 16, 16, 3), np.uint8), {"steps": 0}, "steps must be positive, not 0"),
        (np.zeros((2, 16, 16, 3), np.uint8), {"minutes": -1}, "minutes must be positive, not -1"),
        (np.zeros((2, 16, 16, 3), np.uint8), {"steps": 1, "precision": "fp8"}, "fp8"),
    ],
)
def test_input_that_makes_no_sense_is_refused(images, limits, reason, tmp_path):
    with pytest.raises(BadInput, match=reason):
        train(model("beta-vae-small"), images, checkpoint=tmp_path / "a", **limits)
    assert not list(tmp_path.iterdir())


def test_divergence_is_told_and_leaves_the_last_good_checkpoint(
    small_images, tmp_path, monkeypatch
):
    path = tmp_path / "a"
    monkeypatch.setattr(pipeline, "SAVE_SECONDS", 0.0)
    row = changed_training("beta-vae-small", batch=8, rate=1e20)
    with pytest.raises(Diverged, match=r"beta-vae-small diverged at step \d+.*another seed"):
        train(row, small_images, checkpoint=path, steps=50)
    if path.exists():
        tensors, _ = checkpoints.read(path)
        assert all(torch.isfinite(t).all() for n, t in tensors.items() if n.startswith("net."))


def test_a_killed_training_leaves_a_whole_checkpoint_or_none(small_images, tmp_path):
    path, images = tmp_path / "a.safetensors", tmp_path / "images.npy"
    np.save(images, small_images)
    code = (
        "import sys, numpy as np; from pathlib import Path; import fpbench.zoo.train as t; "
        "from fpbench.zoo.table import model; t.SAVE_SECONDS = 0.0; "
        "t.train(model('dcgan-small'), np.load(sys.argv[1]), checkpoint=Path(sys.argv[2]), "
        "steps=100000)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(images), str(path)])
    try:
        until = time.monotonic() + 240
        while not path.exists() and time.monotonic() < until and child.poll() is None:
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert path.exists()
    done = load(model("dcgan-small"), path)
    assert done.steps >= 1
    resumed = train(model("dcgan-small"), small_images, checkpoint=path, steps=done.steps + 1)
    assert resumed.steps == done.steps + 1
