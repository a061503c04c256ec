"""Folds are memory-mapped as the dataset's own splits are, and hold the same images."""

import mmap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fpbench.datasets import cache
from fpbench.datasets.dataset import DatasetIdentity, GMDataset
from fpbench.images import ImageSet, Source
from fpbench.runs.splits import Splits, splits_of

SOURCES = (Source("real", "Real", "photographs"), Source("a", "GAN", "A"))


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GMDataset:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    sets = {}
    for split, count in (("reference", 5), ("train", 20), ("validation", 8), ("test", 13)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), np.uint8)
        np.save(tmp_path / f"{split}.npy", pixels)
        mapped = np.load(tmp_path / f"{split}.npy", mmap_mode="r")
        ids = [f"{split}-{index}" for index in range(count)]
        sets[split] = ImageSet(mapped, SOURCES, np.arange(count) % 2, ids)
    identity = DatasetIdentity("folds", "1", "0" * 64, "")
    return GMDataset(identity, SOURCES, **sets, fdr_samples=2, fdr_dimensions=1)


def is_mapped(pixels: NDArray[np.uint8]) -> bool:
    owner: object = pixels
    while isinstance(owner, np.ndarray):
        owner = owner.base
    return isinstance(owner, mmap.mmap)


def contents(splits: Splits) -> list[tuple[bytes, list[int], list[str]]]:
    return [
        (np.asarray(part.pixels).tobytes(), part.labels.tolist(), part.ids.tolist())
        for part in (splits.train, splits.validation, splits.test)
    ]


def test_large_folds_are_mapped_and_nothing_stays(
    dataset: GMDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [splits_of(dataset, fold, 4) for fold in range(4)]
    assert not any(is_mapped(splits.train.pixels) for splits in small)
    monkeypatch.setattr(cache, "WORTH_A_FILE", 0)
    for fold, expected in enumerate(small):
        large = splits_of(dataset, fold, 4)
        assert all(is_mapped(p.pixels) for p in (large.train, large.validation, large.test))
        assert not large.train.pixels.flags.writeable
        assert contents(large) == contents(expected)
        # What was let go of is read again where somebody asks.
        assert (np.asarray(dataset.train.pixels) == np.load(tmp_path / "train.npy")).all()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_done_without(
    dataset: GMDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = splits_of(dataset, 1, 4)
    monkeypatch.setattr(cache, "WORTH_A_FILE", 0)
    (tmp_path / "cache").write_text("a file, no folder")
    found = splits_of(dataset, 1, 4)
    assert not is_mapped(found.train.pixels) and contents(found) == contents(expected)
    monkeypatch.setattr(cache, "_require_space", lambda folder, size: None)
    monkeypatch.setenv(cache.CACHE_VARIABLE, "~nobody-of-that-name/x")
    assert contents(splits_of(dataset, 1, 4)) == contents(expected)


def test_what_may_have_been_written_is_kept(tmp_path: Path) -> None:
    private = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(4, 8, 8, 3))
    private[:] = 7
    copied = np.memmap(tmp_path / "x", np.uint8, "c", shape=(4, 8, 8, 3))
    copied[:] = 9
    for pixels in (private, copied[1:], np.zeros((4, 8, 8, 3), np.uint8)):
        before = np.array(pixels)
        cache.release(pixels)
        assert (pixels == before).all()
