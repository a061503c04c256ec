"""The value of one metric: with its uncertainty, or with the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Ids = Sequence[str] | NDArray[np.str_] | None


class NotComputable(ValueError):
    """These inputs define no value of the metric; the message is the reason, one sentence.

    Point functions raise it; their ``*_score`` companions turn it into a `Score` without value.
    """


@dataclass(frozen=True)
class Score:
    """One metric of one run.

    Attributes:
        value: The estimate, or None where these inputs define none.
        ci_low: Lower end of the 95 % interval, or None where there is no interval.
        ci_high: Upper end of the 95 % interval, or None where there is no interval.
        n: Number of test images (for bag scores too) that the value rests on.
        chance: What guessing scores, or None where the metric has no such level.
        reason: Why `value` is None, one sentence; None where there is a value.

    Raises:
        ValueError: If a number is not finite, an interval is reversed or half given, or exactly
            one of value and reason is not there.

    >>> Score(0.5, 0.4, 0.6, n=100, chance=0.25).value
    0.5
    >>> Score.missing("There is one source only.").reason
    'There is one source only.'
    """

    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int = 0
    chance: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        for name in ("value", "ci_low", "ci_high", "chance"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ValueError(f"{name} of a score is {number}; give a reason instead")
        if (self.value is None) != (self.reason is not None):
            raise ValueError("a score has either a value or a reason why it has none")
        if (self.ci_low is None) != (self.ci_high is None):
            raise ValueError("an interval has two ends")
        if self.ci_low is not None and self.ci_high is not None:
            if self.value is None:
                raise ValueError("a score without value has no interval")
            if self.ci_low > self.ci_high:
                raise ValueError(f"interval from {self.ci_low} to {self.ci_high} is reversed")

    @classmethod
    def missing(cls, reason: str, n: int = 0, chance: float | None = None) -> Score:
        """A score that has no value, and why."""
        return cls(None, n=n, chance=chance, reason=reason)

    @property
    def halfwidth(self) -> float | None:
        """Half the length of the interval, or None where there is none."""
        if self.ci_low is None or self.ci_high is None:
            return None
        return (self.ci_high - self.ci_low) / 2


def check_ids(ids: Ids, images: int) -> None:
    """Refuse ids that name an image twice: a copied image is counted twice as evidence.

    Args:
        ids: Names of the images, or None where they are not known.
        images: How many images there are.

    Raises:
        ValueError: If the number of ids is not the number of images.
        NotComputable: If an id occurs more than once.
    """
    if ids is None:
        return
    names = np.asarray(ids)
    if names.shape != (images,):
        raise ValueError(f"{images} images but ids of shape {names.shape}")
    unique, counts = np.unique(names, return_counts=True)
    if len(unique) < images:
        raise NotComputable(
            f"{images - len(unique)} images are listed twice, e.g. {unique[counts.argmax()]!s}."
        )
