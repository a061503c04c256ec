"""Adversarial losses against closed forms."""

import math

import pytest
import torch
from torch import nn

from fpbench.zoo.nets.blocks import LatentNetwork
from fpbench.zoo.nets.residual import ContrastiveCritic
from fpbench.zoo.objectives.features import InfoMaxGAN, info_nce
from fpbench.zoo.objectives.gan import (
    DRAGAN,
    EBGAN,
    GAN,
    LSGAN,
    WGAN,
    HingeGAN,
    SmoothGAN,
    gradient_penalty,
    interpolate,
)
from fpbench.zoo.table import model

LOGIT = math.log(1 + math.e)


class Linear(nn.Module):
    """Score (w, x), the critic whose gradient is w everywhere."""

    def __init__(self, norm):
        super().__init__()
        weight = torch.randn(3 * 4 * 4, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight * norm / weight.norm())

    def forward(self, x):
        return (x.flatten(1) @ self.weight)[:, None]


class Constant(LatentNetwork):
    """The generator of grey images."""

    latent = 2

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))

    def forward(self, z):
        return self.value.expand(len(z), 3, 4, 4)


def parts(norm=1.0):
    return {"generator": Constant(), "discriminator": Linear(norm)}


@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
def test_gradient_penalties_of_a_linear_critic(norm):
    points = torch.randn(5, 3, 4, 4)
    critic = Linear(norm)
    both = gradient_penalty(lambda x: critic(x).squeeze(1), points)
    above = gradient_penalty(lambda x: critic(x).squeeze(1), points, one_sided=True)
    assert both.item() == pytest.approx((norm - 1) ** 2, abs=1e-5)
    assert above.item() == pytest.approx(max(0.0, norm - 1) ** 2, abs=1e-5)


def test_the_penalty_of_a_quadratic_critic_and_its_gradient():
    # The critic a|x|²/2 has gradient a x, so the penalty is the mean of (a|x| - 1)².
    a = torch.tensor(0.7, requires_grad=True)
    points = torch.randn(6, 3, 4, 4)
    penalty = gradient_penalty(lambda x: a * x.square().flatten(1).sum(1) / 2, points)
    norms = points.flatten(1).norm(dim=1)
    assert penalty.item() == pytest.approx((0.7 * norms - 1).square().mean().item(), rel=1e-5)
    penalty.backward()
    slope = (2 * (0.7 * norms - 1) * norms).mean().item()
    assert a.grad.item() == pytest.approx(slope, rel=1e-5)


@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize("norm", [0.5, 2.0])
@pytest.mark.parametrize("kind", [WGAN, DRAGAN])
def test_regularised_losses_weigh_the_penalty(kind, norm, one_sided):
    gan = kind(parts(norm), size=4, weight=10.0, one_sided=one_sided)
    images = torch.randn(4, 3, 4, 4)
    expected = max(0.0, norm - 1) ** 2 if one_sided else (norm - 1) ** 2
    penalty = gan.regulariser(images, torch.zeros_like(images))
    assert penalty.item() == pytest.approx(10 * expected, abs=1e-4)


def test_interpolated_points_lie_on_their_segments():
    real, fake = torch.randn(6, 3, 4, 4), torch.randn(6, 3, 4, 4)
    shares = ((interpolate(real, fake) - fake) / (real - fake)).flatten(1)
    torch.testing.assert_close(shares, shares[:, :1].expand_as(shares), atol=1e-3, rtol=1e-3)
    assert ((shares > -1e-3) & (shares < 1 + 1e-3)).all()
    assert len(set(shares[:, 0].tolist())) == 6


@pytest.mark.parametrize(
    ("kind", "score", "fool"),
    [
        # Real images get score 1, made ones score -1.
        (GAN, 2 * (LOGIT - 1), LOGIT),
        (LSGAN, 0.5 * (0 + 1), 0.5 * 4),
        (HingeGAN, 0.0, 1.0),
        (WGAN, -2.0, 1.0),
        (EBGAN, 1.0 + 1.1, -1.0),
    ],
)
def test_losses_at_known_scores(kind, score, fool):
    gan = kind(parts(), size=4)
    ones = torch.ones(3)
    assert gan.score_loss(ones, -ones).item() == pytest.approx(score, abs=1e-6)
    assert gan.fool_loss(-ones).item() == pytest.approx(fool, abs=1e-6)


