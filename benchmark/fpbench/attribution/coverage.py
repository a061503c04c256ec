"""Whether the promise is kept: coverage on images whose source is known and which nothing saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench import registry
from fpbench.attribution.fitting import fit_and_probe, split_validation
from fpbench.attribution.model import answers
from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext
from fpbench.metrics.conformal import (
    Calibration,
    SetCounts,
    count_sets,
    coverage_interval,
    possible_sources,
)
from fpbench.runs.plan import resolve
from fpbench.runs.splits import restrict_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.dataset import GMDataset


@dataclass(frozen=True)
class Answers:
    """What a method said of calibration and test images.

    Attributes:
        sources: Names of the known sources, in the order of columns.
        calibration: Probabilities (n, K) of calibration images.
        calibration_labels: Their columns, (n,).
        test: Probabilities (N, K) of test images.
        test_sources: Names of their sources, (N,); some may be unknown ones.
    """

    sources: tuple[str, ...]
    calibration: NDArray[np.float32]
    calibration_labels: NDArray[np.int64]
    test: NDArray[np.float32]
    test_sources: NDArray[np.str_]


def ask(
    method: str,
    dataset: GMDataset,
    *,
    unknown: Sequence[str] = (),
    seed: int = 0,
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Answers:
    """Fit a method as `fpbench.attribution.fitting.fit_model` does, and ask it of test images.

    Args:
        method: ``NAME`` or ``NAME:VARIANT``.
        dataset: A loaded dataset.
        unknown: Generators that are left out of training and calibration.
        seed: Seed of the method.
        budget: Training length.
        params: Constructor arguments.
        device: A torch device string.

    Raises:
        BadInput: If a name is unknown or the method declines.
        FitFailed: If the method raises.
    """
    chosen = resolve(method, params or {})
    cls = registry.method_class(chosen.name).variant_class(chosen.variant)
    parts = split_validation(dataset)
    names = [s.name for s in dataset.sources if not s.is_real and s.name not in unknown]
    title = dataset.identity.name

    def known(images: ImageSet) -> ImageSet:
        return restrict_sources(images, names, title) if unknown else images

    splits = replace(
        parts.splits, train=known(parts.splits.train), validation=known(parts.splits.validation)
    )
    calibration = known(parts.calibration)
    context = FitContext(seed=seed, budget=budget, device=device)
    fitted, probe = fit_and_probe(cls, chosen, splits, context)
    kept = splits.train.sources
    owners = np.array([source.name for source in dataset.sources])
    return Answers(
        tuple(source.name for source in kept),
        answers(fitted, probe, calibration.unlabelled(), len(kept)),
        calibration.labels,
        answers(fitted, probe, dataset.test.unlabelled(), len(kept)),
        owners[dataset.test.labels],
    )


@dataclass(frozen=True)
class Coverage:
    """Sets of possible sources on the test images of one source.

    Attributes:
        source: Its name.
        known: Whether the model knows it.
        calibration: Its calibration images.
        counts: What the sets came to.
        low: Lower end of the 95 % interval in which the coverage of a valid set lies, given the
            numbers of calibration and test images (see `coverage_interval`); 0 if unknown.
        high: Upper end; 1 if unknown.
    """

    source: str
    known: bool
    calibration: int
    counts: SetCounts
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of its images whose set holds it."""
        return self.counts.covered / self.counts.images

    def binomial(self, level: float = 0.95) -> tuple[float, float]:
        """The Clopper-Pearson interval of `share`, of this one draw of calibration images."""
        from scipy.stats import binomtest

        interval = binomtest(self.counts.covered, self.counts.images).proportion_ci(level)
        return float(interval.low), float(interval.high)


def coverage(given: Answers, alpha: float) -> list[Coverage]:
    """Coverage of every source of the test images, known ones first.

    Args:
        given: What a method said.
        alpha: The error.
    """
    calibration = Calibration(given.calibration, given.calibration_labels)
    possible = possible_sources(calibration.p_values(given.test), alpha)
    found = []
    unknown = sorted(set(given.test_sources.tolist()) - set(given.sources))
    for name in (*given.sources, *unknown):
        own = possible[given.test_sources == name]
        if not len(own):
            continue
        column = given.sources.index(name) if name in given.sources else None
        count = 0 if column is None else int(calibration.counts[column])
        low, high = (0.0, 1.0) if column is None else coverage_interval(count, len(own), alpha)
        counts = count_sets(own, column)
        found.append(Coverage(name, column is not None, count, counts, low, high))
    return found
