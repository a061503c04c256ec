"""Exact neighbours against a brute force in double precision, on easy and on nasty inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fpbench.compute import neighbors, row_distances, threads
from fpbench.compute.neighbors import ExactNeighbors, parse_memory
from fpbench.compute.projections import ImageProjection, RowProjection


def brute_force(
    reference: NDArray[Any], queries: NDArray[Any], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """All distances in double precision; a stable sort keeps the lowest of equal indices.

    Bytes by ``|x|² + |y|² − 2x·y``, whose every term is an integer that float64 holds; floats
    by differences.
    """
    rows = reference.reshape(len(reference), -1).astype(np.float64)
    asked = queries.reshape(len(queries), rows.shape[1]).astype(np.float64)
    if reference.dtype == np.uint8:
        squares = (asked**2).sum(1)[:, None] + (rows**2).sum(1) - 2 * asked @ rows.T
    else:
        squares = np.array([((rows - row) ** 2).sum(1) for row in asked]).reshape(-1, len(rows))
    nearest = np.argsort(squares, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squares, nearest, axis=1)), nearest


def check(reference: NDArray[Any], queries: NDArray[Any], k: int = 1, memory: str = "1GiB") -> None:
    distances, indices = ExactNeighbors(reference, memory=memory).search(queries, k)
    expected_distances, expected_indices = brute_force(reference, queries, k)
    assert distances.dtype == np.float64 and indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-4, atol=0)


def photographs(
    count: int, height: int, width: int, seed: int, channels: int = 3
) -> NDArray[np.uint8]:
    """Images with the falling spectra of photographs, in groups of similar ones.

    A few smooth random scenes, each seen many times: shifted, brighter or darker, and noisy.
    """
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    falloff = 1 / (np.hypot(y, x) + 1 / max(height, width))
    scenes = rng.normal(size=(max(2, count // 20), height, width, channels))
    scenes[..., 1:] = 0.2 * scenes[..., 1:] + scenes[..., :1]
    spectra = np.fft.fft2(scenes, axes=(1, 2)) * falloff[None, :, :, None]
    scenes = np.fft.ifft2(spectra, axes=(1, 2)).real
    scenes *= 55 / scenes.std()
    images = np.empty((count, height, width, channels), np.uint8)
    for image in images:
        scene = scenes[rng.integers(len(scenes))] * rng.uniform(0.8, 1.2) + rng.uniform(108, 148)
        scene = np.roll(scene, rng.integers(-2, 3, 2), axis=(0, 1))
        image[...] = np.clip(np.round(scene + rng.normal(0, 3, scene.shape)), 0, 255)
    return images


@pytest.mark.parametrize(
    ("size", "channels", "count", "k"),
    [((32, 32), 3, 1500, 1), ((32, 32), 3, 1500, 5), ((109, 89), 3, 300, 1), ((64, 130), 3, 300, 4),
     ((20, 37), 1, 400, 1), ((256, 256), 3, 260, 2), ((33, 9), 4, 300, 3)],
)  # fmt: skip
def test_images(size: tuple[int, int], channels: int, count: int, k: int) -> None:
    images = photographs(count + 40, *size, seed=0, channels=channels)
    check(images[40:], images[:40], k)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features(k: int, dtype: type) -> None:
    """Features of falling variance, far from the origin."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(1100, 600)) * np.arange(1, 601) ** -0.7 + 3
    check(features[100:].astype(dtype), features[:100].astype(dtype), k)


def test_features_that_no_projection_can_tell_apart() -> None:
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(900, 1500)).astype(np.float32)
    check(rows[100:], rows[:100])
    check(rows[100:], rows[:100], k=4)


