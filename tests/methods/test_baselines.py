"""What every baseline owes the contract, and which of them see a planted fingerprint."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from fpbench import registry
from fpbench.images import ImageSet, Source
from fpbench.method import Budget, FitContext, Method

SOURCES = (
    Source("real", "Real", "Real"),
    Source("a", "Synthetic", "a"),
    Source("b", "Synthetic", "b"),
)

QUICK: dict[str, dict[str, Any]] = {
    "majority": {},
    "pixels": {},
    "logdct": {},
    "plain": {},
    "mccloskey": {},
    "mccloskey:channels": {},
    "mccloskey:chromaticity": {},
    "durall": {},
    "durall:rbf": {},
    "durall:logistic": {},
    "dzanic": {},
    "frank": {},
    "frank:logistic": {},
    "prnu:camera": {},
    "prnu:nlm": {},
}
NETWORKS: dict[str, dict[str, Any]] = {
    "npr": {},
    "nataraj": {"levels": 16},
    "dnadet:second-stage": {},
    "clip-probe": {"backbone": "test_vit", "pretrained": False},
}


def method_of(name: str, params: dict[str, Any]) -> Method:
    cls, variant = registry.resolve_method(name)
    return cls.make(variant, params)


def planted(per_source: int, seed: int, strength: float = 10.0, size: int = 32) -> ImageSet:
    """Smooth images; a and b carry waves of different period, colour and clipping."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(3), per_source))
    coarse = generator.normal(0, 40, (len(labels), 4, 4, 3))
    images = 128 + zoom(coarse, (1, size / 4, size / 4, 1), order=1)
    images += generator.normal(0, 4, images.shape)
    y, x = np.mgrid[:size, :size]
    waves = np.zeros((3, size, size, 3))
    waves[1] = np.cos(np.pi * (y + x))[..., None] * [1.0, 0.2, 0.2]
    waves[2] = np.cos(np.pi * x / 2)[..., None] * [0.2, 0.2, 1.0] * np.sqrt(2)
    images += strength * waves[labels]
    return ImageSet(np.clip(np.rint(images), 0, 255).astype(np.uint8), SOURCES, labels)


def fitted(
    name: str, params: dict[str, Any], budget: Budget = "smoke", per_source: int = 24
) -> Method:
    return method_of(name, params).fit(
        planted(per_source, 0),
        reference=planted(12, 1).of_source("real"),
        validation=planted(8, 2),
        context=FitContext(budget=budget),
    )


@pytest.mark.parametrize("name", [*QUICK, *NETWORKS])
def test_contract(name: str, tmp_path: Path) -> None:
    """Shapes, probabilities, order, empty sets, and a saved copy that gives the same."""
    params = {**QUICK, **NETWORKS}[name]
    method = fitted(name, params)
    test = planted(4, 3).unlabelled()
    proba, embedded = method.predict_proba(test), method.embed(test)
    assert proba.dtype == embedded.dtype == np.float32
    assert proba.shape == (12, 3)
    assert embedded.ndim == 2
    assert len(embedded) == 12
    assert np.isfinite(proba).all()
    assert np.isfinite(embedded).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-4)
    order = np.random.default_rng(0).permutation(12)[:7]
    tolerance = 1e-3 * max(1.0, float(np.abs(embedded).max()))
    np.testing.assert_allclose(method.predict_proba(test.select(order)), proba[order], atol=1e-3)
    np.testing.assert_allclose(method.embed(test.select(order)), embedded[order], atol=tolerance)
    none = test.select(np.empty(0, np.int64))
    assert method.predict_proba(none).shape == (0, 3)
    assert method.embed(none).shape[0] == 0
    method.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    loaded = type(method).load(tmp_path)
    np.testing.assert_allclose(loaded.predict_proba(test), proba, atol=1e-6)
    np.testing.assert_allclose(loaded.embed(test), embedded, atol=1e-5)


@pytest.mark.parametrize("name", ["logdct", "frank", "mccloskey", "npr", "dnadet:second-stage"])
def test_the_same_seed_gives_the_same_answer(name: str) -> None:
    params = {**QUICK, **NETWORKS}[name]
    test = planted(4, 3).unlabelled()
    np.testing.assert_array_equal(
        fitted(name, params, per_source=8).predict_proba(test),
        fitted(name, params, per_source=8).predict_proba(test),
    )


@pytest.mark.parametrize("name", ["logdct", "plain", "durall", "frank", "pixels", "dzanic", "npr"])
def test_one_source_alone_is_no_failure(name: str) -> None:
    train = planted(12, 0)
    one = train.select(train.labels == 1)
    method = method_of(name, {**QUICK, **NETWORKS}[name]).fit(
        one, reference=one, validation=one.select([0, 1]), context=FitContext(budget="smoke")
    )
    proba = method.predict_proba(planted(2, 3).unlabelled())
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-4)


@pytest.mark.parametrize("name", ["logdct", "durall", "npr", "nataraj", "dnadet:second-stage"])
@pytest.mark.parametrize("size", [(17, 23), (16, 33)])
def test_odd_sizes_are_no_failure(name: str, size: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (12, *size, 3), dtype=np.uint8)
    images = ImageSet(pixels, SOURCES, np.arange(12) % 3)
    method = method_of(name, {**QUICK, **NETWORKS}[name]).fit(
        images, reference=images, validation=images, context=FitContext(budget="smoke")
    )
    assert method.predict_proba(images.unlabelled()).shape == (12, 3)


