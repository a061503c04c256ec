"""DSF: the contrastive loss, bags, pooling, and what is planted."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from torch import Tensor, nn

from fpbench.conformance.planted import PlantedSets, planted_sets
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import BUDGETS, Budget, FitContext, MethodDeclined
from fpbench.metrics.null_control import chance_interval
from fpbench_methods.dsf import DSF
from fpbench_methods.dsf.bags import bag_batches, singles, some_bags
from fpbench_methods.dsf.contrastive import blind_loss, nca_loss
from fpbench_methods.dsf.encoder import SetEncoder, high_pass
from fpbench_methods.dsf.lengths import LENGTHS
from fpbench_methods.nn.attributor import count_parameters


def naive_loss(z: Tensor, labels: list[int]) -> float:
    """Equations 1 and 2 as a double loop in double precision."""
    rows = z.double().tolist()
    losses = []
    for a, za in enumerate(rows):
        weight = {
            b: math.exp(-sum((p - q) ** 2 for p, q in zip(za, zb, strict=True)))
            for b, zb in enumerate(rows)
            if b != a
        }
        positive = [b for b in weight if labels[b] == labels[a]]
        if positive:
            losses.append(-math.log(sum(weight[b] for b in positive) / sum(weight.values())))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("seed", range(5))
def test_loss_is_that_of_the_double_loop(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = 0.7 * torch.randn(13, 4, generator=generator)
    labels = torch.randint(0, 4, (13,), generator=generator)
    assert nca_loss(z, labels).item() == pytest.approx(naive_loss(z, labels.tolist()), rel=1e-5)
    unit = z / z.norm(dim=1, keepdim=True) / math.sqrt(0.1)
    scaled = nca_loss(z, labels, normalise=True, temperature=0.1).item()
    assert scaled == pytest.approx(naive_loss(unit, labels.tolist()), rel=1e-4)
    # Only differences count, and no order does.
    shifted = nca_loss(z + 5, labels).item()
    assert shifted == pytest.approx(nca_loss(z, labels).item(), rel=1e-4)
    order = torch.randperm(13, generator=generator)
    assert nca_loss(z[order], labels[order]).item() == pytest.approx(nca_loss(z, labels).item())


def test_loss_by_hand_and_anchors_without_positives_dropped() -> None:
    """Points 0 and 1 of one source and 3 of another, which has no second bag."""
    z, labels = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([5, 5, 2])
    first = -math.log(math.exp(-1) / (math.exp(-1) + math.exp(-9)))
    second = -math.log(math.exp(-1) / (math.exp(-1) + math.exp(-4)))
    assert nca_loss(z, labels).item() == pytest.approx((first + second) / 2, rel=1e-5)
    alone = torch.randn(3, 2, requires_grad=True)
    nothing = nca_loss(alone, torch.tensor([0, 1, 2]))
    nothing.backward()  # type: ignore[no-untyped-call]
    assert nothing.item() == 0 and alone.grad is not None and (alone.grad == 0).all()
    assert nca_loss(torch.randn(4, 2), torch.zeros(4)).item() == 0


def test_sum_is_inside_the_logarithm() -> None:
    """A far second positive costs nothing here; with the logarithm inside the sum it would."""
    z = torch.tensor([[0.0], [0.1], [9.0], [30.0]])
    assert nca_loss(z, torch.tensor([0, 0, 0, 1])).item() < 1e-3


def test_loss_and_gradient_stay_finite_far_apart() -> None:
    z = (1e4 * torch.randn(12, 3)).requires_grad_(True)
    loss = nca_loss(z, torch.arange(12) % 3)
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(loss.item()) and z.grad is not None and z.grad.isfinite().all()


def test_encoder_has_the_layers_that_the_card_states() -> None:
    encoder = SetEncoder()
    widths = [3, 64, 128, 256, 256]
    phi = sum(9 * a * b + 2 * b for a, b in pairwise(widths))
    assert count_parameters(encoder) == phi + 256 * 256 + 256 + 256 * 128 + 128 == 1_060_288
    assert [m.stride for m in encoder.modules() if isinstance(m, nn.Conv2d)] == [(2, 2)] * 4
    encoder.eval()
    for size in ((16, 16), (33, 40), (64, 64)):
        assert encoder(torch.zeros(6, 3, *size), 2).shape == (2, 128)


def test_high_pass_is_scipys() -> None:
    images = np.random.default_rng(0).normal(size=(2, 3, 7, 9))
    box = uniform_filter(images, size=(1, 1, 3, 3), mode="mirror")
    np.testing.assert_allclose(high_pass(torch.from_numpy(images)), images - box, atol=1e-12)


@pytest.mark.parametrize("pool", ["mean", "sum"])
def test_the_order_of_images_in_a_bag_does_not_matter(pool: str) -> None:
    encoder = SetEncoder(pool, (8, 8, 8, 8)).eval()  # type: ignore[arg-type]
    bags = torch.randn(3, 5, 3, 16, 16)
    mixed = torch.stack([bag[torch.randperm(5)] for bag in bags])
    first, second = encoder(bags.flatten(0, 1), 3), encoder(mixed.flatten(0, 1), 3)
    torch.testing.assert_close(first, second)
    assert (first[0] - first[1]).abs().max() > 1e-3


def test_a_sum_grows_with_the_bag_and_a_mean_does_not() -> None:
    features = torch.rand(2, 4, 8)
    mean, total = SetEncoder("mean"), SetEncoder("sum")
    torch.testing.assert_close(total.pooled(features), 4 * mean.pooled(features))
    twice = torch.cat([features, features], dim=1)
    torch.testing.assert_close(mean.pooled(twice), mean.pooled(features))
    torch.testing.assert_close(total.pooled(twice), 2 * total.pooled(features))


def test_all_bags_of_a_step_share_one_normalisation() -> None:
    encoder = SetEncoder("mean", (8, 8, 8, 8)).train()
    seen = []
    encoder.convolutions[1].register_forward_hook(lambda m, x, y: seen.append(len(x[0])))
    encoder(torch.randn(12, 3, 16, 16), 3)
    assert seen == [12]


def test_batches_are_sources_times_bags_of_different_images() -> None:
    labels = torch.tensor([3] * 9 + [0] * 7 + [5] * 8)
    sample = bag_batches(labels, size=4, bags=3, sources=2, steps=5)
    batches = list(sample(0, torch.Generator().manual_seed(0)))
    assert [b.shape for b in batches] == [(6, 4)] * 5
    chosen = set()
    for batch in batches:
        owners = labels[batch]
        assert (owners == owners[:, :1]).all()
        assert all(len(set(bag)) == 4 for bag in batch.tolist())
        assert sorted(torch.bincount(owners[:, 0])[owners[:, 0].unique()].tolist()) == [3, 3]
        chosen |= set(owners[:, 0].tolist())
    assert chosen == {0, 3, 5}
    again = list(sample(0, torch.Generator().manual_seed(0)))
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not torch.equal(next(iter(sample(1, torch.Generator().manual_seed(1)))), batches[0])


def test_a_pool_of_bags_is_drawn_once() -> None:
    labels = torch.arange(60) % 2
    sample = bag_batches(labels, size=5, bags=2, sources=2, steps=30, pool=3, seed=1)
    batches = torch.cat(list(sample(0, torch.Generator().manual_seed(0))))
    assert len({tuple(sorted(bag)) for bag in batches.tolist()}) == 6


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"size": 8}, "holds 8 images, but a source has 7"),
        ({"bags": 1}, "2 bags a source"),
        ({"pool": 2}, "3 bags a batch"),
    ],
)
def test_impossible_batches_are_refused(how: dict[str, int], match: str) -> None:
    labels = torch.tensor([0] * 9 + [1] * 7)
    with pytest.raises(ValueError, match=match):
        bag_batches(labels, **({"size": 4, "bags": 3, "sources": 2, "steps": 1} | how))  # type: ignore[arg-type]


def test_fixed_bags_shrink_to_small_sources() -> None:
    labels = np.array([0, 0, 0, 2, 2, 2, 2, 2])
    bags = some_bags(labels, 4, 2, 0, "test")
    assert [len(bag) for bag in bags] == [3, 3, 4, 4]
    assert all(len(set(bag)) == len(bag) and len(set(labels[bag])) == 1 for bag in bags)
    assert [bag.tolist() for bag in singles(2)] == [[0], [1]]


SETS = planted_sets((16, 16), kind="pattern", planted=2, counts=(60, 20, 60), seed=3)


def fitted(sets: PlantedSets = SETS, **params: object) -> DSF:
    return DSF(**{"steps": 60, "bag_size": 6} | params).fit(  # type: ignore[arg-type]
        sets.train,
        reference=sets.reference,
        validation=sets.validation,
        context=FitContext(budget="smoke"),
    )


@pytest.fixture(scope="module")
def plus() -> DSF:
    return fitted()


@pytest.fixture(scope="module")
def minus() -> DSF:
    return fitted(**DSF.card.variants["minus"].params)


def bags_of_ten() -> list[np.ndarray]:
    return some_bags(SETS.test.labels, 10, 20, 0, "test")


@pytest.mark.parametrize("which", ["plus", "minus"])
def test_finds_planted_patterns_in_images_and_bags(
    which: str, request: pytest.FixtureRequest
) -> None:
    method: DSF = request.getfixturevalue(which)
    test, labels = SETS.test.unlabelled(), SETS.test.labels
    proba = method.predict_proba(test)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert (proba.argmax(axis=1) == labels).mean() > 0.95
    bags = bags_of_ten()
    owners = labels[[bag[0] for bag in bags]]
    judged = method.predict_proba_bags(test, bags)
    np.testing.assert_allclose(judged.sum(axis=1), 1, atol=1e-5)
    assert (judged.argmax(axis=1) == owners).mean() > 0.95
    # Bags lie nearest to the fingerprint of their source.
    vectors, fingerprints = method.embed_bags(test, bags), method.fingerprints()
    assert fingerprints.shape == (3, 128)
    distances = ((vectors[:, None] - fingerprints[None]) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == owners).mean() > 0.95


def test_plus_encodes_bags_and_minus_averages(plus: DSF, minus: DSF) -> None:
    test = SETS.test.unlabelled()
    bags = [*bags_of_ten()[:5], np.array([7, 3, 7 + 60])]
    for method in (plus, minus):
        embedded = method.embed(test)
        assert embedded.shape == (180, 128)
        alone = method.embed_bags(test, singles(4))
        np.testing.assert_allclose(alone, embedded[:4], atol=1e-4)
        mean = np.stack([embedded[bag].mean(axis=0) for bag in bags])
        same = np.allclose(method.embed_bags(test, bags), mean, atol=1e-3)
        assert same == (method is minus)
        turned = [bag[::-1].copy() for bag in bags]
        np.testing.assert_allclose(
            method.embed_bags(test, turned), method.embed_bags(test, bags), atol=1e-4
        )


def test_sum_pooling_is_of_one_bag_size() -> None:
    method = fitted(steps=20, **DSF.card.variants["sum"].params)
    test = SETS.test.unlabelled()
    encoder = method.fitted(method._network)
    bag = np.arange(6)
    features = method._features(test)
    expected = encoder.rho(torch.from_numpy(features[bag].sum(axis=0, keepdims=True)))
    np.testing.assert_allclose(
        method.embed_bags(test, [bag]), expected.detach().numpy(), rtol=1e-4, atol=1e-4
    )
    doubled = method.embed_bags(test, [np.concatenate([bag, bag])])
    assert np.abs(doubled - method.embed_bags(test, [bag])).max() > 0.05


@pytest.mark.parametrize("which", ["plus", "minus"])
def test_saved_and_loaded_gives_the_same(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    method: DSF = request.getfixturevalue(which)
    method.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded, test = DSF.load(tmp_path), SETS.test.unlabelled()
    np.testing.assert_array_equal(loaded.embed(test), method.embed(test))
    np.testing.assert_array_equal(loaded.predict_proba(test), method.predict_proba(test))
    bags = bags_of_ten()[:3]
    np.testing.assert_array_equal(loaded.embed_bags(test, bags), method.embed_bags(test, bags))
    np.testing.assert_array_equal(loaded.fingerprints(), method.fingerprints())


def test_shuffled_labels_teach_nothing() -> None:
    generator = np.random.default_rng(5)
    shuffled = PlantedSets(
        SETS.train.with_labels(generator.permutation(SETS.train.labels)),
        SETS.reference,
        SETS.validation.with_labels(generator.permutation(SETS.validation.labels)),
        SETS.test,
    )
    method = fitted(shuffled, steps=30)
    proba = method.predict_proba(SETS.test.unlabelled())
    low, high = chance_interval(SETS.test.labels, proba, None)
    assert low <= (proba.argmax(axis=1) == SETS.test.labels).mean() <= high
    bags = bags_of_ten()
    judged = method.predict_proba_bags(SETS.test.unlabelled(), bags)
    owners = SETS.test.labels[[bag[0] for bag in bags]]
    low, high = chance_interval(owners, judged, None)
    assert low <= (judged.argmax(axis=1) == owners).mean() <= high


def test_a_bag_larger_than_a_source_is_declined_or_shrinks() -> None:
    sets = planted_sets((16, 16), kind="pattern", planted=1, counts=(3, 2, 2))
    with pytest.raises(MethodDeclined, match=r"bags of 6 images.*3 training.*bag_size=3"):
        fitted(sets)
    method = fitted(sets, bag_size=None, steps=2)
    assert method._bag_size == 3
    assert method.predict_proba(sets.test.unlabelled()).shape == (4, 2)
    with pytest.raises(ValueError, match="in each at least one image"):
        method.embed_bags(sets.test.unlabelled(), [np.array([0]), np.array([], np.int64)])


def test_large_images_are_cropped_for_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fpbench_methods.dsf.method._CROP", 16)
    seen: set[tuple[int, ...]] = set()
    phi = SetEncoder.phi

    def noting(self: SetEncoder, images: Tensor) -> Tensor:
        seen.add((self.training, *images.shape[2:]))
        return phi(self, images)

    monkeypatch.setattr(SetEncoder, "phi", noting)
    sets = planted_sets((24, 20), kind="pattern", planted=1, counts=(8, 4, 4))
    fitted(sets, steps=2, residual=True)
    # Statistics of batch normalisation are measured on crops as well, without training on them.
    assert seen == {(True, 16, 16), (False, 16, 16), (False, 24, 20)}


def test_unfitted_methods_say_so() -> None:
    with pytest.raises(ValueError, match="not fitted"):
        DSF().embed(ImageSet(np.zeros((1, 16, 16, 3), np.uint8)))


def test_the_page_states_title_variants_and_citation() -> None:
    page = Path(__file__).parents[2].joinpath("docs/methods/dsf.md").read_text("utf-8")
    card = DSF.card
    assert card.name == "dsf" and card.title in page and card.citation in page
    assert all(f"`{variant}`" in page for variant in card.variants)
    assert card.faithful and card.different and "Commonly got wrong" in page


@pytest.mark.parametrize("budget", BUDGETS)
def test_all_variants_see_equally_many_images(budget: Budget) -> None:
    """Of each source in a batch, and so in a fit: their plans have as many steps."""
    usual = LENGTHS[budget].bag_size
    seen, steps = set(), set()
    for variant in DSF.card.variants.values():
        method = DSF(**variant.params)
        size = method.bag_size or usual
        seen.add(size * method._bags_of_batch(usual))
        plan = method.plan(budget, 1000)
        steps.add(plan.epochs * method.steps_of_epoch(budget))
    assert seen == {4 * usual} and len(steps) == 1


def test_a_number_of_bags_that_is_asked_for_is_kept() -> None:
    assert DSF(bag_size=1, bags_per_source=16)._bags_of_batch(8) == 16
    assert DSF(bag_size=100)._bags_of_batch(8) == 2
    assert DSF(bag_size=1, training_bags=10)._bags_of_batch(8) == 10


def test_more_bags_in_a_batch_than_are_drawn_are_refused() -> None:
    with pytest.raises(BadInput, match="training_bags=3 is too few for bags_per_source=4"):
        DSF(training_bags=3)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["plus", "minus"])
def test_finds_what_gm_synthetic_plants(variant: str) -> None:
    data = resolve("gm-synthetic").load()
    method = DSF(**DSF.card.variants[variant].params).fit(
        data.train, reference=data.reference, validation=data.validation, context=FitContext()
    )
    proba = method.predict_proba(data.test.unlabelled())[:, 1:]
    generated = data.test.labels > 0
    assert (proba.argmax(axis=1) + 1 == data.test.labels)[generated].mean() > 0.95


def test_equal_vectors_have_the_loss_of_guessing() -> None:
    labels = torch.arange(5).repeat_interleave(16)
    blind = nca_loss(torch.ones(80, 3), labels).item()
    assert blind_loss(16, 5) == pytest.approx(blind, rel=1e-6)
    assert blind_loss(16, 1) is None
