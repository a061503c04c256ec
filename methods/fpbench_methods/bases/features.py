"""The base of methods that classify a vector of hand-crafted or frozen features."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext
from fpbench_methods.bases.choice import LogisticOrForest
from fpbench_methods.bases.classifiers import (
    Classifier,
    LinearSVM,
    LogisticRegression,
    NearestNeighbours,
    RadialSVM,
)
from fpbench_methods.bases.forest import RandomForest
from fpbench_methods.bases.sampling import at_most_per_source
from fpbench_methods.bases.saved import Arrays, Facts, SavedMethod, prefixed, under

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 256

CLASSIFIERS: dict[str, type[Classifier]] = {
    cls.kind: cls
    for cls in (
        LogisticRegression,
        LinearSVM,
        RadialSVM,
        NearestNeighbours,
        RandomForest,
        LogisticOrForest,
    )
}
"""By the name under which a method's saved facts have them."""


class FeatureMethod(SavedMethod):
    """One feature vector per image, standardised, and a classifier of vectors.

    A subclass gives `features` and `make_classifier`. The fingerprint of an image is its vector,
    each dimension less its mean over the training images and over its standard deviation there.

    Attributes:
        standardises: Whether the classifier, too, is given standardised vectors.
        smoke_images: Training images per source that budget smoke uses.
        batch: Images at a time.
    """

    standardises: ClassVar[bool] = True
    smoke_images: ClassVar[int] = 64
    batch: ClassVar[int] = _BATCH

    _classifier: Classifier | None = None
    _mean: NDArray[np.float64] | None = None
    _deviation: NDArray[np.float64] | None = None

    @abstractmethod
    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.floating]:
        """Finite features (N, D) of images (N, H, W, 3), each of its own image alone."""

    @abstractmethod
    def make_classifier(self, budget: Budget) -> Classifier:
        """An unfitted classifier."""

    def prepare(self, train: ImageSet, validation: ImageSet, context: FitContext) -> None:
        """Whatever `features` needs first, e.g. a pretrained network. Nothing by default.

        Raises:
            MethodDeclined: If it is not available.
        """

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Standardise by the training images and fit the classifier."""
        self._device = context.device
        self._sources = train.sources
        if context.budget == "smoke":
            train = at_most_per_source(train, self.smoke_images)
        self.prepare(train, validation, context)
        whole = len(train) + len(validation)
        found = self._extract(train, context, 0, whole)
        held_out = self._extract(validation, context, len(train), whole)
        self._mean = found.mean(axis=0, dtype=np.float64)
        deviation = found.std(axis=0, dtype=np.float64)
        # A dimension that does not vary but for rounding would be blown up to noise.
        constant = deviation <= 1e-6 * np.abs(self._mean) + 1e-12
        self._deviation = np.where(constant, np.inf, deviation)
        context.progress("fit the classifier", 0, 1)
        self._classifier = self.make_classifier(context.budget).fit(
            (self._vectors(found), train.labels),
            (self._vectors(held_out), validation.labels),
            classes=len(self._sources),
            seed=context.seed,
        )
        context.progress("fit the classifier", 1, 1)
        return self

    def _extract(
        self, images: ImageSet, context: FitContext | None = None, done: int = 0, whole: int = 0
    ) -> NDArray[np.floating]:
        parts = []
        for batch in images.batches(self.batch):
            parts.append(self.features(np.ascontiguousarray(batch)))
            done += len(batch)
            if context is not None:
                context.progress("extract features", done, whole)
        if not parts:
            return np.empty((0, 0 if self._mean is None else len(self._mean)))
        return np.concatenate(parts)

    def _standardised(self, found: NDArray[np.floating]) -> NDArray[np.float64]:
        mean, deviation = self.fitted(self._mean), self.fitted(self._deviation)
        if len(found) and found.shape[1] != len(mean):
            raise ValueError(
                f"these images have {found.shape[1]} features, but {self.card.name} was fitted "
                f"on {len(mean)}; give images of the size it was fitted on"
            )
        rows: NDArray[np.float64] = (found.reshape(-1, len(mean)) - mean) / deviation
        return rows

    def _vectors(self, found: NDArray[np.floating]) -> NDArray[np.floating]:
        """What the classifier sees."""
        rows = self._standardised(found)
        return rows if self.standardises else found.reshape(rows.shape)

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Standardised features of shape (N, D)."""
        self.fitted(self._mean)
        return self._standardised(self._extract(images)).astype(np.float32)

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Probabilities of the classifier, shape (N, K)."""
        classifier = self.fitted(self._classifier)
        if not len(images):
            return np.empty((0, len(self._sources)), np.float32)
        return classifier.predict_proba(self._vectors(self._extract(images)))

    def parameter_count(self) -> int | None:
        """Parameters of the classifier."""
        return None if self._classifier is None else self._classifier.parameter_count()

    def extra_arrays(self) -> Arrays:
        """Further arrays to save, e.g. a network's weights. None by default."""
        return {}

    def extra_facts(self) -> Facts:
        """Further facts to save. None by default."""
        return {}

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """Take back what `extra_arrays` and `extra_facts` gave."""

    def state(self) -> tuple[Arrays, Facts]:
        """Means and deviations, what the classifier has learned, and the extras."""
        classifier = self.fitted(self._classifier)
        arrays, facts = classifier.state()
        named = prefixed("classifier.", arrays) | prefixed("extra.", self.extra_arrays())
        named |= {"mean": self.fitted(self._mean), "deviation": self.fitted(self._deviation)}
        return named, {
            "classifier": classifier.kind,
            "classifier_facts": facts,
            "extra": self.extra_facts(),
        }

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take them back."""
        self._mean, self._deviation = arrays["mean"], arrays["deviation"]
        self.restore_extra(under("extra.", arrays), facts["extra"])
        self._classifier = CLASSIFIERS[facts["classifier"]].restore(
            under("classifier.", arrays), facts["classifier_facts"]
        )
