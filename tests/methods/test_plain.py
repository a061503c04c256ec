"""The plain-statistics baseline: its 21 numbers, its forest, and how it chooses."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import convolve
from sklearn.ensemble import RandomForestClassifier

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext
from fpbench_methods.bases.choice import LogisticOrForest
from fpbench_methods.bases.forest import RandomForest
from fpbench_methods.plain import Plain
from fpbench_methods.plain.statistics import plain_statistics

SOURCES = tuple(Source(name, "Synthetic", name) for name in "abc")
Rows = tuple[NDArray[np.float64], NDArray[np.int64]]


def test_the_numbers_are_those_of_scipy() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), dtype=np.uint8)
    pixels[0, :2] = 0
    pixels[1, 3] = 255
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    found = plain_statistics(pixels).reshape(4, 7, 3)
    for i in range(4):
        for c in range(3):
            x = pixels[i, :, :, c].astype(float)
            expected = [
                np.mean(x),
                np.sqrt(np.mean(x**2) - np.mean(x) ** 2),
                np.mean([abs(x[r, k + 1] - x[r, k]) for r in range(9) for k in range(6)]),
                np.mean([abs(x[r + 1, k] - x[r, k]) for r in range(8) for k in range(7)]),
                np.mean(np.abs(convolve(x, kernel)[1:-1, 1:-1])),
                (x == 0).sum() / 63,
                (x == 255).sum() / 63,
            ]
            np.testing.assert_allclose(found[i, :, c], expected, rtol=1e-9)


def squares(count: int, seed: int) -> Rows:
    """Three classes in a pattern of squares, which no linear classifier can tell apart."""
    rows = np.random.default_rng(seed).uniform(0, 3, (count, 2))
    return rows, (np.floor(rows).sum(axis=1) % 3).astype(np.int64)


def lines(count: int, seed: int) -> Rows:
    """Three classes apart along one direction, with much noise across."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    rows = generator.normal(0, 1, (count, 12))
    rows[:, :6] += 0.8 * labels[:, None] * np.array([1, -1, 1, -1, 1, -1])
    return rows, labels


def test_the_forest_is_walked_as_scikit_learn_walks_it() -> None:
    (train, labels), (unseen, _) = squares(200, 0), squares(50, 1)
    forest = RandomForest(20).fit((train, labels), (train[:0], labels[:0]), classes=3, seed=4)
    theirs = RandomForestClassifier(20, random_state=4).fit(train.astype(np.float32), labels)
    expected = (20 * theirs.predict_proba(unseen.astype(np.float32)) + 1 / 3) / 21
    np.testing.assert_allclose(forest.predict_proba(unseen), expected, atol=1e-6)
    nodes = sum(tree.tree_.node_count for tree in theirs.estimators_)
    leaves = sum(tree.tree_.n_leaves for tree in theirs.estimators_)
    assert forest.parameter_count() == 2 * (nodes - leaves) + 3 * leaves


def test_a_source_without_training_vectors_gets_next_to_nothing() -> None:
    rows, labels = squares(60, 0)
    forest = RandomForest(9).fit((rows, labels), (rows[:0], labels[:0]), classes=5)
    assert forest.predict_proba(rows)[:, 3:] == pytest.approx(1 / 50)


@pytest.mark.parametrize(("made", "kind"), [(squares, "forest"), (lines, "logistic")])
def test_the_better_on_validation_decides(made: object, kind: str) -> None:
    train, validation, unseen = (made(n, s) for n, s in ((150, 0), (150, 1), (40, 2)))  # type: ignore[operator]
    both = LogisticOrForest((0.1, 1.0), trees=30).fit(train, validation, classes=3)
    assert both.chosen.kind == kind
    again = LogisticOrForest.restore(*both.state())
    np.testing.assert_array_equal(again.predict_proba(unseen[0]), both.predict_proba(unseen[0]))


def test_brightness_and_clipping_are_all_that_it_needs() -> None:
    def images(count: int, seed: int) -> ImageSet:
        generator = np.random.default_rng(seed)
        labels = np.arange(count) % 3
        pixels = (
            generator.normal(100, 30, (count, 8, 8, 3)) + 25 * (labels == 1)[:, None, None, None]
        )
        pixels[labels == 2, 0] = 255
        return ImageSet(np.clip(pixels, 0, 255).astype(np.uint8), SOURCES, labels)

    train = images(60, 0)
    method = Plain().fit(
        train, reference=train, validation=images(30, 1), context=FitContext(budget="smoke")
    )
    unseen = images(60, 2)
    assert (method.predict_proba(unseen.unlabelled()).argmax(axis=1) == unseen.labels).mean() > 0.9
    assert method.embed(unseen).shape == (60, 21)
