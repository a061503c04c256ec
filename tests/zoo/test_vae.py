"""Terms of the variational autoencoders, and the mean discrepancy."""

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from fpbench.zoo.nets.hierarchical import normal_kl
from fpbench.zoo.objectives.discrepancy import rational_quadratic, squared_mmd
from fpbench.zoo.objectives.vae import gaussian_kl, permute_dimensions
from fpbench.zoo.table import model


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_divergence_from_the_standard_normal():
    mean, logvar = torch.randn(3, 5), torch.randn(3, 5)
    expected = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, logvar), expected)


def test_divergence_between_normals():
    mean, log_std, mean0, log_std0 = torch.randn(4, 3, 5)
    expected = kl_divergence(Normal(mean, log_std.exp()), Normal(mean0, log_std0.exp()))
    torch.testing.assert_close(normal_kl(mean, log_std, mean0, log_std0), expected)


def test_the_bound_of_a_known_posterior():
    net = model("beta-vae-small").build(16)
    for parameter in net.parameters():
        parameter.data.zero_()
    # Everything decodes to 0, and the posterior is the prior: what is left is |x|²/2σ² per pixel.
    images = torch.full((2, 3, 16, 16), 0.5)
    expected = 0.25 / (2 * net.sigma**2)
    assert net.loss("model", images).item() == pytest.approx(expected, rel=1e-5)
    net.encoder.end.bias.data[: net.encoder.end.out_features // 2] = 1.0
    latent = net.decoder.latent
    more = expected + net.beta * 0.5 * latent / images[0].numel()
    assert net.loss("model", images).item() == pytest.approx(more, rel=1e-5)


def test_permuting_keeps_the_margins_and_breaks_the_dependence():
    z = torch.randn(4000, 1) @ torch.ones(1, 3) + 0.1 * torch.randn(4000, 3)
    permuted = permute_dimensions(z)
    torch.testing.assert_close(permuted.sort(0).values, z.sort(0).values)
    assert np.corrcoef(z.numpy().T)[0, 1] > 0.9
    assert abs(np.corrcoef(permuted.numpy().T)[0, 1]) < 0.1


def test_the_classifier_learns_apart_from_the_autoencoder():
    net = model("factor-vae-small").build(16)
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    net.loss("discriminator", images).backward()
    assert all(p.grad is None for p in net.parameters_of("model"))
    assert all(p.grad is not None for p in net.parameters_of("discriminator"))
    players = [{id(p) for p in net.parameters_of(player)} for player in net.players]
    assert not players[0] & players[1]
    assert len(players[0] | players[1]) == len(list(net.parameters()))


def test_total_correlation_is_weighed_in():
    net = model("factor-vae-small").build(16)
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    last = net.discriminator[-1]
    last.weight.data.zero_()
    last.bias.data.copy_(torch.tensor([2.0, 0.5]))

    def loss():
        torch.manual_seed(0)
        return net.loss("model", images).item()

    with_correlation = loss()
    net.gamma = 0.0
    expected = 10.0 * 1.5 / images[0].numel()
    assert with_correlation - loss() == pytest.approx(expected, rel=1e-3)


def test_random_features_are_the_same_in_every_training():
    torch.manual_seed(1)
    one = model("dfc-vae-small").build(16)
    torch.manual_seed(2)
    other = model("dfc-vae-small").build(16)
    images = torch.rand(2, 3, 16, 16)
    for a, b in zip(one.features(images), other.features(images), strict=True):
        assert torch.equal(a, b)
    assert "feature0" not in dict(one.named_parameters())
    same = one.distortion(images, images)
    assert torch.equal(same, torch.zeros(2))
    assert (one.distortion(images, images + 0.1) > 0).all()


def test_discrepancy_agrees_with_the_direct_formula():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)), rng.normal(1.0, 2.0, size=(5, 3))
    scales = (0.5, 2.0)

    def kernel(a, b):
        return sum((1 + np.sum((a - b) ** 2) / (2 * s)) ** -s for s in scales)

    within_x = np.mean([kernel(x[i], x[j]) for i in range(6) for j in range(6) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    found = squared_mmd(torch.tensor(x), torch.tensor(y), scales)
    assert found.item() == pytest.approx(within_x + within_y - 2 * across, rel=1e-10)


def test_discrepancy_is_unbiased_where_there_is_none():
    draws = [squared_mmd(torch.randn(40, 2), torch.randn(40, 2), (1.0,)).item() for _ in range(400)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / 20
    assert squared_mmd(torch.randn(40, 2), torch.randn(40, 2) + 2, (1.0,)) > 0.2


def test_the_kernel_is_its_number_of_scales_at_zero_distance():
    x = torch.randn(3, 4)
    torch.testing.assert_close(
        rational_quadratic(x, x, (0.2, 1.0, 5.0)).diag(), torch.full((3,), 3.0)
    )


def test_a_ladder_whose_posterior_is_its_prior_has_no_divergence():
    net = model("hvae-small").build(16)
    for rungs in net.ladder.rungs:
        for rung in rungs:
            for branch in (rung.prior, rung.posterior):
                branch[1].weight.data.zero_()
                branch[1].bias.data.zero_()
    decoded, divergence = net.ladder.reconstruct(torch.rand(2, 3, 16, 16))
    assert decoded.shape == (2, 3, 16, 16)
    torch.testing.assert_close(divergence, torch.zeros(2))


def test_a_ladders_loss_is_a_normal_likelihood():
    net = model("hvae-small").build(16)
    net.fraction = 1.0
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    torch.manual_seed(3)
    loss = net.loss("model", images).item()
    torch.manual_seed(3)
    decoded, divergence = net.ladder.reconstruct(images)
    likelihood = Normal(decoded, net.log_sigma.exp()).log_prob(images).flatten(1).sum(1)
    constant = 0.5 * np.log(2 * np.pi)
    expected = (divergence - likelihood).mean().item() / images[0].numel() - constant
    assert loss == pytest.approx(expected, rel=1e-4)
