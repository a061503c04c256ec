"""What scores are computed from: a job's outcome, who made which image, and stored arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fpbench.images import Source

PROBABILITIES = "p"
"""Key of the scored probabilities among a job's arrays."""

PROBE = "probe"
"""Key of the common probe's probabilities."""


@dataclass(frozen=True)
class Labels:
    """Who made which test image, and which sources the columns of probabilities are.

    In a closed-set run the two are the same sources; in a transfer the columns are those of the
    dataset trained on. The mask of generators is derived here and nowhere else.

    Attributes:
        ids: Shape (N,), distinct names of the test images.
        labels: int64 of shape (N,), indices into `tested`.
        tested: The sources of the test images.
        columns: The sources that probabilities are of.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    tested: tuple[Source, ...]
    columns: tuple[Source, ...]

    @cached_property
    def real(self) -> int | None:
        """Column of Real, or None."""
        return next((k for k, source in enumerate(self.columns) if source.is_real), None)

    @cached_property
    def generators(self) -> NDArray[np.int64]:
        """Positions of the M generators among the tested sources."""
        found = [k for k, source in enumerate(self.tested) if not source.is_real]
        return np.asarray(found, np.int64)

    @cached_property
    def generated(self) -> NDArray[np.bool_]:
        """Bool of shape (N,), whether an image is of a generator."""
        return self.made_by_generator(self.labels)

    @cached_property
    def among_generators(self) -> NDArray[np.int64]:
        """Sources of the generated images, counted among generators: 0 to M − 1."""
        return self.count_among_generators(self.labels[self.generated])

    def some_of_each(self, sources: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        """Positions of at most `most` random test images of each source, always the same ones.

        Args:
            sources: Positions among the tested sources.
            most: Images of each.
        """
        rng = np.random.default_rng(0)
        members = [np.flatnonzero(self.labels == k) for k in sources]
        kept = [np.sort(rng.permutation(own)[:most]) for own in members]
        return np.concatenate(kept) if kept else np.empty(0, np.int64)

    def made_by_generator(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of other images of these sources, e.g. training images, are of a generator."""
        return np.isin(labels, self.generators)

    def count_among_generators(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Labels of generated images, which index `tested`, as indices into `generators`."""
        return np.searchsorted(self.generators, labels).astype(np.int64)


@dataclass(frozen=True)
class BagOutput:
    """Judgements of a method that reads bags.

    Attributes:
        size: Images per bag.
        members: int64 of shape (B, size), indices of test images.
        labels: int64 of shape (B,), the source of each bag.
        proba: float32 of shape (B, K).
    """

    size: int
    members: NDArray[np.int64]
    labels: NDArray[np.int64]
    proba: NDArray[np.float32]


@dataclass(frozen=True)
class BagVectors:
    """Fingerprints of disjoint bags by a method that reads sets.

    Attributes:
        size: Images per bag.
        test: float32 of shape (B, D), of bags of test images, each of one source.
        test_labels: int64 of shape (B,), their sources.
        train: float32 of shape (C, D), of bags of training images.
        train_labels: int64 of shape (C,), their sources as they are.
    """

    size: int
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """The arrays one job yields, in the order of the test set.

    Attributes:
        proba: float32 of shape (N, K), the scored probabilities.
        probe_proba: float32 of shape (N, K), those of the common probe on the embeddings.
        own_classifier: Whether `proba` are the method's own; else they are the probe's.
        test_embeddings: float32 of shape (N, D), or (0, 0) where the protocol asks for none.
        train_embeddings: float32 of shape (M, D), or (0, 0).
        train_labels: int64 of shape (M,), sources of the training images as they are, not as a
            null control shuffled them.
        fit_seconds: Time of fit, as if the job had run alone: wall time plus what other jobs'
            shared values have saved.
        inference_seconds: Time of judging the test images, likewise.
        parameters: Learned parameters, where the method says.
        bags: Judgements of bags, for methods that make them.
        bag_vectors: Fingerprints of bags, for methods that read sets.
        arrays: What else a protocol had the method judge, by key.
    """

    proba: NDArray[np.float32]
    probe_proba: NDArray[np.float32]
    own_classifier: bool
    test_embeddings: NDArray[np.float32]
    train_embeddings: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    fit_seconds: float
    inference_seconds: float
    parameters: int | None
    bags: Sequence[BagOutput] = ()
    bag_vectors: BagVectors | None = None
    arrays: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)

    @property
    def dimension(self) -> int | None:
        """Dimension D of the embeddings, or None where none were asked for."""
        return self.test_embeddings.shape[1] or None


@dataclass(frozen=True)
class ScoringSettings:
    """What scoring must know beside the evidence.

    Attributes:
        seed: Seed of every resampling.
        fdr_samples: Test images per source in FDR-v1 (n).
        fdr_dimensions: Dimension in FDR-v1 (d).
    """

    seed: int
    fdr_samples: int = 0
    fdr_dimensions: int = 1


@dataclass(frozen=True)
class Evidence:
    """Everything that scores follow from, small enough to keep and to submit.

    Attributes:
        arrays: By key; `PROBABILITIES` and `PROBE` are of shape (N, K), the others are what the
            families gathered.
        reasons: Why a score cannot be computed, by its key, where that was found out while
            gathering.
    """

    arrays: Mapping[str, NDArray[np.generic]]
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def proba(self) -> NDArray[np.float32]:
        """float32 of shape (N, K), the scored probabilities."""
        return self.floats(PROBABILITIES)

    @property
    def bags(self) -> tuple[BagOutput, ...]:
        """Judgements of bags that are stored, by size."""
        ending = "_proba"
        sizes = sorted(
            int(key.removeprefix("bag").removesuffix(ending))
            for key in self.arrays
            if key.startswith("bag") and key.endswith(ending)
        )
        return tuple(
            BagOutput(
                size,
                self.arrays[f"bag{size}_members"].astype(np.int64, copy=False),
                self.arrays[f"bag{size}_labels"].astype(np.int64, copy=False),
                self.floats(f"bag{size}{ending}"),
            )
            for size in sizes
        )

    def floats(self, key: str) -> NDArray[np.float32]:
        """An array of single precision.

        Raises:
            KeyError: If there is no such array.
        """
        return self.arrays[key].astype(np.float32, copy=False)
