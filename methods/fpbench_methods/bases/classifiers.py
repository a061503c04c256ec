"""Classifiers of feature vectors, kept as plain arrays so that they are saved without pickle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fpbench_methods.bases.calibration import fit_temperature, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.floating]
    Labels = NDArray[np.int64]

_ROWS = 1024  # rows of a kernel matrix at a time


class Classifier(ABC):
    """Names the source of a feature vector.

    A source without training vectors is given probability 0.
    """

    kind: ClassVar[str]

    @abstractmethod
    def fit(
        self,
        train: tuple[Vectors, Labels],
        validation: tuple[Vectors, Labels],
        *,
        classes: int,
        seed: int = 0,
    ) -> Self:
        """Learn from vectors (N, D) and labels (N,) below `classes`; choose on validation ones."""

    @abstractmethod
    def predict_proba(self, features: Vectors) -> NDArray[np.float32]:
        """Probabilities of shape (N, K)."""

    @abstractmethod
    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Arrays and JSON facts from which `restore` makes the same classifier."""

    @classmethod
    @abstractmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Self:
        """The classifier whose `state` this is."""

    def parameter_count(self) -> int:
        """Number of learned parameters."""
        return sum(array.size for array in self.state()[0].values())


class _Linear(Classifier):
    """Scores W·x + b, probabilities softmax(scores / τ)."""

    def __init__(self) -> None:
        self._weights: NDArray[np.float64] = np.zeros((0, 0))
        self._bias: NDArray[np.float64] = np.zeros(0)
        self._temperature = 1.0
        self.c = 1.0
        """The chosen inverse strength of the L2 penalty."""

    def scores(self, features: Vectors) -> NDArray[np.float64]:
        """W·x + b of shape (N, K); -inf for sources without training vectors."""
        found: NDArray[np.float64] = np.asarray(features, np.float64) @ self._weights.T + self._bias
        return found

    def predict_proba(self, features: Vectors) -> NDArray[np.float32]:
        """softmax(scores / τ)."""
        return softmax(self.scores(features) / self._temperature)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Weights, biases, temperature and penalty."""
        arrays = {"weights": self._weights, "bias": self._bias}
        return arrays, {"temperature": self._temperature, "c": self.c}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Self:
        """The classifier whose `state` this is."""
        restored = cls()
        restored._weights, restored._bias = arrays["weights"], arrays["bias"]
        restored._temperature, restored.c = facts["temperature"], facts["c"]
        return restored

    def _set(
        self, weights: NDArray[Any], bias: NDArray[Any], present: Labels, classes: int
    ) -> None:
        """Spread the rows of the sources that have training vectors over all K."""
        self._weights = np.zeros((classes, weights.shape[1]))
        self._bias = np.full(classes, -np.inf)
        self._weights[present] = weights
        self._bias[present] = bias


class LogisticRegression(_Linear):
    """Multinomial logistic regression with an L2 penalty, by scikit-learn.

    Args:
        grid: Inverse strengths of the penalty to choose from by validation log-loss; the first
            where there are no validation vectors.
        newton: Whether to go by Newton's steps to the end, which few dimensions allow; else by
            L-BFGS with a loose tolerance.
    """

    kind = "logistic"

    def __init__(self, grid: Sequence[float] = (1.0,), *, newton: bool = False) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.newton = newton

    def fit(
        self,
        train: tuple[Vectors, Labels],
        validation: tuple[Vectors, Labels],
        *,
        classes: int,
        seed: int = 0,
    ) -> Self:
        """Fit once per strength and keep the one with the least validation log-loss."""
        from sklearn.linear_model import LogisticRegression as Fitted

        features, labels = train
        present = np.unique(labels)
        if len(present) == 1:
            self._set(np.zeros((1, features.shape[1])), np.zeros(1), present, classes)
            return self

        how = {"solver": "newton-cg", "tol": 1e-4} if self.newton else {"tol": 1e-3}

        def attempt(c: float) -> None:
            model = Fitted(C=c, max_iter=1000, **how).fit(np.asarray(features, float), labels)
            weights, bias = model.coef_, model.intercept_
            if len(present) == 2:  # one logit, that of the second source against the first
                weights = np.concatenate([np.zeros_like(weights), weights])
                bias = np.concatenate([np.zeros_like(bias), bias])
            self._set(weights, bias, present, classes)

        self.c = _choose(self, self.grid, attempt, validation, present)
        return self


class LinearSVM(_Linear):
    """One linear support vector machine per source against the rest, by liblinear.

    Probabilities are a softmax of the decision values at the temperature that fits the
    validation vectors best.

    Args:
        grid: Values of C to choose from by validation log-loss; the first where there are no
            validation vectors.
    """

    kind = "svm"

    def __init__(self, grid: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.grid = tuple(grid)

    def fit(
        self,
        train: tuple[Vectors, Labels],
        validation: tuple[Vectors, Labels],
        *,
        classes: int,
        seed: int = 0,
    ) -> Self:
        """Fit K machines per value of C, calibrate, and keep the best."""
        from sklearn.svm import LinearSVC

        features, labels = np.asarray(train[0], float), train[1]
        present = np.unique(labels)
        if len(present) == 1:
            self._set(np.zeros((1, features.shape[1])), np.zeros(1), present, classes)
            return self

        def attempt(c: float) -> None:
            model = LinearSVC(C=c, random_state=seed, max_iter=5000).fit(features, labels)
            weights, bias = model.coef_, model.intercept_
            if len(present) == 2:
                weights, bias = np.concatenate([-weights, weights]), np.concatenate([-bias, bias])
            self._set(weights, bias, present, classes)
            self._temperature = _temperature(self.scores, validation, present)

        self.c = _choose(self, self.grid, attempt, validation, present)
        return self


class RadialSVM(Classifier):
    """One support vector machine with the kernel exp(−γ‖x − y‖²) per source against the rest.

    Time and memory grow with the square of the number of training vectors.

    Args:
        c: Penalty of misclassification.
        gamma: γ.
    """

    kind = "rbf"

    def __init__(self, c: float = 6.37, gamma: float = 0.86) -> None:
        self.c = c
        self.gamma = gamma
        self._support: NDArray[np.float64] = np.zeros((0, 0))
        self._coefficients: NDArray[np.float64] = np.zeros((0, 0))
        self._bias: NDArray[np.float64] = np.zeros(0)
        self._temperature = 1.0

    def fit(
        self,
        train: tuple[Vectors, Labels],
        validation: tuple[Vectors, Labels],
        *,
        classes: int,
        seed: int = 0,
    ) -> Self:
        """Fit K machines and calibrate their decision values."""
        from sklearn.svm import SVC

        features, labels = np.asarray(train[0], float), train[1]
        present = np.unique(labels)
        coefficients = np.zeros((classes, len(features)))
        self._bias = np.full(classes, -np.inf)
        for k in present:
            if len(present) == 1:
                self._bias[k] = 0
                break
            model = SVC(C=self.c, gamma=self.gamma).fit(features, labels == k)
            coefficients[k, model.support_] = model.dual_coef_[0]
            self._bias[k] = model.intercept_[0]
        used = coefficients.any(axis=0)
        self._support, self._coefficients = features[used], coefficients[:, used]
        self._temperature = _temperature(self.scores, validation, present)
        return self

    def scores(self, features: Vectors) -> NDArray[np.float64]:
        """Decision values of shape (N, K); -inf for sources without training vectors."""
        rows = np.asarray(features, np.float64)
        found = np.empty((len(rows), len(self._bias)))
        squares = (self._support**2).sum(axis=1)
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            distances = (part**2).sum(axis=1)[:, None] + squares - 2 * part @ self._support.T
            kernel = np.exp(-self.gamma * np.maximum(distances, 0))
            found[start : start + _ROWS] = kernel @ self._coefficients.T + self._bias
        return found

    def predict_proba(self, features: Vectors) -> NDArray[np.float32]:
        """softmax(scores / τ)."""
        return softmax(self.scores(features) / self._temperature)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Support vectors, their coefficients per source, biases and scalars."""
        arrays = {
            "support": self._support,
            "coefficients": self._coefficients,
            "bias": self._bias,
        }
        return arrays, {"c": self.c, "gamma": self.gamma, "temperature": self._temperature}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Self:
        """The classifier whose `state` this is."""
        restored = cls(c=facts["c"], gamma=facts["gamma"])
        restored._support, restored._coefficients = arrays["support"], arrays["coefficients"]
        restored._bias, restored._temperature = arrays["bias"], facts["temperature"]
        return restored