def test_minimax_losses_are_binary_cross_entropy():
    gan = GAN(parts(), size=4)
    real, fake = torch.randn(8), torch.randn(8)
    entropy = nn.functional.binary_cross_entropy_with_logits
    expected = entropy(real, torch.ones(8)) + entropy(fake, torch.zeros(8))
    torch.testing.assert_close(gan.score_loss(real, fake), expected)
    torch.testing.assert_close(gan.fool_loss(fake), entropy(fake, torch.ones(8)))


def test_r1_is_taken_every_interval_and_weighted_by_it():
    gan = SmoothGAN(parts(norm=2.0), size=4, weight=3.0, interval=4)
    images = torch.randn(4, 3, 4, 4)
    taken = []
    for step in range(8):
        assert tuple(gan.turns(step)) == ("discriminator", "generator")
        taken.append(torch.as_tensor(gan.regulariser(images, images)).item())
    expected = 4 * 3.0 / 2 * 2.0**2
    assert taken == pytest.approx([expected, 0, 0, 0] * 2, rel=1e-5)


def test_each_player_moves_only_its_own_network():
    for name in ("dcgan-small", "wgan-gp-small", "mmdgan-small", "infomaxgan-small"):
        net = model(name).build(16)
        for player in net.players:
            own = {id(p) for p in net.parameters_of(player)}
            assert own == {id(p) for p in net.get_submodule(player).parameters()}


@pytest.mark.parametrize("name", ["sngan-small", "infomaxgan-small"])
def test_spectral_normalisation_agrees_with_the_singular_values(name):
    torch.manual_seed(0)
    critic = model(name).build(16).discriminator
    layers = [m for m in critic.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert layers and all(nn.utils.parametrize.is_parametrized(m, "weight") for m in layers)
    for layer in layers:
        with torch.no_grad():
            for _ in range(200):
                weight = layer.weight
        matrix = weight.flatten(1)
        original = layer.parametrizations.weight.original.flatten(1)
        largest = torch.linalg.svdvals(matrix)[0].item()
        assert largest == pytest.approx(1.0, abs=2e-2)
        scale = torch.linalg.svdvals(original)[0].item()
        torch.testing.assert_close(matrix * scale * largest, original, rtol=1e-3, atol=1e-4)


def test_contrast_agrees_with_a_direct_sum():
    torch.manual_seed(0)
    local, whole = torch.randn(3, 5, 2, 2), torch.randn(3, 5)
    total = 0.0
    for image in range(3):
        for row in range(2):
            for column in range(2):
                place = local[image, :, row, column]
                cosines = torch.cosine_similarity(place[None], whole) * 10
                total -= (cosines[image] - cosines.logsumexp(0)).item()
    assert info_nce(local, whole).item() == pytest.approx(total / 12, rel=1e-5)


def test_contrast_is_chance_when_features_say_nothing_and_small_when_they_tell():
    same = torch.ones(4, 6, 2, 2)
    assert info_nce(same, torch.ones(4, 6)).item() == pytest.approx(math.log(4), rel=1e-5)
    names = torch.eye(4, 6)
    telling = names[:, :, None, None].expand(-1, -1, 2, 2)
    assert info_nce(telling, names).item() < 1e-3


def test_both_players_get_the_contrast():
    torch.manual_seed(0)
    critic = ContrastiveCritic(16, 8, projection=4)

    class Grey(Constant):
        def forward(self, z):
            return self.value.expand(len(z), 3, 16, 16)

    images = torch.randn(4, 3, 16, 16)
    for player in ("generator", "discriminator"):
        plain, weighted = (
            InfoMaxGAN({"generator": Grey(), "discriminator": critic}, size=16, weight=w).loss(
                player, images
            )
            for w in (0.0, 2.0)
        )
        shown = images if player == "discriminator" else torch.zeros_like(images)
        _, local, whole = critic.contrast(shown)
        expected = 2 * info_nce(local, whole).item()
        assert (weighted - plain).item() == pytest.approx(expected, rel=1e-4)
