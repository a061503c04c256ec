"""The training loop: seeds, stopping, resuming, divergence, schedules."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpbench.compute.classification import train_classifier
from fpbench.compute.device import seeded
from fpbench.compute.inference import ArrayOnDevice, predict, signed_range, unit_range
from fpbench.compute.training import TrainingDiverged, TrainingPlan, shuffled_batches, train
from fpbench.errors import BadInput


def small_network(seed: int = 0) -> nn.Module:
    with seeded(seed):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 2),
        )


def striped_images(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Class 1 carries a faint vertical stripe pattern, class 0 a horizontal one."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.normal(128, 10, (count, 8, 8, 3))
    stripes = 12.0 * (np.arange(8) % 2)
    images += np.where(
        labels[:, None, None, None] == 1, stripes[None, None, :, None], stripes[None, :, None, None]
    )
    return np.clip(images, 0, 255).astype(np.uint8), labels


def weights(network: nn.Module) -> Tensor:
    return torch.cat([v.detach().flatten().double() for v in network.state_dict().values()])


PLAN = TrainingPlan(epochs=6, batch=32, lr=0.01, schedule="cosine")


def test_learns_and_is_the_same_for_the_same_seed() -> None:
    images, labels = striped_images(256, 0)
    held_out = striped_images(128, 1)
    runs = []
    for seed, noise in ((3, 0), (3, 99), (4, 0)):
        network = small_network()
        torch.manual_seed(noise)
        log = train_classifier(
            network, PLAN, images, labels, validation=held_out, prepare=signed_range, seed=seed
        )
        runs.append((log, weights(network)))
        accuracy = (
            predict(network, held_out[0], prepare=signed_range).argmax(1) == held_out[1]
        ).mean()
        assert accuracy > 0.9
        assert len(log.losses) == len(log.validations) == 6 and log.steps == 48
        assert log.losses[-1] < log.losses[0]
        assert log.precision == "fp32" and not log.stopped_early
    assert torch.equal(runs[0][1], runs[1][1]) and runs[0][0].losses == runs[1][0].losses
    assert not torch.equal(runs[0][1], runs[2][1])


def test_the_global_generator_is_left_alone() -> None:
    images, labels = striped_images(32, 0)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_classifier(small_network(), TrainingPlan(epochs=1), images, labels)
    assert torch.equal(torch.rand(3), expected)


def test_early_stopping_restores_the_best_weights() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    seen: list[float] = []

    def loss(batch: Tensor) -> Tensor:
        return -network.weight.sum()  # moves the weight by lr = 1 each step

    def validate() -> float:
        assert not network.training and not torch.is_grad_enabled()
        seen.append(network.weight.item())
        return abs(network.weight.item() - 3)

    plan = TrainingPlan(epochs=50, batch=4, optimiser="sgd", lr=1.0, patience=4)
    log = train(network, plan, loss, examples=4, validate=validate)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert log.best_epoch == 2 and log.stopped_early and len(log.losses) == 7
    assert network.weight.item() == 3 and not network.training


@pytest.mark.parametrize(("patience", "average"), [(None, None), (3, None), (None, 0.9)])
def test_resumed_training_ends_where_an_uninterrupted_one_does(
    tmp_path: Path, patience: int | None, average: float | None
) -> None:
    images, labels = striped_images(96, 0)
    held_out = striped_images(64, 1)
    plan = TrainingPlan(
        epochs=7,
        batch=32,
        lr=0.02,
        optimiser="adamw",
        weight_decay=0.01,
        schedule="plateau",
        plateau=1,
        gamma=0.5,
        patience=patience,
        average=average,
    )
    straight = small_network()
    expected = train_classifier(straight, plan, images, labels, validation=held_out, seed=1)

    class Interrupted(KeyboardInterrupt):
        pass

    file = tmp_path / "deep" / "run.safetensors"
    for stop in (4, 10):  # within the second and the fourth epoch

        def interrupt(what: str, done: int, total: int, stop: int = stop) -> None:
            assert what == "training" and done <= total
            if done == stop:
                raise Interrupted

        with pytest.raises(KeyboardInterrupt):
            train_classifier(
                small_network(),
                plan,
                images,
                labels,
                validation=held_out,
                seed=1,
                progress=interrupt,
                checkpoint=file,
            )
        assert [p.name for p in file.parent.iterdir()] == ["run.safetensors"]
    network = small_network(seed=77)
    log = train_classifier(
        network, plan, images, labels, validation=held_out, seed=1, checkpoint=file
    )
    assert log.losses == expected.losses and log.validations == expected.validations
    assert log.best_epoch == expected.best_epoch and log.steps == expected.steps
    assert torch.equal(weights(network), weights(straight))
    again = train_classifier(
        small_network(seed=78), plan, images, labels, validation=held_out, seed=1, checkpoint=file
    )
    assert again == log


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    images, labels = striped_images(32, 0)
    file = tmp_path / "run.safetensors"
    plan = TrainingPlan(epochs=1)
    train_classifier(small_network(), plan, images, labels, checkpoint=file)
    with pytest.raises(BadInput, match="another training"):
        train_classifier(small_network(), plan, images, labels, seed=1, checkpoint=file)
    with pytest.raises(BadInput, match="another network"):
        other = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        train_classifier(other, plan, images, labels, checkpoint=file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BadInput, match="no checkpoint"):
        train_classifier(small_network(), plan, images, labels, checkpoint=file)


@pytest.mark.parametrize("validated", [False, True])
def test_averaged_weights_are_what_is_validated_and_kept(validated: bool) -> None:
    """One weight that moves by one a step, averaged by TensorFlow's rule written out."""
    network = nn.Linear(1, 1, bias=False).double()
    nn.init.zeros_(network.weight)
    steps, seen = [], []

    def loss(batch: Tensor) -> Tensor:
        steps.append(network.weight.item())
        return -network.weight.sum()

    def validate() -> float:
        seen.append(network.weight.item())
        return -network.weight.item()

    plan = TrainingPlan(epochs=4, batch=1, optimiser="sgd", lr=1.0, average=0.3)
    train(network, plan, loss, examples=3, validate=validate if validated else None)
    average, expected = 0.0, []
    for step in range(12):
        decay = min(0.3, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * (step + 1)
        expected.append(average)
    np.testing.assert_allclose(steps, range(12))
    assert network.weight.item() == pytest.approx(expected[-1])
    if validated:
        np.testing.assert_allclose(seen, expected[2::3])


def test_an_objective_of_its_own_replaces_the_cross_entropy() -> None:
    images, labels = striped_images(64, 0)
    network = small_network()
    seen = []

    def objective(inputs: Tensor, targets: Tensor) -> Tensor:
        seen.append((inputs.shape, inputs.max().item() <= 1, targets.dtype))
        return 3.0 + 0.0 * network(inputs).sum()

    log = train_classifier(
        network,
        TrainingPlan(epochs=2, batch=32),
        images,
        labels,
        validation=(images, labels),
        objective=objective,
    )
    assert log.losses == (3.0, 3.0) and 0.3 < log.validations[0] < 3
    assert seen == [(torch.Size([32, 3, 8, 8]), True, torch.int64)] * 4


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_is_told(bad: float) -> None:
    network = nn.Linear(2, 1)
    calls = 0

    def loss(batch: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return network.weight.sum() * (bad if calls == 3 else 1.0)

    with pytest.raises(TrainingDiverged, match=r"epoch 2 of 5.*learning rate below 0.001"):
        train(network, TrainingPlan(epochs=5, batch=2), loss, examples=4)
    network = nn.Linear(2, 1)
    with pytest.raises(TrainingDiverged, match="validation"):
        train(
            network,
            TrainingPlan(epochs=5, batch=2),
            lambda batch: network.weight.sum(),
            examples=4,
            validate=lambda: math.nan,
        )


def rates(plan: TrainingPlan, steps: int, values: list[float] | None = None) -> list[float]:
    """The rates a plan takes, read off a weight whose gradient is always one."""
    network = nn.Linear(1, 1, bias=False).double()
    places = []

    def loss(batch: Tensor) -> Tensor:
        places.append(network.weight.item())
        return network.weight.sum()

    feed = iter(values or [])
    train(
        network,
        plan,
        loss,
        examples=steps * plan.batch,
        validate=(lambda: next(feed)) if values else None,
    )
    return list(-np.diff(places))


def test_schedules_take_the_rates_they_say() -> None:
    def plan(**how: object) -> TrainingPlan:
        return TrainingPlan(**{"epochs": 5, "batch": 1, "optimiser": "sgd", "lr": 0.5} | how)  # type: ignore[arg-type]

    np.testing.assert_allclose(rates(plan(), 1), [0.5] * 4)
    np.testing.assert_allclose(
        rates(plan(schedule="cosine", min_lr=0.1), 2),
        [0.1 + 0.4 * (1 + math.cos(math.pi * i / 10)) / 2 for i in range(9)],
    )
    np.testing.assert_allclose(
        rates(plan(schedule="milestones", milestones=(1, 3)), 1), [0.5, 0.05, 0.05, 0.005]
    )
    np.testing.assert_allclose(
        rates(plan(schedule="exponential", gamma=0.5, min_lr=0.1), 1), [0.5, 0.25, 0.125, 0.1]
    )
    np.testing.assert_allclose(
        rates(
            plan(epochs=8, schedule="plateau", plateau=2, gamma=0.2, min_lr=0.05),
            1,
            [5, 4, 4, 4, 3, 3, 3, 3],
        ),
        [0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1],
    )


def test_optimisers_are_torchs_own() -> None:
    """Adam with decay, and SGD with momentum and clipping, against plain torch loops."""
    data = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    for plan, make in (
        (
            TrainingPlan(epochs=3, batch=8, lr=0.1, weight_decay=0.1, betas=(0.0, 0.99)),
            lambda p: torch.optim.Adam(p, 0.1, (0.0, 0.99), weight_decay=0.1),
        ),
        (
            TrainingPlan(epochs=3, batch=8, optimiser="sgd", lr=0.1, momentum=0.9, clip=0.01),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        ),
    ):
        with seeded(0):
            ours, theirs = nn.Linear(3, 1), nn.Linear(3, 1)
        theirs.load_state_dict(ours.state_dict())
        train(ours, plan, lambda batch, net=ours: net(data).square().mean(), examples=8)
        optimiser = make(theirs.parameters())
        for _ in range(3):
            optimiser.zero_grad()
            theirs(data).square().mean().backward()
            if plan.clip is not None:
                nn.utils.clip_grad_norm_(theirs.parameters(), plan.clip)
            optimiser.step()
        assert torch.equal(weights(ours), weights(theirs))


def test_groups_keep_their_own_rates() -> None:
    network = nn.ParameterDict(
        {"a": nn.Parameter(torch.zeros(())), "b": nn.Parameter(torch.zeros(()))}
    )
    groups = [{"params": [network["a"]]}, {"params": [network["b"]], "lr": 0.2}]
    plan = TrainingPlan(epochs=1, batch=1, optimiser="sgd", lr=0.1)
    train(network, plan, lambda batch: -network["a"] - network["b"], examples=1, groups=groups)
    assert network["a"].item() == pytest.approx(0.1) and network["b"].item() == pytest.approx(0.2)


@pytest.mark.parametrize(("examples", "batch"), [(10, 3), (9, 3), (1, 4), (5, 2), (4, 8), (3, 1)])
def test_an_epoch_shows_every_example_once(examples: int, batch: int) -> None:
    sample = shuffled_batches(examples, batch)
    batches = list(sample(0, torch.Generator().manual_seed(0)))
    assert sorted(torch.cat(batches).tolist()) == list(range(examples))
    assert all(len(b) > 1 for b in batches) or 1 in (examples, batch)
    assert all(len(b) <= batch + 1 for b in batches)


def test_bags_come_from_a_sampler() -> None:
    seen = []

    def sampler(epoch: int, generator: torch.Generator) -> list[Tensor]:
        return [torch.randint(0, 9, (4, 5), generator=generator) for _ in range(epoch + 1)]

    network = nn.Linear(1, 1)

    def loss(bags: Tensor) -> Tensor:
        seen.append(bags)
        return network.weight.sum()

    log = train(network, TrainingPlan(epochs=2), loss, sampler=sampler, seed=4)
    assert log.steps == 3 and [b.shape for b in seen] == [(4, 5)] * 3
    first = list(seen)
    seen.clear()
    train(network, TrainingPlan(epochs=2), loss, sampler=sampler, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first, seen, strict=True))


def test_bfloat16_trains_too() -> None:
    images, labels = striped_images(128, 0)
    network = small_network()
    plan = TrainingPlan(epochs=4, batch=32, lr=0.01, precision="bf16")
    log = train_classifier(network, plan, images, labels)
    assert log.precision == "bf16" and log.losses[-1] < log.losses[0]
    assert all(p.dtype == torch.float32 for p in network.parameters())


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"epochs": 0}, "epochs"), ({"lr": -1.0}, "lr"), ({"batch": 0}, "batch"),
        ({"optimiser": "lion"}, "adam, adamw, sgd"), ({"schedule": "step"}, "constant"),
        ({"patience": 0}, "patience"), ({"precision": "fp8"}, "fp32"),
        ({"average": 1.0}, "average"),
    ],
)  # fmt: skip
def test_bad_plans_are_refused(how: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TrainingPlan(**{"epochs": 1} | how)  # type: ignore[arg-type]


def test_bad_calls_are_refused() -> None:
    network = nn.Linear(1, 1)

    def loss(batch: Tensor) -> Tensor:
        return network.weight.sum()

    with pytest.raises(ValueError, match="either"):
        train(network, TrainingPlan(epochs=1), loss)
    with pytest.raises(ValueError, match="no training examples"):
        train(network, TrainingPlan(epochs=1), loss, examples=0)
    with pytest.raises(ValueError, match="no batch"):
        train(network, TrainingPlan(epochs=1), loss, sampler=lambda epoch, generator: [])
    with pytest.raises(ValueError, match="patience"):
        train(network, TrainingPlan(epochs=1, patience=1), loss, examples=1)
    with pytest.raises(ValueError, match="integer labels"):
        train_classifier(network, TrainingPlan(epochs=1), np.ones((3, 1)), np.ones(3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="validation"):
        train_classifier(
            network,
            TrainingPlan(epochs=1),
            np.ones((3, 1)),
            np.zeros(3, int),
            validation=(np.ones((2, 1)), np.zeros(3, int)),
        )


def test_predictions_do_not_depend_on_the_batch() -> None:
    images, labels = striped_images(70, 0)
    network = small_network()
    train_classifier(network, TrainingPlan(epochs=1), images, labels)
    network.train()
    done = []
    together = predict(network, images, batch=70)
    for batch in (1, 7, 64):
        found = predict(
            network, images, batch=batch, progress=lambda what, n, total: done.append((n, total))
        )
        np.testing.assert_allclose(found, together, atol=1e-5)
    assert network.training and done[-1] == (70, 70)
    order = np.random.default_rng(0).permutation(70)
    np.testing.assert_allclose(predict(network, images[order], batch=9), together[order], atol=1e-5)
    features = predict(network, images, forward=lambda x: network[:-1](x))  # type: ignore[index]
    assert features.shape == (70, 8)


def test_predict_refuses_nothing_and_no_batch() -> None:
    with pytest.raises(ValueError, match="no rows"):
        predict(small_network(), np.zeros((0, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="batch"):
        predict(small_network(), np.zeros((1, 8, 8, 3), np.uint8), batch=0)


def test_rows_reach_the_network_channels_last(tmp_path: Path) -> None:
    images, _ = striped_images(6, 0)
    file = tmp_path / "pixels.npy"
    np.save(file, images)
    mapped = np.load(file, mmap_mode="r")
    batch = ArrayOnDevice(mapped)[torch.tensor([5, 0])]
    assert batch.shape == (2, 3, 8, 8) and batch.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(batch.permute(0, 2, 3, 1).numpy(), images[[5, 0]])
    np.testing.assert_allclose(unit_range(batch).numpy(), batch.numpy() / 255.0, rtol=1e-6)
    np.testing.assert_allclose(signed_range(batch).numpy(), batch.numpy() / 127.5 - 1, atol=1e-6)
    floats = torch.rand(3)
    assert torch.equal(unit_range(floats), floats) and torch.equal(signed_range(floats), floats)


def test_penalty_and_augmentation_are_applied() -> None:
    images, labels = striped_images(64, 0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    shapes = []

    def augment(batch: Tensor) -> Tensor:
        shapes.append((batch.dtype, tuple(batch.shape)))
        return batch.flip(-1)

    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    plan = TrainingPlan(epochs=20, batch=64, lr=0.01)
    train_classifier(
        network,
        plan,
        images,
        labels,
        augment=augment,
        penalty=lambda: network[1].weight.abs().sum(),
    )
    train_classifier(plain, plan, images, labels)
    assert shapes[0] == (torch.uint8, (64, 3, 8, 8))
    norms = [float(net[1].weight.detach().abs().sum()) for net in (network, plain)]
    assert norms[0] < norms[1] / 3


def test_watching_errors_stops_by_accuracy() -> None:
    images, labels = striped_images(64, 0)
    network = small_network()
    log = train_classifier(
        network, TrainingPlan(epochs=2), images, labels, validation=(images, labels), watch="error"
    )
    logits = torch.from_numpy(predict(network, images))
    error = float((logits.argmax(1).numpy() != labels).mean())
    assert min(log.validations) == pytest.approx(error)
    assert F.cross_entropy(logits, torch.from_numpy(labels)) >= 0