class NearestNeighbours(Classifier):
    """Votes of the k nearest training vectors, Euclidean, found exactly.

    Probabilities are (votes + 1/K) / (k + 1), so that none is zero and the order is the votes'.

    Args:
        k: How many neighbours vote; fewer if there are fewer vectors.
    """

    kind = "knn"

    def __init__(self, k: int = 5) -> None:
        self.k = k
        self._features: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._labels: NDArray[np.int64] = np.zeros(0, np.int64)
        self._classes = 0

    def fit(
        self,
        train: tuple[Vectors, Labels],
        validation: tuple[Vectors, Labels],
        *,
        classes: int,
        seed: int = 0,
    ) -> Self:
        """Keep the training vectors."""
        self._features = np.ascontiguousarray(train[0], np.float32)
        self._labels = np.asarray(train[1], np.int64)
        self._classes = classes
        return self

    def predict_proba(self, features: Vectors) -> NDArray[np.float32]:
        """Smoothed shares of votes."""
        from fpbench.compute.neighbors import ExactNeighbors

        k = min(self.k, len(self._features))
        queries = np.ascontiguousarray(features, np.float32)
        _, nearest = ExactNeighbors(self._features).search(queries, k=k)
        votes = np.zeros((len(queries), self._classes), np.float32)
        for column in self._labels[nearest].T:
            votes[np.arange(len(queries)), column] += 1
        smoothed: NDArray[np.float32] = (votes + np.float32(1 / self._classes)) / np.float32(k + 1)
        return smoothed

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The training vectors and their labels."""
        arrays: dict[str, NDArray[Any]] = {"features": self._features, "labels": self._labels}
        return arrays, {"k": self.k, "classes": self._classes}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Self:
        """The classifier whose `state` this is."""
        restored = cls(k=facts["k"])
        restored._features, restored._labels = arrays["features"], arrays["labels"]
        restored._classes = facts["classes"]
        return restored

    def parameter_count(self) -> int:
        """Nothing is learned."""
        return 0


def _choose(
    classifier: Classifier,
    grid: Sequence[float],
    attempt: Callable[[float], None],
    validation: tuple[Vectors, Labels],
    present: Labels,
) -> float:
    """Try each value, leave `classifier` fitted with the best one, and return it."""
    features, labels = validation
    known = np.isin(labels, present)
    if len(grid) == 1 or not known.any():
        attempt(grid[0])
        return grid[0]
    losses = []
    for value in grid:
        attempt(value)
        proba = classifier.predict_proba(features[known]).astype(np.float64)
        right = proba[np.arange(len(proba)), labels[known]]
        losses.append(-np.log(np.maximum(right, 1e-12)).mean())
    best = grid[int(np.argmin(losses))]
    if best != grid[-1]:
        attempt(best)
    return best


def _temperature(
    scores: Callable[[Vectors], NDArray[np.float64]],
    validation: tuple[Vectors, Labels],
    present: Labels,
) -> float:
    """The temperature that fits the validation vectors of the sources that were learned."""
    features, labels = validation
    known = np.isin(labels, present)
    if not known.any() or len(present) == 1:
        return 1.0
    columns = np.searchsorted(present, labels[known])
    return fit_temperature(scores(features[known])[:, present], columns)
