"""Asnani et al. (2023): layers, constraints on known spectra, attribution and parsing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from fpbench.conformance.planted import PlantedSets, planted_sets
from fpbench.datasets.resolve import resolve
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, MethodDeclined
from fpbench.metrics.null_control import chance_interval
from fpbench_methods.asnani import Asnani, AsnaniParsing, score_design
from fpbench_methods.asnani.design import DesignTable
from fpbench_methods.asnani.estimating import EstimatingMethod
from fpbench_methods.asnani.estimation import (
    ATTRIBUTION_WEIGHTS,
    PARSING_WEIGHTS,
    Constraints,
    EstimationNetwork,
    constraints,
    low_frequencies,
    luminance,
    spectrum,
)
from fpbench_methods.asnani.heads import AttributionPair, ParsingHead, SpectrumHead
from fpbench_methods.asnani.parsing import balanced_weights, parsing_loss
from fpbench_methods.asnani.preparation import standardised
from fpbench_methods.nn.attributor import count_parameters


def test_estimation_network_is_dncnns_body() -> None:
    network = EstimationNetwork()
    kinds = [type(layer) for layer in network]
    middle = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 15
    assert kinds == [nn.Conv2d, nn.ReLU, *middle, nn.Conv2d]
    first, inner, last = 3 * 64 * 9 + 64, 64 * 64 * 9 + 2 * 64, 64 * 3 * 9 + 3
    assert count_parameters(network) == first + 15 * inner + last == 558_403
    small = EstimationNetwork(5, 8).eval()
    assert small(torch.zeros(2, 3, 17, 20)).shape == (2, 3, 17, 20)


def test_heads_flatten_what_the_paper_states() -> None:
    head = SpectrumHead(5, (128, 128))
    assert head.flat == 65_536 and head.dense.weight.shape == (512, 65_536)
    assert head.conv1.weight.shape == (32, 1, 5, 5) and head.conv2.weight.shape == (64, 32, 5, 5)
    assert head.embed(torch.zeros(2, 128, 128)).shape == (2, 512)
    assert SpectrumHead(3, (33, 18))(torch.zeros(2, 33, 18)).shape == (2, 3)
    groups = {"architecture": ["norm", "up"], "loss": ["loss"]}
    parser = ParsingHead(groups, {"norm": 3, "up": 2, "loss": 4}, (64, 64))
    assert parser.flat == 4_608 and parser.dense.weight.shape == (512, 4_608)
    widths = [m.weight.shape[0] for m in parser.body if isinstance(m, nn.Conv2d)]
    assert widths == [32, 64, 128, 256, 512] and len(parser.branches) == 2
    assert [h.weight.shape for h in parser.heads] == [(3, 64), (2, 64), (4, 64)]  # type: ignore[comparison-overlap]
    assert parser(torch.zeros(2, 3, 64, 64)).shape == (2, 9)
    other = ParsingHead(groups, {"norm": 3, "up": 2, "loss": 4}, (17, 30))
    assert other(torch.zeros(2, 3, 17, 30)).shape == (2, 9)


def test_inputs_are_standardised_alike_in_all_channels() -> None:
    grey = torch.tensor([0, 255], dtype=torch.uint8).expand(1, 3, 1, 2)
    expected = torch.tensor([-0.6490 / 0.1269, 0.3510 / 0.1269]).expand(1, 3, 1, 2)
    torch.testing.assert_close(standardised(grey), expected)


def test_spectrum_is_numpys_magnitude_of_the_luminance() -> None:
    images = np.random.default_rng(0).normal(size=(2, 3, 9, 12))
    grey = np.tensordot([0.299, 0.587, 0.114], images, axes=(0, 1))
    expected = np.abs(np.fft.fftshift(np.fft.fft2(grey), axes=(1, 2)))
    found = spectrum(luminance(torch.from_numpy(images)))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_low_frequencies_are_51_of_128_bins_and_scale_with_the_image() -> None:
    window = low_frequencies(128, 128)
    assert window.sum() == 51 * 51 and window[64 - 25 : 64 + 26, 64 - 25 : 64 + 26].all()
    assert low_frequencies(64, 64).sum() == 25 * 25
    assert low_frequencies(128, 64).sum() == 51 * 25


def wave(down: int, across: int, side: int = 128, amplitude: float = 0.5) -> Tensor:
    """One cosine, the same in all channels (whose luminance weights sum to one)."""
    at = torch.arange(side, dtype=torch.float64) * 2 * math.pi / side
    plane = amplitude * torch.cos(down * at[:, None] + across * at[None, :])
    return plane.expand(1, 3, side, side)


def values(terms: Constraints) -> list[float]:
    return [
        terms.low_frequency.item(),
        terms.repetitive.item(),
        terms.magnitude.item(),
        terms.symmetry.item(),
    ]


def test_constraints_on_single_waves_by_hand() -> None:
    """A cosine of amplitude a has two bins of a N² / 2 and the mean square a² / 2."""
    peak = 0.5 * 128**2 / 2
    power = 0.5**2 / 2
    outside = values(constraints(wave(40, 0)))
    # Two bins lie where the transpose has none, and the transpose has two where it has none.
    expected = [0, -peak, power, 4 * peak**2 / 128**2]
    np.testing.assert_allclose(outside, expected, rtol=1e-5, atol=1e-3)
    inside = values(constraints(wave(3, 20)))
    expected = [2 * peak**2 / 51**2, 0, power, 4 * peak**2 / 128**2]
    np.testing.assert_allclose(inside, expected, rtol=1e-5, atol=1e-3)
    # On the diagonal the spectrum is its own transpose.
    np.testing.assert_allclose(values(constraints(wave(40, 40)))[3], 0, atol=1e-3)
    symmetric = 0.5 * (wave(40, 7) + wave(7, 40))
    np.testing.assert_allclose(values(constraints(symmetric))[3], 0, atol=1e-3)


def test_constraints_are_weighted_as_released() -> None:
    terms = Constraints(*torch.tensor([2.0, 3.0, 5.0, 7.0]))
    assert terms.weighted(ATTRIBUTION_WEIGHTS).item() == pytest.approx(
        0.05 * 2 + 0.001 * 3 + 0.01 * 5 + 0.1 * 7
    )
    assert terms.weighted(PARSING_WEIGHTS).item() == pytest.approx(
        0.05 * 2 + 0.001 * 3 + 0.1 * 5 + 1.0 * 7
    )
    assert ATTRIBUTION_WEIGHTS.task == PARSING_WEIGHTS.task == 10


@pytest.mark.parametrize(("batch_max", "reached"), [(False, 3), (True, 1)])
def test_the_peak_of_each_image_or_of_the_batch(batch_max: bool, reached: int) -> None:
    waves = torch.cat([wave(12, 0, 32, a) for a in (0.2, 0.7, 0.4)]).requires_grad_(True)
    term = constraints(waves, batch_max=batch_max).repetitive
    peaks = np.array([0.2, 0.7, 0.4]) * 128**2 / 2  # as if the waves filled 128×128
    assert term.item() == pytest.approx(-peaks.max() if batch_max else -peaks.mean(), rel=1e-5)
    (gradient,) = torch.autograd.grad(term, waves)
    assert (gradient.flatten(1).abs().amax(1) > 0).sum() == reached


@pytest.mark.parametrize("side", [16, 32, 64])
@pytest.mark.parametrize("fixed", [False, True])
def test_an_image_and_its_tiling_have_the_same_constraints(side: int, fixed: bool) -> None:
    torch.manual_seed(side)
    image = torch.randn(2, 3, side, side)
    tiled = image.repeat(1, 1, 128 // side, 128 // side)
    assert tiled.shape[2:] == (128, 128)
    np.testing.assert_allclose(
        values(constraints(image, fixed_window=fixed)),
        values(constraints(tiled, fixed_window=fixed)),
        rtol=1e-4,
    )
    wide = tiled.repeat(1, 1, 1, 2)
    np.testing.assert_allclose(values(constraints(wide))[:3], values(constraints(image))[:3], 1e-4)


def test_the_fixed_window_is_no_larger_a_share_than_at_128_and_stays_at_51_above() -> None:
    small = wave(12, 0, 32)
    both = [values(constraints(small, fixed_window=fixed)) for fixed in (True, False)]
    assert both[0] == both[1] and both[0][1] < -1000
    assert low_frequencies(256, 256, fixed=True).sum() == 51**2
    assert low_frequencies(32, 32, fixed=True).sum() == 13**2
    oblong = torch.randn(2, 3, 33, 20)
    assert all(math.isfinite(v) for v in values(constraints(oblong)))


def test_the_released_sigmoid_bounds_probabilities() -> None:
    pair = AttributionPair(EstimationNetwork(3, 4), 5, (16, 16), sigmoid=True).eval()
    with torch.no_grad():
        pair.head.head.bias.copy_(torch.tensor([99.0, -99, -99, -99, -99]))
        proba = pair(torch.randn(2, 3, 16, 16)).softmax(1)
    assert proba[:, 0].tolist() == pytest.approx([math.e / (math.e + 4)] * 2, abs=1e-4)
    assert proba.max() < 0.405
    assert Asnani(**Asnani.card.variants["code"].params).sigmoid


def sources(**designs: Mapping[str, str]) -> tuple[Source, ...]:
    return tuple(
        Source(name, "GAN" if design else "Real", name, design) for name, design in designs.items()
    )


def test_design_table_and_scores_by_hand() -> None:
    made = sources(real={}, a={"up": "nearest", "loss": "ce"}, b={"up": "deconv"}, c={"up": "?"})
    pixels = np.zeros((7, 16, 16, 3), np.uint8)
    table = DesignTable.of(ImageSet(pixels, made, [0, 0, 0, 1, 2, 2, 2]))
    assert table.values == {"loss": ("ce",), "up": ("deconv", "nearest")}
    assert table.majority == {"loss": "ce", "up": "deconv"}
    assert table.groups == {"architecture": ["up"], "loss": ["loss"]} or table.groups == {
        "loss": ["loss"],
        "architecture": ["up"],
    }
    assert table.classes_of(made, ["up", "loss"]).tolist() == [[-1, -1], [1, 0], [0, -1], [-1, -1]]
    test = ImageSet(pixels[:5], made, [0, 1, 1, 2, 3])
    up = np.array([[1, 0], [0.2, 0.8], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5]])
    scores = score_design({"up": up, "loss": np.ones((5, 1))}, table, test)
    # Of a, a, b, c: named nearest, deconv, deconv, and a value that training had not.
    assert (scores["up"].accuracy, scores["up"].majority, scores["up"].n) == (0.5, 0.25, 4)
    # nearest: one of two; deconv: one of one; the value that training had not: none.
    assert scores["up"].balanced == pytest.approx((0.5 + 1 + 0) / 3)
    assert scores["up"].chance == pytest.approx(1 / 3)
    assert (scores["loss"].accuracy, scores["loss"].majority, scores["loss"].n) == (1.0, 1.0, 2)
    with pytest.raises(ValueError, match=r"'up' have shape \(5, 3\); \(5, 2\)"):
        score_design({"up": np.zeros((5, 3))}, table, test)


def test_parsing_loss_weighs_classes_and_skips_the_unknown() -> None:
    targets = np.array([0, 0, 0, 1, 2, 2, -1])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets[:-1])
    weights = balanced_weights(targets, 3)
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-6)
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    truth = torch.tensor([[0, 1], [2, -1], [-1, -1], [1, -1]])
    second = torch.tensor([0.5, 2.0])
    log = logits[:, :3].log_softmax(1)
    w = weights
    first = -(w[0] * log[0, 0] + w[2] * log[1, 2] + w[1] * log[3, 1]) / (w[0] + w[2] + w[1])
    other = -logits[:1, 3:].log_softmax(1)[0, 1]
    torch.testing.assert_close(parsing_loss(logits, truth, [weights, second]), first + other)
    assert parsing_loss(logits, torch.full((4, 2), -1), [weights, second]).item() == 0


def designed(sets: PlantedSets) -> PlantedSets:
    """The same images; the planted sources share or differ in two design choices."""
    choices: list[dict[str, str]] = [
        {},
        {"upsampling": "nearest", "loss": "minimax"},
        {"upsampling": "nearest", "loss": "hinge"},
        {"upsampling": "deconvolution", "loss": "hinge"},
    ]
    made = tuple(
        Source(s.name, s.family, s.architecture, design)
        for s, design in zip(sets.train.sources, choices, strict=True)
    )
    train, validation, test = (
        ImageSet(s.pixels, made, s.labels) for s in (sets.train, sets.validation, sets.test)
    )
    return PlantedSets(train, sets.reference, validation, test)


SETS = designed(planted_sets((16, 16), kind="pattern", planted=3, counts=(60, 20, 50), seed=3))


def fitted(
    sets: PlantedSets = SETS, cls: type[EstimatingMethod[Any]] = Asnani, **params: object
) -> Any:
    return cls(**{"width": 8, "depth": 4, "epochs": 12} | params).fit(
        sets.train, reference=sets.reference, validation=sets.validation, context=FitContext()
    )


@pytest.fixture(scope="module")
def attribution() -> Any:
    return fitted()


@pytest.fixture(scope="module")
def parsing() -> Any:
    return fitted(cls=AsnaniParsing, epochs=20)


def test_attribution_finds_planted_patterns(attribution: Asnani) -> None:
    proba = attribution.predict_proba(SETS.test.unlabelled())
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert (proba.argmax(axis=1) == SETS.test.labels).mean() > 0.95
    assert attribution.embed(SETS.test.unlabelled()).shape == (200, 512)


def test_parsing_names_design_choices_above_the_majority(parsing: AsnaniParsing) -> None:
    predicted = parsing.predict_design(SETS.test.unlabelled())
    assert {name: proba.shape for name, proba in predicted.items()} == {
        "loss": (200, 2),
        "upsampling": (200, 2),
    }
    for proba in predicted.values():
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    scores = score_design(predicted, parsing.design, SETS.test)
    for score in scores.values():
        assert score.n == 150 and score.majority == pytest.approx(2 / 3)
        assert score.accuracy > 0.9
    generated = SETS.test.labels > 0
    proba = parsing.predict_proba(SETS.test.unlabelled())
    assert (proba[:, 1:].argmax(axis=1) + 1 == SETS.test.labels)[generated].mean() > 0.9


def test_residual_is_the_estimated_fingerprint(attribution: Asnani) -> None:
    images = SETS.test.select([0, 60, 110])
    shown = attribution.residual(images)
    assert shown.shape == images.pixels.shape
    # Once more through the head: the picture is what attribution reads.
    network = attribution.fitted(attribution._network)
    outputs = torch.from_numpy(shown / (255 * 0.1269)).permute(0, 3, 1, 2).float()
    proba = network.judge(outputs).softmax(1).detach().numpy()
    np.testing.assert_allclose(proba, attribution.predict_proba(images), atol=1e-4)


@pytest.mark.parametrize("which", ["attribution", "parsing"])
def test_saved_and_loaded_gives_the_same(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    method = request.getfixturevalue(which)
    method.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = type(method).load(tmp_path)
    test = SETS.test.unlabelled()
    np.testing.assert_array_equal(loaded.embed(test), method.embed(test))
    np.testing.assert_array_equal(loaded.predict_proba(test), method.predict_proba(test))
    if which == "parsing":
        assert loaded.design == method.design
        again = loaded.predict_design(test)
        for name, proba in method.predict_design(test).items():
            np.testing.assert_array_equal(again[name], proba)


def test_shuffled_labels_teach_nothing() -> None:
    generator = np.random.default_rng(5)
    shuffled = PlantedSets(
        SETS.train.with_labels(generator.permutation(SETS.train.labels)),
        SETS.reference,
        SETS.validation.with_labels(generator.permutation(SETS.validation.labels)),
        SETS.test,
    )
    method = fitted(shuffled, epochs=4)
    proba = method.predict_proba(SETS.test.unlabelled())
    low, high = chance_interval(SETS.test.labels, proba, None)
    assert low <= (proba.argmax(axis=1) == SETS.test.labels).mean() <= high


def test_the_code_variant_trains_too() -> None:
    sets = planted_sets((32, 32), kind="pattern", planted=1, counts=(16, 4, 4))
    method = fitted(sets, epochs=1, **Asnani.card.variants["code"].params)
    proba = method.predict_proba(sets.test.unlabelled())
    assert proba.max() <= math.e / (math.e + 1) + 1e-6


def test_parsing_without_differing_design_choices_is_declined() -> None:
    sets = planted_sets((16, 16), kind="pattern", planted=1, counts=(4, 2, 2))
    with pytest.raises(MethodDeclined, match=r"sources\.yaml"):
        fitted(sets, AsnaniParsing)
    made = sources(real={}, a={"upsampling": "nearest"})
    alike = ImageSet(sets.train.pixels, made, sets.train.labels)
    with pytest.raises(MethodDeclined, match="no two sources"):
        fitted(PlantedSets(alike, sets.reference, alike, alike), AsnaniParsing)


def test_images_of_another_size_are_refused(attribution: Asnani) -> None:
    with pytest.raises(ValueError, match=r"fitted on images of 16x16 and cannot judge .* 20x20"):
        attribution.embed(ImageSet(np.zeros((1, 20, 20, 3), np.uint8)))


def test_the_page_states_title_variants_and_citation() -> None:
    page = Path(__file__).parents[2].joinpath("docs/methods/asnani.md").read_text("utf-8")
    card = Asnani.card
    assert card.name == "asnani" and card.title in page and card.citation in page
    assert all(f"`{variant}`" in page for variant in card.variants)
    assert card.faithful and card.different and "Commonly got wrong" in page


@pytest.mark.slow
def test_finds_what_gm_synthetic_plants() -> None:
    data = resolve("gm-synthetic").load()
    method = Asnani().fit(
        data.train, reference=data.reference, validation=data.validation, context=FitContext()
    )
    proba = method.predict_proba(data.test.unlabelled())[:, 1:]
    generated = data.test.labels > 0
    assert (proba.argmax(axis=1) + 1 == data.test.labels)[generated].mean() > 0.95
