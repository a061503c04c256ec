import numpy as np
import pytest

from fpbench.images import Source
from fpbench.scores.evidence import PROBABILITIES, Evidence, Labels

REAL = Source("photographs", "Real", "photographs")
A, B, C = (Source(name, "GAN", name.upper()) for name in "abc")


def labels(tested: tuple[Source, ...], columns: tuple[Source, ...], *y: int) -> Labels:
    return Labels(np.asarray([f"i{k}" for k in range(len(y))]), np.asarray(y), tested, columns)


def test_generators_are_counted_without_real_wherever_it_stands() -> None:
    found = labels((A, REAL, B, C), (A, REAL, B, C), 0, 1, 2, 3, 1, 2)
    assert found.real == 1 and found.generators.tolist() == [0, 2, 3]
    assert found.generated.tolist() == [True, False, True, True, False, True]
    assert found.among_generators.tolist() == [0, 1, 2, 1]
    train = np.asarray([3, 1, 0])
    assert found.made_by_generator(train).tolist() == [True, False, True]
    assert found.count_among_generators(train[[0, 2]]).tolist() == [2, 0]


def test_columns_are_those_trained_on_and_need_not_be_those_tested() -> None:
    found = labels((B, REAL), (REAL, A), 0, 1, 0)
    assert found.real == 0 and found.generators.tolist() == [0]
    assert found.among_generators.tolist() == [0, 0]
    assert labels((B,), (A, B), 0).real is None


def test_bags_are_read_from_their_arrays_by_size() -> None:
    arrays: dict[str, np.ndarray] = {PROBABILITIES: np.zeros((4, 2), np.float32)}
    for size in (100, 25, 9):
        arrays[f"bag{size}_members"] = np.zeros((3, size), np.int64)
        arrays[f"bag{size}_labels"] = np.asarray([0, 1, 1])
        arrays[f"bag{size}_proba"] = np.full((3, 2), 0.5, np.float64)
    found = Evidence(arrays).bags
    assert [bag.size for bag in found] == [9, 25, 100]
    assert found[1].members.shape == (3, 25) and found[1].proba.dtype == np.float32
    assert Evidence({PROBABILITIES: arrays[PROBABILITIES]}).bags == ()
    with pytest.raises(KeyError):
        Evidence(arrays).floats("correlations")
