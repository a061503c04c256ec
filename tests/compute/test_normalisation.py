"""Statistics of batch normalisation: computed anew, so that short epochs can be judged."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from fpbench.compute.classification import train_classifier
from fpbench.compute.inference import predict
from fpbench.compute.normalisation import batch_norms, renew_statistics
from fpbench.compute.training import TrainingPlan, train
from fpbench.compute.training_log import trainings_noted


def planted(count, seed=0):
    """Two classes of vectors of 6, a unit apart in the first value, on another scale than 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = rng.normal(size=(count, 6)).astype(np.float32)
    rows[:, 0] += 4.0 * labels
    return 10 * rows + 50, labels.astype(np.int64)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.BatchNorm1d(6), nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2)
    )


def test_statistics_are_the_plain_mean_over_batches_and_nothing_else_moves():
    rows, _ = planted(40)
    data = torch.from_numpy(rows)
    net = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2)).train()
    before = {name: value.clone() for name, value in net.named_parameters()}
    batches = [torch.arange(0, 20), torch.arange(20, 40)]
    assert renew_statistics(net, lambda batch: net(data[batch]), batches, most=1000) == 40
    means = np.stack([rows[:20].mean(0), rows[20:].mean(0)]).mean(0)
    variances = np.stack([rows[:20].var(0, ddof=1), rows[20:].var(0, ddof=1)]).mean(0)
    np.testing.assert_allclose(net[0].running_mean, means, rtol=1e-4)
    np.testing.assert_allclose(net[0].running_var, variances, rtol=1e-4)
    assert net[0].momentum == 0.1
    assert net.training and net[0].training and net[1].training
    assert all(torch.equal(before[name], value) for name, value in net.named_parameters())


def test_the_batch_that_reaches_the_number_is_the_last():
    net = network()
    seen = []
    batches = [torch.arange(4)] * 5
    data = torch.zeros(4, 6)

    def forward(batch):
        seen.append(len(batch))
        return net(data[batch])

    assert renew_statistics(net, forward, batches, most=7) == 8
    assert seen == [4, 4]


def test_layers_that_are_frozen_or_keep_no_statistics_are_left_alone():
    frozen = nn.BatchNorm1d(3).requires_grad_(False)
    alone = nn.BatchNorm1d(3, track_running_stats=False)
    net = nn.Sequential(frozen, alone, nn.Linear(3, 2))
    assert batch_norms(net) == []
    assert renew_statistics(net, lambda batch: pytest.fail("shown"), [torch.arange(2)], 10) == 0


def test_a_network_with_few_steps_an_epoch_is_judged_by_what_it_has_learned():
    """One step an epoch: running means of momentum 0.1 still stand near 0, the data near 50."""
    train_rows, labels = planted(32)
    held_out = planted(64, seed=1)
    plan = TrainingPlan(epochs=5, batch=32, lr=0.1)
    found = {}
    for statistics in (None, 32):
        net = network()
        log = train_classifier(
            net,
            TrainingPlan(**{**vars(plan), "statistics": statistics}),
            train_rows,
            labels,
            validation=held_out,
        )
        correct = (predict(net, held_out[0]).argmax(1) == held_out[1]).mean()
        found[statistics] = log, correct
    running, renewed = found[None], found[32]
    # The steps are the same: statistics do not enter them.
    assert running[0].losses == renewed[0].losses
    assert running[0].statistics is None and renewed[0].statistics == 32
    assert running[0].did_not_train
    assert not renewed[0].did_not_train
    assert renewed[1] > 0.9 > running[1]


def test_without_validation_statistics_are_renewed_at_the_end():
    rows, labels = planted(32)
    net = network()
    log = train_classifier(net, TrainingPlan(epochs=2, batch=16, lr=1e-3), rows, labels)
    assert log.statistics == 32
    np.testing.assert_allclose(net[0].running_mean, rows.mean(0), rtol=1e-3)


def test_averaged_weights_are_judged_with_statistics_of_their_own():
    rows, labels = planted(32)
    data = torch.from_numpy(rows)
    net = network()
    plan = TrainingPlan(epochs=3, batch=32, lr=0.05, average=0.9)
    train_classifier(net, plan, rows, labels, validation=planted(16, seed=1))
    with torch.no_grad():
        hidden = net[1](net[0](data))
    np.testing.assert_allclose(net[2].running_mean, hidden.mean(0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("how", ["shuffled", "rate"])
def test_a_training_that_cannot_learn_is_noted_as_such(how):
    rows, labels = planted(64)
    held_out = planted(64, seed=1)
    rate = 0.02
    if how == "shuffled":
        labels = np.random.default_rng(0).permutation(labels)
    else:
        rate = 1e-12
    with trainings_noted() as logs:
        log = train_classifier(
            network(), TrainingPlan(epochs=8, batch=16, lr=rate), rows, labels, validation=held_out
        )
    assert logs == [log]
    assert log.guess == pytest.approx(math.log(2))
    assert log.did_not_train
    assert min(log.held_out) >= math.log(2)


def test_the_curve_has_losses_validations_and_rates_of_every_epoch():
    rows, labels = planted(64)
    plan = TrainingPlan(epochs=4, batch=16, lr=0.02, schedule="cosine")
    log = train_classifier(
        network(), plan, rows, labels, validation=planted(64, seed=1), watch="error"
    )
    assert not log.did_not_train
    assert len(log.losses) == len(log.held_out) == len(log.rates) == 4
    expected = [0.02 * 0.5 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)]
    np.testing.assert_allclose(log.rates, expected, rtol=1e-6)
    # What is watched is a share of errors; the curve's loss is a cross-entropy.
    assert set(np.round(np.array(log.validations) * 64, 6) % 1) == {0.0}
    assert log.held_out != log.validations
    assert log.shown == 4 * 64


def test_a_training_without_classes_has_no_loss_of_guessing():
    net = nn.Linear(1, 1)
    log = train(
        net, TrainingPlan(epochs=1), lambda batch: net(torch.ones(1, 1)).sum(), examples=2,
        validate=lambda: 5.0,
    )  # fmt: skip
    assert log.guess is None and not log.did_not_train