def test_noise_images_are_measured_by_products(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = row_distances.all_distances
    monkeypatch.setattr(
        neighbors, "all_distances", lambda *a: calls.append(len(a[0])) or original(*a)
    )
    images = np.random.default_rng(3).integers(0, 256, (1000, 24, 24, 3), dtype=np.uint8)
    check(images[300:], images[:300])
    assert calls
    check(images[300:], images[:300], k=7)


def test_most_images_are_excluded_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """On smooth images only a few rows of the reference are ever measured."""
    pairs = []
    original = row_distances.pair_distances
    monkeypatch.setattr(
        neighbors, "pair_distances", lambda *a: pairs.append(len(a[1])) or original(*a)
    )
    monkeypatch.setattr(neighbors, "all_distances", None)
    images = photographs(2100, 32, 32, seed=4)
    check(images[100:], images[:100])
    assert sum(pairs) < 0.05 * 100 * 2000


@pytest.mark.parametrize("k", [1, 3])
def test_copies_come_in_the_order_of_their_indices(k: int) -> None:
    images = photographs(300, 32, 32, seed=5)
    rng = np.random.default_rng(5)
    check(images[rng.integers(0, 60, 900)], images[:100], k)
    floats = rng.normal(size=(40, 300)).astype(np.float32)
    check(floats[rng.integers(0, 40, 700)], floats, k)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("k", [1, 4])
def test_a_reference_of_copies_of_one_row(dtype: type, k: int) -> None:
    images = np.full((600, 32, 32, 3), 77, dtype)
    queries = np.concatenate([images[:3], photographs(5, 32, 32, seed=6).astype(dtype)])
    distances, indices = ExactNeighbors(images).search(queries, k)
    np.testing.assert_array_equal(indices, np.tile(np.arange(k), (8, 1)))
    assert (distances[:3] == 0).all() and (distances[3:] > 0).all()


def test_constant_images_and_extremes() -> None:
    levels = np.arange(256, dtype=np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (256, 32, 32, 3))
    queries = np.concatenate([images[[0, 100, 255]], photographs(20, 32, 32, seed=7)])
    check(images, queries)
    check(images, queries, k=3)
    checkers = np.zeros((300, 32, 32, 3), np.uint8)
    for number in range(300):
        checkers[number].reshape(-1)[number::300] = 255
    check(checkers, 255 - checkers, k=2)


def test_an_image_among_the_reference_finds_itself() -> None:
    images = photographs(500, 48, 48, seed=8)
    distances, indices = ExactNeighbors(images).search(images[::7])
    np.testing.assert_array_equal(indices[:, 0], np.arange(0, 500, 7))
    assert (distances == 0).all()


def test_near_ties_are_told_apart() -> None:
    """References that differ from a query by almost the same amount, in different pixels."""
    query = photographs(1, 64, 64, seed=9).clip(40, 200)
    reference = np.repeat(query, 400, axis=0).reshape(400, -1)
    rng = np.random.default_rng(9)
    for number in range(400):
        changed = rng.permutation(reference.shape[1])[: 2000 + (number * 7919) % 400]
        reference[number, changed] += 1
    check(reference.reshape(400, 64, 64, 3), query, k=10)


def test_memory_mapped_read_only_and_strided(tmp_path: Path) -> None:
    images = photographs(900, 32, 32, seed=10)
    np.save(tmp_path / "pixels.npy", images)
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    check(mapped[30:], mapped[:30])
    check(mapped[30::2, ::-1, 1:30, ::-1], mapped[:30, ::-1, 1:30, ::-1])
    features = np.asfortranarray(np.random.default_rng(0).normal(size=(600, 700)))
    check(features[::2], features[1:41:2])
    check(images.reshape(900, -1)[30:], images.reshape(900, -1)[:30])


@pytest.mark.parametrize("memory", ["1", "200KiB", "3MiB"])
def test_little_memory_changes_nothing(memory: str) -> None:
    images = photographs(500, 32, 32, seed=11)
    check(images[20:], images[:20], k=2, memory=memory)
    features = np.random.default_rng(11).normal(size=(420, 300)).astype(np.float32)
    check(features[20:], features[:20], k=2, memory=memory)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "thread_count", lambda: 3)
    images = photographs(900, 32, 32, seed=17)
    check(images[50:], images[:50], k=2)
    features = np.random.default_rng(17).normal(size=(700, 300)) * np.arange(1, 301) ** -1.0
    check(features[50:], features[:50])


def test_small_problems() -> None:
    rng = np.random.default_rng(12)
    for count, values in [(1, 1), (2, 3), (300, 4), (5, 400), (300, 300)]:
        check(
            rng.integers(0, 9, (count, values), dtype=np.uint8),
            rng.integers(0, 9, (7, values), dtype=np.uint8),
            k=min(2, count),
        )
        check(rng.normal(size=(count, values)), rng.normal(size=(7, values)), k=count)
    found = ExactNeighbors(np.zeros((3, 2))).search(np.zeros((0, 2)), k=2)
    assert found[0].shape == found[1].shape == (0, 2)


