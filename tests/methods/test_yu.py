"""Yu et al. (2019): the layer table, the ablations, the critic, and what is planted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch import Tensor, nn
from torch.nn import functional

from fpbench import registry
from fpbench.conformance.planted import PlantedSets, planted_sets
from fpbench.datasets.planting import Pattern
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import FitContext
from fpbench.metrics.null_control import chance_interval
from fpbench_methods.nn.adversarial import gradient_penalty, with_batch_deviation
from fpbench_methods.nn.attributor import count_parameters
from fpbench_methods.nn.equalised import EqualisedConv2d, EqualisedLinear
from fpbench_methods.yu import Yu, YuVisualisation
from fpbench_methods.yu.networks import AttributionNetwork, halve_blurred, resolutions
from fpbench_methods.yu.training import YuNetwork, flip_at_random
from fpbench_methods.yu.visualisation import (
    AdversarialVisualisation,
    Critic,
    Reconstruction,
    VisualisationNetwork,
)

TABLE_128 = [
    (128, 3, 16), (128, 16, 32),
    (64, 32, 32), (64, 32, 64),
    (32, 64, 64), (32, 64, 128),
    (16, 128, 128), (16, 128, 256),
    (8, 256, 256), (8, 256, 512),
    (4, 512, 512),
]  # fmt: skip
"""Side, channels in, channels out of every convolution of the paper's network at 128×128."""


def convolutions(network: nn.Module, size: tuple[int, int]) -> list[tuple[int, int, int]]:
    """Height of the output, channels in and out of every convolution, in the order of use."""
    found: list[tuple[int, int, int]] = []

    def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        assert inputs[0].shape[2:] == output.shape[2:]
        found.append((output.shape[2], inputs[0].shape[1], output.shape[1]))

    for module in network.modules():
        if isinstance(module, EqualisedConv2d):
            module.register_forward_hook(note)
    with torch.no_grad():
        network(torch.zeros(1, 3, *size))
    return found


def test_attribution_network_has_the_layers_of_the_paper() -> None:
    network = AttributionNetwork(5, (128, 128))
    assert convolutions(network, (128, 128)) == TABLE_128
    assert network.dense.weight.shape == (512, 512 * 4 * 4)
    assert network.head.weight.shape == (5, 512)
    assert network.head.scale == 1 / math.sqrt(512)
    assert network.dense.scale == math.sqrt(2) / math.sqrt(8192)
    weights = sum(9 * a * b + b for _, a, b in TABLE_128) + 8192 * 512 + 512 + 512 * 5 + 5
    assert count_parameters(network) == weights == 8_913_797
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert network.embed(torch.zeros(2, 3, 128, 128)).shape == (2, 512)
    assert AttributionNetwork(600, (8, 8)).embed(torch.zeros(1, 3, 8, 8)).shape == (1, 600)


def test_other_sizes_drop_or_add_scales() -> None:
    small = AttributionNetwork(3, (32, 32))
    assert convolutions(small, (32, 32)) == [(32, 3, 64), (32, 64, 128), *TABLE_128[6:]]
    large = AttributionNetwork(3, (256, 256))
    expected = [(256, 3, 8), (256, 8, 16), (128, 16, 16), *TABLE_128[1:]]
    assert convolutions(large, (256, 256)) == expected
    odd = AttributionNetwork(3, (33, 47), width=32)
    assert resolutions((33, 47)) == [(33, 47), (16, 23), (8, 11), (4, 5)]
    assert odd(torch.zeros(2, 3, 33, 47)).shape == (2, 3)


def test_ablations_move_where_convolutions_begin_and_end() -> None:
    size = (128, 128)
    late = AttributionNetwork(3, size, mode="predownscale", switching=3)
    assert convolutions(late, size) == [(16, 3, 128), *TABLE_128[7:]]
    early = AttributionNetwork(3, size, mode="postpool", switching=2)
    assert convolutions(early, size) == [*TABLE_128[:4], (4, 64, 512)]
    for mode, full in (("predownscale", 0), ("postpool", 5)):
        whole = AttributionNetwork(3, size, mode=mode, switching=full)  # type: ignore[arg-type]
        assert convolutions(whole, size) == TABLE_128


