"""A linear classifier or a forest, whichever names validation vectors better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fpbench_methods.bases.classifiers import Classifier, LogisticRegression
from fpbench_methods.bases.forest import RandomForest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench_methods.bases.classifiers import Labels, Vectors

_KINDS: dict[str, type[Classifier]] = {c.kind: c for c in (LogisticRegression, RandomForest)}


class LogisticOrForest(Classifier):
    """Logistic regression and a random forest, each fitted; the better on validation decides.

    Better is a higher balanced accuracy on the validation vectors; logistic regression where both
    are equal or there are none.

    Args:
        grid: Inverse strengths of the penalty that logistic regression chooses from.
        trees: Trees of the forest.
    """

    kind = "logistic-or-forest"

    def __init__(self, grid: Sequence[float] = (1.0,), trees: int = 500) -> None:
        self._candidates: tuple[Classifier, ...] = (
            LogisticRegression(grid, newton=True),
            RandomForest(trees),
        )
        self.chosen: Classifier = self._candidates[0]

    def fit(
        self,
        train: tuple[Vectors, Labels],
        validation: tuple[Vectors, Labels],
        *,
        classes: int,
        seed: int = 0,
    ) -> Self:
        """Fit both and keep one."""
        features, labels = validation
        reached = []
        for candidate in self._candidates:
            candidate.fit(train, validation, classes=classes, seed=seed)
            if not len(labels):
                return self
            named = candidate.predict_proba(features).argmax(axis=1)
            reached.append(np.mean([(named[labels == k] == k).mean() for k in np.unique(labels)]))
        self.chosen = self._candidates[int(np.argmax(reached))]
        return self

    def predict_proba(self, features: Vectors) -> NDArray[np.float32]:
        """Probabilities of the one that was kept."""
        return self.chosen.predict_proba(features)

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """State and kind of the one that was kept."""
        arrays, facts = self.chosen.state()
        return arrays, {"chosen": self.chosen.kind, "facts": facts}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> Self:
        """The classifier whose `state` this is."""
        restored = cls()
        restored.chosen = _KINDS[facts["chosen"]].restore(arrays, facts["facts"])
        return restored

    def parameter_count(self) -> int:
        """Of the one that was kept."""
        return self.chosen.parameter_count()
