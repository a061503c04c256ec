"""Images are selected, across sets too, without copying more than was chosen."""

from pathlib import Path

import numpy as np
import pytest

from fpbench.images import ImageSet, Source, select_across

SOURCES = (Source("real", "Real", "photographs"), Source("a", "GAN", "A"))


def images(count: int, seed: int, folder: Path | None = None) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 6, 5, 3)).astype(np.uint8)
    if folder is not None:
        np.save(folder / f"{seed}.npy", pixels)
        pixels = np.load(folder / f"{seed}.npy", mmap_mode="r")
    ids = [f"{seed}-{index}" for index in range(count)]
    return ImageSet(pixels, SOURCES, rng.integers(0, 2, count), ids)


@pytest.mark.parametrize("seed", range(6))
def test_selecting_across_sets_is_pooling_and_selecting(tmp_path: Path, seed: int) -> None:
    parts = [images(count, seed + 10 * count, tmp_path) for count in (7, 1, 12)]
    parts.insert(1, images(0, 1))
    pooled = ImageSet(
        np.concatenate([part.pixels for part in parts]),
        SOURCES,
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.ids for part in parts]).tolist(),
    )
    rng = np.random.default_rng(seed)
    masks = [rng.random(20) < 0.5, np.zeros(20, bool), np.ones(20, bool)]
    for indices in (*masks, rng.permutation(20), np.array([3, 3, 19, 0])):
        one, other = select_across(parts, indices), pooled.select(indices)
        assert one.pixels.dtype == np.uint8 and one.pixels.flags.c_contiguous
        assert (one.pixels == other.pixels).all() and (one.ids == other.ids).all()
        assert (one.labels == other.labels).all() and one.sources == other.sources


def test_large_images_are_copied_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fpbench.images._AT_ONCE", 200)
    parts = [images(9, 1), images(4, 2)]
    chosen = select_across(parts, np.arange(12, -1, -1))
    assert (chosen.pixels[::-1] == np.concatenate([part.pixels for part in parts])).all()


def test_sets_that_do_not_belong_together_are_refused() -> None:
    other = ImageSet(np.zeros((2, 6, 4, 3), np.uint8), SOURCES, [0, 1])
    with pytest.raises(ValueError, match="other sources or sizes"):
        select_across([images(3, 0), other], [0])
    for index in (3, -1):
        with pytest.raises(IndexError):
            select_across([images(3, 0)], [index])
