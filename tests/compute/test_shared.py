import time

import numpy as np
import pytest
from numpy.typing import NDArray

from fpbench.compute.shared import SharedRows, digest


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


class Sums:
    """Sums of images that counts how many it has computed."""

    def __init__(self) -> None:
        self.computed = 0

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        self.computed += len(pixels)
        return pixels.reshape(len(pixels), -1).astype(float)


def test_each_image_is_computed_once_whatever_the_order_and_batch() -> None:
    shared, sums, pixels = SharedRows(), Sums(), images(20)
    expected = pixels.reshape(20, -1).astype(float)
    np.testing.assert_array_equal(shared.rows("sum", pixels, sums), expected)
    order = np.random.default_rng(1).permutation(20)
    np.testing.assert_array_equal(shared.rows("sum", pixels[order], sums), expected[order])
    np.testing.assert_array_equal(shared.rows("sum", pixels[3:5], sums), expected[3:5])
    assert sums.computed == 20
    mixed = np.concatenate([pixels[:2], images(3, seed=5)])
    np.testing.assert_array_equal(shared.rows("sum", mixed, sums), mixed.reshape(5, -1))
    assert sums.computed == 23


def test_kinds_are_apart() -> None:
    shared, sums = SharedRows(), Sums()
    shared.rows(("wavelet", 4), images(2), sums)
    shared.rows(("wavelet", 3), images(2), sums)
    assert sums.computed == 4


def test_results_can_be_written_to_without_spoiling_what_is_kept() -> None:
    shared, sums, pixels = SharedRows(), Sums(), images(3)
    first = shared.rows("sum", pixels, sums)
    first[:] = -1
    assert (shared.rows("sum", pixels, sums) >= 0).all()


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    row = images(1)[0].size * 8
    shared, sums = SharedRows(room=5 * row), Sums()
    pixels = images(8)
    shared.rows("sum", pixels, sums)
    shared.rows("sum", pixels[3:], sums)
    assert sums.computed == 8
    shared.rows("sum", pixels[:1], sums)
    assert sums.computed == 9
    np.testing.assert_array_equal(
        SharedRows(room=0).rows("sum", pixels, sums), pixels.reshape(8, -1)
    )


def test_what_reuse_saves_is_counted() -> None:
    shared, pixels = SharedRows(), images(4)

    def slow(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        time.sleep(0.2)
        return batch

    shared.rows("slow", pixels, slow)
    assert shared.saved == 0
    shared.rows("slow", pixels, slow)
    saved = shared.saved
    assert saved == pytest.approx(0.2, rel=0.2)
    shared.clear()
    assert shared.saved == saved


def test_indexes_are_built_once_per_content() -> None:
    shared = SharedRows()
    calls: list[int] = []

    def build(array: NDArray[np.uint8]) -> int:
        calls.append(len(array))
        return len(array)

    assert shared.built("index", images(5), build) == 5
    assert shared.built("index", images(5), build) == 5
    assert shared.built("index", images(6), build) == 6
    assert calls == [5, 6]


def test_a_wrong_number_of_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="1 values were computed for 3 images"):
        SharedRows().rows("bad", images(3), lambda pixels: pixels[:1])


def test_digest_tells_shape_and_type_apart() -> None:
    flat = np.zeros(12, np.uint8)
    assert digest(flat) != digest(flat.reshape(3, 4))
    assert digest(flat) != digest(np.zeros(3, np.float32))
    assert digest(flat) == digest(flat.copy())


def test_a_stream_of_images_holds_little_and_leaves_the_room_as_it_was() -> None:
    shared = SharedRows(room=1 << 20)
    images = np.arange(4 * 100, dtype=np.float64).reshape(4, 100)
    with pytest.raises(KeyError), shared.holding(1600):
        shared.rows("double", images, lambda some: 2 * some)
        assert len(shared._rows) == 2
        raise KeyError
    assert shared._room == 1 << 20 and not shared._rows