def test_predownscaling_is_a_binomial_blur_that_no_checkerboard_survives() -> None:
    images = np.random.default_rng(0).normal(size=(2, 3, 10, 14))
    taps = np.array([1, 4, 6, 4, 1]) / 16
    blurred = correlate1d(correlate1d(images, taps, 2, mode="mirror"), taps, 3, mode="mirror")
    found = halve_blurred(torch.from_numpy(images))
    np.testing.assert_allclose(found.numpy(), blurred[:, :, ::2, ::2], atol=1e-12)
    board = (np.indices((16, 16)).sum(axis=0) % 2 * 2 - 1)[None, None] * np.ones((1, 3, 1, 1))
    assert halve_blurred(torch.from_numpy(board)).abs().max() < 1e-12
    network = AttributionNetwork(3, (16, 16), width=32, mode="predownscale", switching=1).double()
    smooth = torch.rand(1, 3, 1, 1, dtype=torch.float64).expand(1, 3, 16, 16)
    changed = smooth + 0.5 * torch.from_numpy(board)
    torch.testing.assert_close(network(changed), network(smooth), atol=1e-9, rtol=0)
    assert (AttributionNetwork(3, (16, 16), width=32).double()(changed) - network(smooth)).any()


def test_postpooling_from_the_start_sees_averages_only() -> None:
    network = AttributionNetwork(3, (16, 16), width=32, mode="postpool", switching=0).double()
    image = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    turned = image.clone()
    turned[:, :, :4, 4:8] = image[:, :, :4, 4:8].flip(2, 3)
    torch.testing.assert_close(network(turned), network(image))


def test_equalised_layers_scale_to_hes_deviation_and_move_equally_fast() -> None:
    torch.manual_seed(0)
    layer = EqualisedConv2d(8, 200, 3)
    plain = nn.Conv2d(8, 200, 3, padding=1, padding_mode="reflect")
    with torch.no_grad():
        plain.weight.copy_(layer.weight * math.sqrt(2 / (8 * 9)))
        assert plain.bias is not None
        plain.bias.copy_(layer.bias)
    x = torch.randn(2, 8, 7, 7)
    torch.testing.assert_close(layer(x), plain(x))
    assert layer.weight.std().item() == pytest.approx(1, abs=0.02)
    assert plain.weight.std().item() == pytest.approx(math.sqrt(2 / 72), rel=0.02)
    wide, narrow = EqualisedLinear(4096, 2), EqualisedLinear(4, 2)
    for linear in (wide, narrow):
        optimiser = torch.optim.Adam(linear.parameters(), lr=0.01)
        before = linear.weight.detach().clone()
        linear(torch.randn(3, linear.weight.shape[1])).square().sum().backward()
        optimiser.step()
        moved = (linear.weight.detach() - before) * linear.scale
        torch.testing.assert_close(
            moved.abs().mean(), torch.tensor(0.01 * linear.scale), rtol=1e-2, atol=0
        )


@pytest.mark.parametrize("target", [1.0, 2.0])
def test_gradient_penalty_of_a_linear_critic(target: float) -> None:
    """D(x) = ⟨w, x⟩ has gradient w everywhere: the penalty is (‖w‖ − t)² / t²."""
    w = torch.randn(3, 5, 5, dtype=torch.float64, requires_grad=True)
    real, fake = torch.randn(2, 4, 3, 5, 5, dtype=torch.float64)
    found = gradient_penalty(lambda x: (x * w).sum(dim=(1, 2, 3)), real, fake, target=target)
    norm = w.detach().norm()
    assert found.item() == pytest.approx(((norm - target) / target).square().item(), rel=1e-5)
    found.backward()  # type: ignore[no-untyped-call]
    expected = 2 * (norm - target) / target**2 * w.detach() / norm
    assert w.grad is not None
    torch.testing.assert_close(w.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("count", "group"), [(8, 4), (6, 3), (7, 1), (3, 3)])