def test_scales_and_offsets_of_floats() -> None:
    rng = np.random.default_rng(13)
    rows = rng.normal(size=(500, 400)) * np.arange(1, 401) ** -0.5
    for scale, offset in [(1e-6, 0.0), (1e6, 0.0), (1.0, 1e4), (1e-3, 1.0)]:
        scaled = (rows * scale + offset).astype(np.float32)
        check(scaled[50:], scaled[:50], k=2)
    far = rows.astype(np.float32)
    far[3] += 1e6
    check(far[50:], far[:50])
    check(far[:450], far[450:])


def test_queries_far_from_the_reference() -> None:
    images = photographs(600, 32, 32, seed=14)
    check(images // 8, 255 - images[:40] // 8, k=3)


def test_bad_input_is_refused() -> None:
    rows = np.ones((300, 300), np.float32)
    with pytest.raises(ValueError, match="no rows"):
        ExactNeighbors(rows[:0])
    for empty in (rows[:, :0], rows[0], np.zeros((4, 0, 8, 3), np.uint8)):
        with pytest.raises(ValueError, match="at least one value"):
            ExactNeighbors(empty)
    with pytest.raises(ValueError, match="int64"):
        ExactNeighbors(rows.astype(np.int64))
    search = ExactNeighbors(rows).search
    for k in (0, 301):
        with pytest.raises(ValueError, match=f"{k} neighbours cannot be found among 300 rows"):
            search(rows, k)
    with pytest.raises(ValueError, match=r"\(299,\).*\(300,\)"):
        search(rows[:, :299])
    with pytest.raises(ValueError, match="queries are uint8"):
        search(rows.astype(np.uint8))
    with pytest.raises(ValueError, match="at least one value"):
        search(rows[0])


@pytest.mark.parametrize("shape", [(300, 300), (20, 20)])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_values_that_are_not_finite_are_refused(shape: tuple[int, int], bad: float) -> None:
    rows = np.random.default_rng(15).normal(size=shape).astype(np.float32)
    broken = rows.copy()
    broken[7, 5] = bad
    with pytest.raises(ValueError, match="not finite or too large"):
        ExactNeighbors(broken).search(rows)
    with pytest.raises(ValueError, match="not finite or too large"):
        ExactNeighbors(rows).search(broken)


@pytest.mark.parametrize(
    ("text", "size"), [("1GiB", 2**30), ("512 MiB", 2**29), ("1.5kib", 1536), ("77", 77)]
)
def test_memory_is_read(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "lots", "1GB", "-1GiB", "0", "1 GiB free"])
def test_other_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="memory"):
        ExactNeighbors(np.ones((2, 2)), memory=text)


@pytest.mark.parametrize("size", [(32, 32), (70, 45), (256, 256), (130, 260)])
def test_projections_never_lengthen_a_distance(size: tuple[int, int]) -> None:
    images = photographs(40, *size, seed=16)
    images[:4] = np.random.default_rng(0).integers(0, 256, images[:4].shape)
    images[4:6] = 200
    rows = images.reshape(40, -1).astype(np.float64)
    squares = (rows**2).sum(axis=1)
    true = np.sqrt(squares[:, None] + squares - 2 * rows @ rows.T)
    for projection, given in (
        (ImageProjection(images, 100), images),
        (ImageProjection(images, 100_000), images),
        (RowProjection(images[:20].astype(np.float32), 12), images.astype(np.float32)),
    ):
        out = np.empty((40, projection.dimension), np.float32)
        projection.apply(given, out)
        short = out.astype(np.float64)
        bound = np.sqrt(((short[:, None] - short[None]) ** 2).sum(axis=2))
        slack = 2 * projection.error(np.linalg.norm(short, axis=1)).max()
        assert (bound <= true + slack).all()
        assert slack < 0.02 * np.median(true[true > 0])
        alike = (true > 0) & (np.arange(40) >= 6) & (np.arange(40)[:, None] >= 6)
        assert np.median(bound[alike] / true[alike]) > 0.5
