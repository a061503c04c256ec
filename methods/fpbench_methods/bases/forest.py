"""A random forest of feature vectors, kept as plain arrays so that it is saved without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fpbench_methods.bases.classifiers import Classifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench_methods.bases.classifiers import Labels, Vectors

_ROWS = 1024  # rows at a time: each stands in one node of every tree


class RandomForest(Classifier):
    """Breiman's random forest, grown by scikit-learn, walked here.

    Each of T trees is grown on a bootstrap sample of the vectors and splits by the best of √D
    dimensions drawn at random until its leaves are pure. Probabilities are (sum of the trees'
    shares + 1/K) / (T + 1), so that none is zero and the order is the forest's.

    Args:
        trees: T.
    """

    kind = "forest"

    def __init__(self, trees: int = 500) -> None:
        self.trees = trees
        self._roots: NDArray[np.int32] = np.zeros(0, np.int32)
        self._dimension: NDArray[np.int32] = np.zeros(0, np.int32)
        self._threshold: NDArray[np.float64] = np.zeros(0)
        self._left: NDArray[np.int32] = np.zeros(0, np.int32)
        self._right: NDArray[np.int32] = np.zeros(0, np.int32)
        self._shares: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def fit(
        self,
        train: tuple[Vectors, Labels],
        validation: tuple[Vectors, Labels],
        *,
        classes: int,
        seed: int = 0,
    ) -> Self:
        """Grow the trees; validation vectors are not asked."""
        from sklearn.ensemble import RandomForestClassifier

        features, labels = train
        forest = RandomForestClassifier(self.trees, random_state=seed, n_jobs=1)
        forest.fit(np.asarray(features, np.float32), labels)
        trees = [tree.tree_ for tree in forest.estimators_]
        firsts = np.cumsum([0, *(tree.node_count for tree in trees)])
        self._roots = firsts[:-1].astype(np.int32)
        self._dimension = np.concatenate([tree.feature for tree in trees]).astype(np.int32)
        self._threshold = np.concatenate([tree.threshold for tree in trees])
        # A leaf is its own child, so that a walk may go on for as long as the deepest tree needs.
        own = np.arange(firsts[-1], dtype=np.int32)
        children = (
            np.concatenate([side + root for side, root in zip(sides, firsts, strict=False)])
            for sides in (
                [tree.children_left for tree in trees],
                [tree.children_right for tree in trees],
            )
        )
        leaf = self._dimension < 0
        self._left, self._right = (np.where(leaf, own, c).astype(np.int32) for c in children)
        self._dimension[leaf] = 0
        counts = np.concatenate([tree.value[:, 0] for tree in trees])[leaf]
        self._shares = np.zeros((len(counts), classes), np.float32)
        self._shares[:, forest.classes_] = counts / counts.sum(axis=1, keepdims=True)
        return self

    def predict_proba(self, features: Vectors) -> NDArray[np.float32]:
        """Smoothed means of the trees' shares."""
        rows = np.asarray(features, np.float32)
        classes = self._shares.shape[1]
        found = np.empty((len(rows), classes), np.float32)
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            total = np.zeros((len(part), classes), np.float64)
            for column in self._leaves(part).T:
                total += self._shares[column]
            found[start : start + len(part)] = (total + 1 / classes) / (len(self._roots) + 1)
        return found

    def _leaves(self, rows: NDArray[np.float32]) -> NDArray[np.int32]:
        """Of each row and tree the leaf where the walk ends, as a row of the shares; (N, T)."""
        at = np.tile(self._roots, (len(rows), 1))
        line = np.arange(len(rows))[:, None]
        while True:
            below = rows[line, self._dimension[at]] <= self._threshold[at]
            after = np.where(below, self._left[at], self._right[at])
            if (after == at).all():
                place = np.cumsum(self._is_leaf, dtype=np.int32) - 1
                return np.asarray(place[at], np.int32)
            at = after

    @property
    def _is_leaf(self) -> NDArray[np.bool_]:
        return np.asarray(self._left == np.arange(len(self._left)))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """All trees' nodes, one after another."""
        arrays: dict[str, NDArray[Any]] = {
            "roots": self._roots,
            "dimension": self._dimension,
            "threshold": self._threshold,
            "left": self._left,
            "right": self._right,
            "shares": self._shares,
        }
        return arrays, {"trees": self.trees}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Self:
        """The forest whose `state` this is."""
        restored = cls(facts["trees"])
        restored._roots, restored._shares = arrays["roots"], arrays["shares"]
        restored._dimension, restored._threshold = arrays["dimension"], arrays["threshold"]
        restored._left, restored._right = arrays["left"], arrays["right"]
        return restored

    def parameter_count(self) -> int:
        """Dimension and threshold of each split, and the shares of each leaf."""
        splits = len(self._left) - len(self._shares)
        return 2 * splits + self._shares.size
