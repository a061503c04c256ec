"""Noise schedules and samplers against closed forms and an oracle."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from fpbench.zoo.objectives.score import (
    Diffusion,
    LatentDiffusion,
    NoiseConditionalScore,
    cosine_alphas,
    linear_alphas,
)
from fpbench.zoo.table import model

MEAN, STD = 0.1, 0.25


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_the_linear_schedule_is_ddpms():
    betas = np.linspace(1e-4, 0.02, 1000)
    expected = np.exp(np.cumsum(np.log1p(-betas)))
    np.testing.assert_allclose(linear_alphas().numpy(), expected, rtol=1e-10)
    assert expected[-1] == pytest.approx(4.04e-5, rel=1e-2)


def test_the_cosine_schedule_is_its_curve_until_betas_are_capped():
    def curve(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    alphas = cosine_alphas().numpy()
    expected = [curve(t + 1) / curve(0) for t in range(999)]
    np.testing.assert_allclose(alphas[:999], expected, rtol=1e-9)
    assert alphas[999] == pytest.approx(alphas[998] * 0.001, rel=1e-9)


class GaussianOracle(nn.Module):
    """The best denoiser of pixels that are independently N(MEAN, STD²), as a velocity."""

    def __init__(self, alphas):
        super().__init__()
        self.alphas = alphas

    def forward(self, x, times):
        alpha = self.alphas[times].view(-1, 1, 1, 1)
        total = alpha * STD**2 + 1 - alpha
        clean = MEAN + alpha.sqrt() * STD**2 / total * (x - alpha.sqrt() * MEAN)
        noise = (x - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * clean


def oracle(**options):
    net = Diffusion({"denoiser": nn.Identity()}, size=8, **options)
    net.denoiser = GaussianOracle(net.alphas)
    return net


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_the_best_denoiser_the_sampler_draws_the_data(schedule, eta):
    net = oracle(schedule=schedule, sampling_steps=200, eta=eta)
    drawn = net.draw(200)
    # 200 · 192 pixels: the standard error of the mean is 0.0013, that of the deviation 0.0009.
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.01)
    # Finitely many steps draw a little too narrow.
    assert drawn.std().item() == pytest.approx(STD, rel=0.04)


@pytest.mark.parametrize("predicts", ["noise", "velocity"])
def test_the_oracles_loss_is_what_cannot_be_known(predicts):
    net = oracle(predicts=predicts)
    images = MEAN + STD * torch.randn(4000, 3, 8, 8)
    alpha = net.alphas.double()
    total = alpha * STD**2 + 1 - alpha
    # Variance of the noise given the noised pixel; the velocity's is that over ᾱ.
    unknown = alpha * STD**2 / total
    expected = (unknown if predicts == "noise" else unknown / alpha).mean().item()
    assert net.loss("model", images).item() == pytest.approx(expected, rel=0.05)


def test_ancestral_steps_have_ddpms_posterior_variance():
    net = oracle(eta=1.0)
    now, following = 500, 499
    alpha, earlier = net.alphas[now].item(), net.alphas[following].item()
    clean, noise = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    drawn = torch.cat([net.step(clean, noise, now, following) for _ in range(400)])
    # Equation 7 of DDPM.
    variance = (1 - earlier) / (1 - alpha) * (1 - alpha / earlier)
    assert drawn.var().item() == pytest.approx(variance, rel=0.03)


def test_deterministic_steps_keep_image_and_noise():
    net = oracle()
    clean, noise = torch.randn(2, 1, 3, 8, 8)
    x = net.step(clean, noise, 900, 100)
    alpha = net.alphas[100]
    torch.testing.assert_close(x, alpha.sqrt() * clean + (1 - alpha).sqrt() * noise)


def test_sampling_times_fall_from_the_last_to_zero():
    for count in (25, 200):
        times = oracle(sampling_steps=count).times()
        assert times[0] == 999 and times[-1] == 0 and 0.9 * count < len(times) <= count
        assert times == sorted(set(times), reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_and_steps_agree_with_diffusers(schedule):
    from diffusers import DDIMScheduler

    names = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
    theirs = DDIMScheduler(
        beta_schedule=names[schedule],
        prediction_type="v_prediction",
        clip_sample=True,
        set_alpha_to_one=False,
        timestep_spacing="linspace",
    )
    net = oracle(schedule=schedule, sampling_steps=26)
    torch.testing.assert_close(net.alphas, theirs.alphas_cumprod, rtol=1e-3, atol=1e-6)
    x = torch.randn(2, 3, 8, 8)
    now, following = 700, 660
    theirs.set_timesteps(25)
    theirs.num_inference_steps = 25  # A step of 40 times, as from 700 to 660.
    velocity = net.denoiser(x, torch.full((2,), now))
    expected = theirs.step(velocity, now, x).prev_sample
    clean, noise = net.denoise(x, now)
    torch.testing.assert_close(
        net.step(clean, noise, now, following), expected, rtol=1e-4, atol=1e-4
    )


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="no schedule 'square'"):
        Diffusion({}, size=8, schedule="square")


class ScoreOracle(nn.Module):
    """The output with which `NoiseConditionalScore.estimate` is the best estimate."""

    def __init__(self, net):
        super().__init__()
        self.levels = net.levels

    def forward(self, scaled, times):
        sigma = self.levels(times / 1000).view(-1, 1, 1, 1)
        total = 1 + sigma**2
        noised = scaled * total.sqrt()
        best = MEAN + STD**2 / (STD**2 + sigma**2) * (noised - MEAN)
        return (best - noised / total) * total.sqrt() / sigma


def score_oracle(**options):
    net = NoiseConditionalScore({"denoiser": nn.Identity()}, size=8, **options)
    oracle = ScoreOracle(net)
    net.denoiser = oracle
    net.anchor = nn.Parameter(torch.zeros(1))
    return net


def test_noise_levels_are_geometric():
    net = score_oracle(smallest=0.01, largest=20.0)
    levels = net.levels(torch.linspace(0, 1, 11))
    expected = np.geomspace(0.01, 20.0, 11)
    np.testing.assert_allclose(levels.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("snr", [0.0, 0.2])
def test_with_the_best_estimate_the_sampler_draws_the_data_from_noise(snr):
    drawn = score_oracle(sampling_steps=100, snr=snr).draw(200)
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.02)
    assert drawn.std().item() == pytest.approx(STD, rel=0.06)


def test_langevin_steps_keep_the_noised_data_as_they_are():
    net = score_oracle(snr=0.2)
    place = torch.full((4000,), 0.5)
    sigma = net.levels(place[:1]).item()
    x = MEAN + math.hypot(STD, sigma) * torch.randn(4000, 3, 8, 8)
    for _ in range(20):
        x = net.correct(x, place, torch.tensor(sigma))
    assert x.std().item() == pytest.approx(math.hypot(STD, sigma), rel=0.02)


def test_the_score_loss_has_unit_target_for_unit_data():
    # A silent network on unit-variance data errs by the variance that is left: 1 / (1 + σ²) · σ².
    net = score_oracle()
    net.denoiser = _Silent()
    loss = net.loss("model", torch.randn(4000, 3, 8, 8))
    assert loss.item() == pytest.approx(1.0, rel=0.02)


class _Silent(nn.Module):
    def forward(self, x, times):
        return torch.zeros_like(x)


def test_latent_diffusion_trains_its_stages_in_turn_and_never_goes_back():
    net = model("ldm-small").build(16)
    assert isinstance(net, LatentDiffusion)
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    net.fraction = 0.39
    assert tuple(net.turns(0)) == ("autoencoder",)
    net.fraction = 0.4
    assert tuple(net.turns(1)) == ("denoiser",)
    net.loss("denoiser", images).backward()
    assert all(p.grad is None for p in net.parameters_of("autoencoder"))
    net.fraction = 0.1
    assert tuple(net.turns(2)) == ("denoiser",)


def test_latents_are_standardised_when_the_second_stage_starts():
    net = model("ldm-small").build(32)
    net.encoder.body[-1].weight.data *= 30
    images = torch.rand(64, 3, 32, 32) * 2 - 1
    net.loss("denoiser", images)
    mean, logvar = net.encode(images)
    z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
    scaled = (z - net.shift) / net.scale
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(4), rtol=0.05, atol=0)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(4), rtol=0, atol=0.05)


def test_networks_start_silent():
    for name in ("ddpm-small", "adm-small", "ncsn-small"):
        net = model(name).build(16)
        x, times = torch.randn(2, 3, 16, 16), torch.tensor([0, 500])
        with torch.no_grad():
            out = net.denoiser(x, times)
        assert out.shape == x.shape and out.abs().max() < 0.2
