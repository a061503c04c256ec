"""Sources that share their images position by position are told from those that do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fpbench.datasets.resolve import resolve
from fpbench.datasets.twins import Twins, shared_positions


def _sources(**images: np.ndarray) -> list[Twins]:
    names = {
        source: [f"{source}/{k:04d}.png" for k in range(len(own))] for source, own in images.items()
    }
    return shared_positions(names, lambda source, chosen: images[source][list(chosen)])


def _levels(images: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    return np.asarray(resolve("gm-mini").load().test.of_source("real").pixels)


def _brighter(images: np.ndarray, noise: float = 6.0) -> np.ndarray:
    generator = np.random.default_rng(1)
    return _levels(images + 25.0 + generator.normal(0, noise, images.shape))


def test_one_training_taken_for_two_is_found(real: np.ndarray) -> None:
    (found,) = _sources(one=real[:60], two=_brighter(real[:60]), three=real[60:120])
    assert (found.first, found.second, found.images) == ("one", "two", 60)
    assert found.same > 0.5 > 0.1 > abs(found.other)
    assert found.low < found.same - found.other < found.high


def test_the_same_images_at_other_positions_are_not_told_here(real: np.ndarray) -> None:
    assert _sources(one=real[:60], two=_brighter(real[:60])[::-1]) == []


def test_names_go_before_the_order(real: np.ndarray) -> None:
    copies = _brighter(real[:60])
    kept = np.delete(np.arange(60), [3, 30])
    images = {"one": real[:60], "two": copies[kept]}

    def look(two: Sequence[str]) -> list[Twins]:
        names = {"one": [f"one-train-{k:05d}" for k in range(60)], "two": two}
        return shared_positions(names, lambda source, chosen: images[source][list(chosen)])

    assert [t.images for t in look([f"two-train-{k:05d}" for k in kept])] == [58]
    # In the order of names most are still one or two positions apart from their twins.
    assert look([f"img{k:05d}" for k in kept]) == []
    images["two"] = copies
    assert [t.images for t in look([f"img{k:05d}" for k in range(60)])] == [60]


def test_a_fingerprint_that_all_images_have_does_not_count(real: np.ndarray) -> None:
    pattern = np.random.default_rng(2).normal(0, 20, real.shape[1:])
    found = _sources(one=_levels(real[:60] + pattern), two=_levels(real[60:120] + pattern))
    assert found == []


def test_sources_of_a_dataset_do_not_share_positions() -> None:
    dataset = resolve("gm-mini").load()
    images = {
        source.name: np.asarray(dataset.train.of_source(source.name).pixels)
        for source in dataset.sources
    }
    assert _sources(**images) == []


def test_large_images_are_compared_in_their_middle() -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, 150, 90, 3)).astype(np.uint8)
    (found,) = _sources(one=images, two=_levels(images * 0.8))
    assert found.same == pytest.approx(1, abs=0.01)


def test_few_images_say_nothing(real: np.ndarray) -> None:
    assert _sources(one=real[:7], two=_brighter(real[:7])) == []
    assert _sources(one=real[:60], two=real[:0]) == []
