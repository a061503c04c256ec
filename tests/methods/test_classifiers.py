from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC

from fpbench_methods.bases.choice import LogisticOrForest
from fpbench_methods.bases.classifiers import (
    Classifier,
    LinearSVM,
    LogisticRegression,
    NearestNeighbours,
    RadialSVM,
)
from fpbench_methods.bases.features import CLASSIFIERS
from fpbench_methods.bases.forest import RandomForest

Rows = tuple[NDArray[np.float64], NDArray[np.int64]]
EVERY: list[Callable[[], Classifier]] = [
    LogisticRegression,
    LinearSVM,
    RadialSVM,
    NearestNeighbours,
    lambda: RandomForest(25),
    lambda: LogisticOrForest(trees=25),
]


def clusters(per_class: int, seed: int, classes: int = 3, spread: float = 1.0) -> Rows:
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(0, 2, (classes, 5))
    labels = np.repeat(np.arange(classes), per_class)
    return centres[labels] + generator.normal(0, spread, (len(labels), 5)), labels


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_that_of_scikit_learn(classes: int) -> None:
    train, validation, test = (clusters(40, seed, classes) for seed in (1, 2, 3))
    expected = SklearnLogistic(C=0.3, max_iter=1000, tol=1e-3).fit(*train).predict_proba(test[0])
    found = LogisticRegression((0.3,)).fit(train, validation, classes=classes)
    np.testing.assert_allclose(found.predict_proba(test[0]), expected, atol=1e-6)


def test_linear_svm_scores_are_those_of_liblinear() -> None:
    train, validation, test = (clusters(40, seed) for seed in (1, 2, 3))
    expected = LinearSVC(C=0.5, random_state=7).fit(*train).decision_function(test[0])
    found = LinearSVM((0.5,)).fit(train, validation, classes=3, seed=7)
    np.testing.assert_allclose(found.scores(test[0]), expected, rtol=1e-3, atol=1e-3)
    assert (found.predict_proba(test[0]).argmax(axis=1) == expected.argmax(axis=1)).all()


def test_radial_svm_scores_are_those_of_libsvm() -> None:
    train, validation, test = (clusters(40, seed) for seed in (1, 2, 3))
    found = RadialSVM(c=6.37, gamma=0.86).fit(train, validation, classes=3).scores(test[0])
    for k in range(3):
        machine = SVC(C=6.37, gamma=0.86).fit(train[0], train[1] == k)
        np.testing.assert_allclose(found[:, k], machine.decision_function(test[0]), atol=1e-9)


def test_neighbours_vote_as_in_scikit_learn() -> None:
    train, validation, test = (clusters(40, seed, spread=2.0) for seed in (1, 2, 3))
    votes = KNeighborsClassifier(5).fit(*train).predict_proba(test[0]) * 5
    found = NearestNeighbours(5).fit(train, validation, classes=3).predict_proba(test[0])
    np.testing.assert_allclose(found, (votes + 1 / 3) / 6, atol=1e-6)


@pytest.mark.parametrize("kind", [LogisticRegression, LinearSVM])
def test_the_penalty_is_chosen_on_validation(
    kind: type[LogisticRegression] | type[LinearSVM],
) -> None:
    train, validation = clusters(6, 1, spread=3.0), clusters(200, 2, spread=3.0)
    grid = (1e-6, 1e-2, 1.0, 100.0)

    def loss(classifier: Classifier) -> float:
        proba = classifier.predict_proba(validation[0])
        return -float(np.log(proba[np.arange(600), validation[1]]).mean())

    alone = [loss(kind((c,)).fit(train, validation, classes=3)) for c in grid]
    chosen = kind(grid).fit(train, validation, classes=3)
    assert chosen.c == grid[int(np.argmin(alone))]
    assert loss(chosen) == pytest.approx(min(alone), abs=1e-6)


@pytest.mark.parametrize("make", EVERY)
def test_a_source_without_training_vectors_is_never_named(
    make: Callable[[], Classifier],
) -> None:
    train, validation, test = (clusters(30, seed) for seed in (1, 2, 3))
    kept = train[1] != 1
    found = make().fit((train[0][kept], train[1][kept]), validation, classes=3)
    proba = found.predict_proba(test[0])
    assert np.isfinite(proba).all()
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert (proba.argmax(axis=1) != 1).all()


@pytest.mark.parametrize("make", EVERY)
def test_one_source_alone_is_always_named(make: Callable[[], Classifier]) -> None:
    train, test = clusters(10, 1), clusters(5, 2)
    kept = train[1] == 2
    one = train[0][kept], train[1][kept]
    proba = make().fit(one, one, classes=3).predict_proba(test[0])
    assert np.isfinite(proba).all()
    assert (proba.argmax(axis=1) == 2).all()


@pytest.mark.parametrize("make", EVERY)
def test_state_restores_the_same_classifier(make: Callable[[], Classifier]) -> None:
    train, validation, test = (clusters(30, seed) for seed in (1, 2, 3))
    fitted = make().fit(train, validation, classes=3)
    arrays, facts = fitted.state()
    restored = CLASSIFIERS[fitted.kind].restore(arrays, facts)
    np.testing.assert_array_equal(restored.predict_proba(test[0]), fitted.predict_proba(test[0]))


@pytest.mark.parametrize("make", EVERY)
def test_no_validation_vectors_are_no_failure(make: Callable[[], Classifier]) -> None:
    train, test = clusters(30, 1), clusters(10, 3)
    empty = np.empty((0, 5)), np.empty(0, np.int64)
    proba = make().fit(train, empty, classes=3).predict_proba(test[0])
    assert (proba.argmax(axis=1) == test[1]).mean() > 0.8