def test_batch_deviation_is_that_of_numpy(count: int, group: int) -> None:
    x = torch.randn(count, 5, 4, 4, generator=torch.Generator().manual_seed(1))
    found = with_batch_deviation(x)
    assert found.shape == (count, 6, 4, 4)
    torch.testing.assert_close(found[:, :5], x)
    for start in range(count // group):
        members = list(range(start, count, count // group))
        assert len(members) == group
        expected = x.numpy()[members].std(axis=0).mean()
        np.testing.assert_allclose(found[members, 5].numpy(), expected, atol=2e-4)


def test_reconstruction_mirrors_the_trunk() -> None:
    network = Reconstruction((128, 128))
    decoder = [(8, 512, 256), (8, 256, 256), (16, 256, 128), (16, 128, 128), (32, 128, 64),
               (32, 64, 64), (64, 64, 32), (64, 32, 32), (128, 32, 16), (128, 16, 16),
               (128, 16, 3)]  # fmt: skip
    assert convolutions(network, (128, 128)) == TABLE_128 + decoder
    made = Reconstruction((33, 20), width=16)(torch.zeros(2, 3, 33, 20))
    assert made.shape == (2, 3, 33, 20) and made.abs().max() <= 1
    assert convolutions(Critic((128, 128)), (128, 128)) == [*TABLE_128[:-1], (4, 513, 512)]


def test_logits_are_inner_products_of_fingerprints() -> None:
    network = VisualisationNetwork(4, (12, 9), width=16)
    x = torch.rand(3, 3, 12, 9) * 2 - 1
    residual = (x - network.reconstruction(x)).detach().numpy().reshape(3, -1)
    kernels = network.fingerprints().detach().numpy().reshape(4, -1)
    np.testing.assert_allclose(network(x).detach().numpy(), residual @ kernels.T, atol=1e-5)
    assert kernels.std() == pytest.approx(1 / math.sqrt(3 * 12 * 9), rel=0.1)


def test_each_player_gets_the_gradient_of_its_own_loss() -> None:
    """Against the two losses written out, each with the other player's weights held fixed."""
    torch.manual_seed(0)
    players = AdversarialVisualisation(
        VisualisationNetwork(3, (8, 8), width=16), Critic((8, 8), width=16)
    )
    network, critic = players.network, players.critic
    images, labels = torch.rand(4, 3, 8, 8) * 2 - 1, torch.tensor([0, 1, 2, 0])
    torch.manual_seed(7)
    players.loss(images, labels).backward()  # type: ignore[no-untyped-call]
    found = {name: p.grad for name, p in players.named_parameters()}
    assert all(p.requires_grad for p in critic.parameters())

    made = network.reconstruction(images)
    fool = (
        functional.cross_entropy(network(images), labels)
        + 20 * functional.l1_loss(made, images)
        - 0.1 * critic(made).mean()
    )
    expected = torch.autograd.grad(fool, list(network.parameters()))
    for (name, _), gradient in zip(network.named_parameters(), expected, strict=True):
        torch.testing.assert_close(found[f"network.{name}"], gradient, rtol=1e-3, atol=1e-5)
    torch.manual_seed(7)
    fake = made.detach()
    judge = (
        critic(fake).mean()
        - critic(images).mean()
        + 10 * gradient_penalty(critic, images, fake)
        + 1e-3 * critic(images).square().mean()
    )
    expected = torch.autograd.grad(judge, list(critic.parameters()), allow_unused=True)
    for (name, p), gradient in zip(critic.named_parameters(), expected, strict=True):
        wanted = torch.zeros_like(p) if gradient is None else gradient
        torch.testing.assert_close(found[f"critic.{name}"], wanted, rtol=1e-3, atol=1e-5)


def test_flips_mirror_half_of_the_images() -> None:
    batch = torch.randint(0, 256, (400, 3, 2, 5), dtype=torch.uint8)
    torch.manual_seed(0)
    found = flip_at_random(batch)
    same = (found == batch).flatten(1).all(1)
    mirrored = (found == batch.flip(3)).flatten(1).all(1)
    assert (same | mirrored).all() and 150 < mirrored.sum() < 250


SETS = planted_sets((16, 16), kind="pattern", planted=2, counts=(80, 20, 60), seed=3)


def fitted(
    sets: PlantedSets = SETS, cls: type[YuNetwork[Any]] = Yu, **params: object
) -> YuNetwork[Any]:
    return cls(**{"width": 32, "epochs": 25} | params).fit(
        sets.train, reference=sets.reference, validation=sets.validation, context=FitContext()
    )


@pytest.fixture(scope="module")
def attribution() -> YuNetwork[Any]:
    return fitted()


@pytest.fixture(scope="module")
def visnet() -> YuNetwork[Any]:
    return fitted(cls=YuVisualisation, flip=False, width=16, epochs=40)


def accuracy(method: YuNetwork[Any], test: ImageSet) -> float:
    proba = method.predict_proba(test.unlabelled())
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    return float((proba.argmax(axis=1) == test.labels).mean())


def test_attribution_finds_planted_patterns(attribution: YuNetwork[Any]) -> None:
    assert accuracy(attribution, SETS.test) > 0.95
    assert attribution.embed(SETS.test.unlabelled()).shape == (180, 512)
    assert not attribution.implements("residual")
    assert registry.resolve_method("yu") == (Yu, "attribution")
    assert registry.resolve_method("yu:visnet") == (YuVisualisation, "visnet")
    assert YuVisualisation.card is Yu.card


def test_visnet_learns_the_planted_patterns_as_kernels(visnet: YuVisualisation) -> None:
    assert accuracy(visnet, SETS.test) > 0.95
    from fpbench.conformance import planted
    from fpbench.datasets.planting import fingerprints

    truth = []
    for pattern in fingerprints("pattern", 2, planted._SEED).values():
        assert isinstance(pattern, Pattern)
        truth.append(pattern.template(np.zeros(3), (16, 16)).ravel())
    kernels = visnet.fingerprints()
    assert kernels.shape == (3, 16 * 16 * 3)
    # What all kernels share moves no softmax.
    distinct = kernels - kernels.mean(axis=0)
    correlations = np.corrcoef(np.concatenate([distinct, truth]))[:3, 3:]
    assert (correlations[1:].argmax(axis=1) == [0, 1]).all()
    assert np.diag(correlations[1:]).min() > 0.3
    assert np.abs(correlations[0] - correlations[0].mean()).max() < 0.2


def test_visnet_shows_image_less_reconstruction(visnet: YuVisualisation) -> None:
    images = SETS.test.select([0, 70])
    residual = visnet.residual(images)
    assert residual.shape == images.pixels.shape and visnet.implements("residual")
    np.testing.assert_allclose(visnet.embed(images), residual.reshape(2, -1) / 127.5, atol=1e-6)
    reconstruction = images.pixels - residual
    assert reconstruction.min() > -1 and reconstruction.max() < 256
    logits = visnet.embed(images) @ visnet.fingerprints().T
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(visnet.predict_proba(images), shares, atol=1e-4)
    # The critic is gone: kernels and reconstruction alone remain.
    network = VisualisationNetwork(3, (16, 16), 16)
    assert visnet.parameter_count() == count_parameters(network)


@pytest.mark.parametrize("which", ["attribution", "visnet"])
def test_saved_and_loaded_gives_the_same(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    method: YuNetwork[Any] = request.getfixturevalue(which)
    method.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = type(method).load(tmp_path)
    other = Yu if which == "visnet" else YuVisualisation
    with pytest.raises(BadInput, match=rf"holds a {type(method).__name__}"):
        other.load(tmp_path)
    test = SETS.test.unlabelled()
    np.testing.assert_array_equal(loaded.predict_proba(test), method.predict_proba(test))
    np.testing.assert_array_equal(loaded.embed(test), method.embed(test))


def test_ablation_and_resizing_survive_saving(tmp_path: Path) -> None:
    method = fitted(
        planted_sets((16, 16), kind="pattern", planted=1, counts=(8, 4, 4)),
        network="postpool", switching_resolution=12, resize=24, epochs=1, width=16,
    )  # fmt: skip
    method.save(tmp_path)
    test = planted_sets((16, 16), kind="pattern", planted=1, counts=(8, 4, 4)).test
    loaded = Yu.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(test), method.predict_proba(test))
    other = ImageSet(np.zeros((2, 30, 20, 3), np.uint8))
    assert loaded.embed(other).shape == (2, 512)


def test_weights_of_another_architecture_are_refused(
    attribution: YuNetwork[Any], tmp_path: Path
) -> None:
    attribution.save(tmp_path)
    facts = tmp_path / "state.json"
    facts.write_text(facts.read_text().replace('"width": 32', '"width": 64'))
    with pytest.raises(BadInput, match="another architecture than AttributionNetwork"):
        Yu.load(tmp_path)


@pytest.mark.parametrize("cls", [Yu, YuVisualisation])
def test_shuffled_labels_teach_nothing(cls: type[YuNetwork[Any]]) -> None:
    generator = np.random.default_rng(5)
    shuffled = PlantedSets(
        SETS.train.with_labels(generator.permutation(SETS.train.labels)),
        SETS.reference,
        SETS.validation.with_labels(generator.permutation(SETS.validation.labels)),
        SETS.test,
    )
    method = fitted(shuffled, cls, epochs=4, width=16)
    proba = method.predict_proba(SETS.test.unlabelled())
    low, high = chance_interval(SETS.test.labels, proba, None)
    assert low <= (proba.argmax(axis=1) == SETS.test.labels).mean() <= high


def test_images_of_another_size_are_refused(attribution: YuNetwork[Any]) -> None:
    with pytest.raises(ValueError, match=r"fitted on images of 16x16 and cannot judge .* 12x12"):
        attribution.embed(ImageSet(np.zeros((1, 12, 12, 3), np.uint8)))


def test_a_switching_resolution_without_an_ablation_is_refused() -> None:
    with pytest.raises(BadInput, match="switching_resolution=8 has no meaning"):
        Yu(switching_resolution=8)


def test_a_switching_resolution_between_scales_is_refused() -> None:
    with pytest.raises(BadInput, match=r"switch at 5 pixels.*16, 8, 4"):
        fitted(network="predownscale", switching_resolution=5)


def test_the_page_states_title_variants_and_citation() -> None:
    page = Path(__file__).parents[2].joinpath("docs/methods/yu.md").read_text("utf-8")
    card = Yu.card
    assert card.name == "yu" and card.title in page and card.citation in page
    assert all(f"`{variant}`" in page for variant in card.variants)
    assert card.faithful and card.different and "Commonly got wrong" in page


@pytest.mark.slow
@pytest.mark.parametrize("cls", [Yu, YuVisualisation])
def test_finds_what_gm_synthetic_plants(cls: type[YuNetwork[Any]]) -> None:
    data = resolve("gm-synthetic").load()
    method = cls().fit(
        data.train, reference=data.reference, validation=data.validation, context=FitContext()
    )
    proba = method.predict_proba(data.test.unlabelled())[:, 1:]
    generated = data.test.labels > 0
    assert (proba.argmax(axis=1) + 1 == data.test.labels)[generated].mean() > 0.95
