"""ProGAN's and StyleGAN2's layers."""

import math

import pytest
import torch
from torch.nn import functional

from fpbench.zoo.nets.blocks import Blur, PixelNorm
from fpbench.zoo.nets.style import (
    BatchSpread,
    EqualisedConvolution,
    EqualisedLinear,
    ModulatedConvolution,
    growth,
    leaky,
    stage_widths,
)
from fpbench.zoo.table import model


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_agrees_with_one_convolution_per_image(demodulate):
    layer = ModulatedConvolution(5, 7, 6, demodulate=demodulate)
    x, w = torch.randn(4, 5, 8, 8), torch.randn(4, 6)
    made = layer(x, w)
    for index in range(4):
        # StyleGAN2's equations 1 and 3, weight by weight.
        style = layer.style(w)[index]
        weight = layer.weight * layer.scale * style.view(1, -1, 1, 1)
        if demodulate:
            weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = functional.conv2d(x[index : index + 1], weight, padding=1)
        torch.testing.assert_close(made[index : index + 1], expected, rtol=1e-4, atol=1e-5)


def test_equalised_layers_keep_the_variance():
    vectors = EqualisedLinear(256, 512)(torch.randn(2000, 256))
    assert vectors.std().item() == pytest.approx(1.0, abs=0.05)
    maps = EqualisedConvolution(64, 64)(torch.randn(4, 64, 32, 32))[..., 1:-1, 1:-1]
    assert maps.std().item() == pytest.approx(1.0, abs=0.05)


def test_an_equalised_bias_starts_where_it_is_set():
    layer = EqualisedLinear(3, 2, bias=1.0, rate=0.01)
    torch.testing.assert_close(layer(torch.zeros(1, 3)), torch.ones(1, 2))


def test_leaky_is_scaled():
    scaled = leaky(torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(scaled, math.sqrt(2) * torch.tensor([-0.2, 1.0]))


def test_pixel_norm_gives_unit_mean_square():
    normed = PixelNorm()(torch.randn(2, 9, 3, 3) * 40)
    torch.testing.assert_close(normed.square().mean(1), torch.ones(2, 3, 3))


def test_blur_keeps_constants_and_filters_binomially():
    blur = Blur()
    torch.testing.assert_close(blur(torch.full((1, 2, 5, 5), 3.0)), torch.full((1, 2, 5, 5), 3.0))
    spot = torch.zeros(1, 1, 5, 5)
    spot[0, 0, 2, 2] = 16.0
    expected = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    torch.testing.assert_close(blur(spot)[0, 0, 1:4, 1:4], expected)


def test_batch_spread_measures_the_spread_of_its_group():
    x = torch.zeros(4, 2, 3, 3)
    x[0], x[1], x[2], x[3] = 1.0, -1.0, 1.0, -1.0
    out = BatchSpread(group=4)(x)
    assert out.shape == (4, 3, 3, 3)
    torch.testing.assert_close(out[:, 2], torch.ones(4, 3, 3))
    assert BatchSpread(group=4)(x[:3])[:, 2].max() < 1e-3


def test_growth_adds_one_resolution_after_the_other():
    # Three doublings over the first half of the training.
    places = [0.0, 0.16, 0.17, 0.25, 0.3, 0.34, 0.42, 0.5, 1.0]
    stages, fades = zip(*(growth(place, 3, 0.5) for place in places), strict=True)
    assert stages == (1, 1, 2, 2, 2, 3, 3, 3, 3)
    assert fades == pytest.approx((1, 1, 0.04, 1, 1, 0.08, 1, 1, 1))
    assert growth(0.0, 3, 0.0) == (3, 1.0)


def test_networks_never_shrink_again():
    net = model("progan-small").build(32)
    net.fraction = 0.4
    net.turns(0)
    assert int(net.generator.stage) == 3
    net.fraction = 0.1
    net.turns(1)
    assert int(net.generator.stage) == 3 == int(net.discriminator.stage)


def test_fading_in_starts_at_the_smaller_image_and_ends_at_the_larger():
    generator = model("progan-small").build(32).generator
    z = torch.randn(2, generator.latent)

    def image(stage, fade):
        generator.stage.fill_(stage)
        generator.fade.fill_(fade)
        with torch.no_grad():
            return generator(z)

    small, start, middle, full = image(2, 1.0), image(3, 0.0), image(3, 0.5), image(3, 1.0)
    torch.testing.assert_close(start, small)
    torch.testing.assert_close(middle, (small + full) / 2)
    assert torch.equal(small[..., ::2], small[..., 1::2])


def test_a_critic_sees_a_faded_in_resolution_gradually():
    critic = model("progan-small").build(32).discriminator
    x = torch.randn(4, 3, 32, 32)

    def score(stage, fade):
        critic.stage.fill_(stage)
        critic.fade.fill_(fade)
        with torch.no_grad():
            return critic(x)

    torch.testing.assert_close(score(3, 0.0), score(2, 1.0), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(score(3, 1.0), score(2, 1.0))


def test_widths_double_downwards_up_to_a_factor_of_four():
    assert stage_widths(3, 10) == [40, 20, 10, 10]
    assert stage_widths(4, 10) == [40, 40, 20, 10, 10]


def test_noise_reaches_the_image_once_its_strength_is_learnt():
    generator = model("stylegan2-small").build(16).generator
    z = torch.randn(2, generator.latent)
    with torch.no_grad():
        assert torch.equal(generator(z), generator(z))
        generator.first.strength.fill_(1.0)
        assert not torch.equal(generator(z), generator(z))
