"""Flows: invertible, with the log-determinant that autograd finds."""

import math

import pytest
import torch

from fpbench.zoo.nets.bijections import (
    ActNorm,
    AffineCoupling,
    CheckerboardCoupling,
    FlipChannels,
    InvertibleConvolution,
    squeeze,
    unsqueeze,
)
from fpbench.zoo.nets.flow import MultiscaleFlow
from fpbench.zoo.objectives.flow import BIN
from fpbench.zoo.table import model

FLOWS = ["glow-small", "coupling-flow-small"]


def disturbed(module, scale=0.1):
    """The module with all its zero starts moved away from zero."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator)
    return module


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


BIJECTIONS = {
    "actnorm": lambda: ActNorm(4),
    "convolution": lambda: InvertibleConvolution(4),
    "coupling": lambda: AffineCoupling(4, 6, nonlinearity="silu", residual=1),
    "glow coupling": lambda: AffineCoupling(4, 6, nonlinearity="elu"),
    "even board": lambda: CheckerboardCoupling(4, 6, 0, nonlinearity="silu"),
    "odd board": lambda: CheckerboardCoupling(4, 6, 1, nonlinearity="silu", residual=1),
    "flip": FlipChannels,
}


@pytest.mark.parametrize("kind", BIJECTIONS)
def test_log_determinants_agree_with_autograds_jacobian(kind):
    bijection = disturbed(BIJECTIONS[kind]()).double()
    x = torch.randn(2, 4, 4, 4, dtype=torch.float64)
    y, logdet = bijection(x)
    for index in range(2):

        def flat(vector):
            return bijection(vector.view(1, 4, 4, 4))[0].flatten()

        jacobian = torch.autograd.functional.jacobian(flat, x[index].flatten())
        _, expected = torch.linalg.slogdet(jacobian)
        # The nets inside return float32, whatever they are given.
        assert logdet[index].item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    torch.testing.assert_close(bijection.inverse(y), x, rtol=1e-5, atol=1e-5)


def test_the_checkerboard_keeps_one_colour_and_never_reads_the_other():
    coupling = disturbed(CheckerboardCoupling(2, 4, 0, nonlinearity="relu"))
    x = torch.randn(1, 2, 4, 4)
    kept = (torch.arange(4)[:, None] + torch.arange(4)) % 2 == 1
    y, logdet = coupling(x)
    assert torch.equal(y[..., kept], x[..., kept])
    moved = x.clone()
    moved[..., ~kept] += 1
    assert torch.equal(coupling(moved)[1], logdet)


@pytest.mark.parametrize("name", FLOWS)
def test_whole_flows_invert(name):
    net = disturbed(model(name).build(32), 0.02).eval()
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    net.initialise(x)
    with torch.no_grad():
        latents, _ = net.flow.encode(x)
        back = net.flow.decode(latents)
    assert sum(z[0].numel() for z in latents) == x[0].numel()
    # A hundredth of one 8-bit level.
    assert (back - x).abs().max() < BIN / 100


@pytest.mark.parametrize("head", [False, True])
def test_densities_agree_with_autograds_jacobian_and_a_normal_density(head):
    levels = [
        [ActNorm(12), InvertibleConvolution(12), AffineCoupling(12, 4, nonlinearity="silu")],
        [ActNorm(24), AffineCoupling(24, 4, nonlinearity="silu"), FlipChannels()],
    ]
    start = [CheckerboardCoupling(3, 4, 0, nonlinearity="silu")] if head else None
    flow = disturbed(MultiscaleFlow(4, levels, start)).double()
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64)

    def latent(vector):
        return torch.cat([z.flatten() for z in flow.encode(vector.view(1, 3, 4, 4))[0]])

    jacobian = torch.autograd.functional.jacobian(latent, x.flatten())
    normal = torch.distributions.Normal(0.0, 1.0)
    expected = normal.log_prob(latent(x.flatten())).sum() + torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(flow.log_prob(x)[0], expected, rtol=1e-5, atol=1e-4)


def test_activation_normalisation_standardises_the_first_batch():
    layer = ActNorm(3)
    x = torch.randn(8, 3, 5, 5) * torch.tensor([1.0, 5.0, 0.1]).view(3, 1, 1) + 7
    y = layer.initialise(x)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(y.std((0, 2, 3)), torch.ones(3), atol=2e-2, rtol=0)


def test_the_convolution_starts_as_a_rotation():
    matrix = InvertibleConvolution(12).matrix()
    torch.testing.assert_close(matrix @ matrix.t(), torch.eye(12), atol=1e-5, rtol=0)


def test_squeezing_keeps_every_number():
    x = torch.randn(2, 3, 8, 8)
    assert squeeze(x).shape == (2, 12, 4, 4)
    assert torch.equal(unsqueeze(squeeze(x)), x)


def test_an_identity_flow_has_the_bits_of_a_standard_normal_density():
    net = model("coupling-flow-small").build(32)
    images = torch.zeros(64, 3, 32, 32)
    # Before any step the flow only moves pixels about: x is scored by a standard normal density
    # at nearly 0, times the volume of one 8-bit level.
    expected = (0.5 * math.log(2 * math.pi) - math.log(BIN)) / math.log(2)
    assert net.loss("model", images).item() == pytest.approx(expected, abs=1e-4)


def test_temperature_zero_draws_one_image():
    net = model("glow-small").build(16)
    net.temperature = 0.0
    with torch.no_grad():
        drawn = net.draw(3)
    assert torch.equal(drawn[0], drawn[1])