@pytest.mark.parametrize("name", [*QUICK, *NETWORKS])
def test_an_unfitted_method_says_so(name: str) -> None:
    method = method_of(name, {**QUICK, **NETWORKS}[name])
    with pytest.raises(ValueError, match="not fitted"):
        method.predict_proba(planted(1, 0))


def decaying(per_source: int, seed: int) -> ImageSet:
    """Real with white noise; a without its highest frequencies; b with more of them."""
    images = planted(per_source, seed, strength=0.0)
    generator = np.random.default_rng(seed + 100)
    pixels = images.pixels.astype(np.float64)
    changed = [
        pixels,
        gaussian_filter(pixels, (0, 0.5, 0.5, 0)),
        pixels + generator.normal(0, 4, pixels.shape),
    ]
    mixed = np.stack(changed)[images.labels, np.arange(len(images))]
    return ImageSet(np.clip(np.rint(mixed), 0, 255).astype(np.uint8), SOURCES, images.labels)


def coloured(per_source: int, seed: int) -> ImageSet:
    """Real; a that stops short of the extremes; b with red bled into green."""
    images = planted(per_source, seed, strength=0.0)
    pixels = np.clip((images.pixels.astype(np.float64) - 128) * 4 + 128, 0, 255)
    squeezed = 128 + (pixels - 128) * 0.85
    mixed_colours = pixels @ np.array([[1, 0.4, 0], [0, 0.6, 0], [0, 0, 1.0]])
    chosen = np.stack([pixels, squeezed, mixed_colours])[images.labels, np.arange(len(images))]
    return ImageSet(np.rint(chosen).astype(np.uint8), SOURCES, images.labels)


SEEN = {
    "logdct": (planted, 0.95),
    "frank:logistic": (planted, 0.85),
    "durall": (decaying, 0.8),
    "durall:rbf": (decaying, 0.8),
    "durall:logistic": (decaying, 0.8),
    "dzanic": (decaying, 0.9),
    "mccloskey": (coloured, 0.6),
    "mccloskey:channels": (coloured, 0.8),
    "mccloskey:chromaticity": (coloured, 0.7),
}


@pytest.mark.parametrize("name", SEEN)
def test_sees_the_fingerprint_it_is_made_for(name: str) -> None:
    images, least = SEEN[name]
    method = method_of(name, QUICK[name]).fit(
        images(60, 0),
        reference=images(8, 1).of_source("real"),
        validation=images(12, 2),
        context=FitContext(budget="small"),
    )
    test = images(40, 9)
    named = method.predict_proba(test.unlabelled()).argmax(axis=1)
    assert (named == test.labels)[test.labels > 0].mean() >= least


def accuracy_of_small(name: str, params: dict[str, Any]) -> float:
    method = method_of(name, params).fit(
        planted(150, 0),
        reference=planted(150, 1).of_source("real"),
        validation=planted(30, 2),
        context=FitContext(budget="small"),
    )
    test = planted(40, 9)
    named: NDArray[np.int64] = method.predict_proba(test.unlabelled()).argmax(axis=1)
    return float((named == test.labels)[test.labels > 0].mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["frank", "npr"])
def test_a_network_learns_a_planted_fingerprint(name: str) -> None:
    assert accuracy_of_small(name, {}) >= 0.85


def test_floors_see_nothing_where_there_is_nothing() -> None:
    """Without a fingerprint, the best of the quick methods stays near chance."""
    train, test = planted(60, 0, strength=0.0), planted(60, 9, strength=0.0)
    for name in ("logdct", "durall", "pixels"):
        method = method_of(name, {}).fit(
            train,
            reference=train.of_source("real"),
            validation=planted(10, 2, strength=0.0),
            context=FitContext(),
        )
        hits = method.predict_proba(test.unlabelled()).argmax(axis=1) == test.labels
        # Five standard deviations of 180 guesses among three.
        assert abs(hits.mean() - 1 / 3) < 5 * np.sqrt(2 / 9 / 180)


def test_baselines_name_no_paper() -> None:
    """They claim no fingerprint, so nothing of theirs may read like a paper's method."""
    usable, _ = registry.usable_methods()
    found = {name for name, cls in usable.items() if cls.card.baseline}
    assert {"majority", "pixels", "plain", "logdct"} <= found
    for name in found:
        card = registry.method_class(name).card
        assert card.title.startswith("Baseline: ")
        assert card.url == ""
        assert "eprint" not in card.citation and "arxiv" not in card.citation.lower()
        page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
        assert "arxiv" not in page.lower() and "eprint" not in page


PAGES = Path(__file__).parents[2] / "docs" / "methods"


@pytest.mark.parametrize(
    "name",
    sorted({n.partition(":")[0] for n in (*QUICK, *NETWORKS)} | {"wang", "marra18", "inception"}),
)
def test_a_page_describes_the_method(name: str) -> None:
    """It names the paper, every variant and budget, and gives the card's citation."""
    card = registry.method_class(name).card
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert card.name == name
    assert card.title in page
    assert card.citation in page
    assert all(f"`{variant}`" in page for variant in card.variants)
    assert "Commonly got wrong" in page
    assert card.faithful
    assert card.authors
    assert card.licence
