"""A method under check: how it is built and fitted, and its first fit, which checks share."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.compute.isolation import Change, isolated
from fpbench.conformance.planted import PlantedSets, planted_sets
from fpbench.conformance.result import Fault, NotRun
from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, Method, MethodDeclined, Progress

if TYPE_CHECKING:
    from types import FrameType

    from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Largest difference between two answers that count as equal, relative to the largest value.
Batches of another size are summed in another order; a wrong answer differs by far more."""


class TookTooLong(BaseException):
    """A check ran past its limit. No subclass of Exception, so that no method swallows it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """End the block with `TookTooLong` after some time, where the platform can.

    Without interval timers, or outside the main thread, there is no limit.
    """
    timed = hasattr(signal, "setitimer") and (threading.current_thread() is threading.main_thread())
    if not timed:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def side_for(smallest: int) -> int:
    """An even side of at least 32 pixels that a method can take."""
    return max(32, smallest + smallest % 2)


@dataclass
class Subject:
    """A method under check.

    Attributes:
        cls: Its class.
        variant: Name of a variant of its card.
        params: Constructor arguments on top of the variant's.
        returned: What the latest call of fit returned.
        changed: Global state that the latest fit left changed; it is put back.
    """

    cls: type[Method]
    variant: str
    params: Mapping[str, Any] = field(default_factory=dict)
    returned: object = None
    changed: list[Change] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The class's name, for messages."""
        return self.cls.__name__

    @cached_property
    def sets(self) -> PlantedSets:
        """What the shared fit sees, and its test images."""
        side = side_for(self.cls.card.min_size)
        return planted_sets((side, side))

    def build(self) -> Method:
        """An unfitted method."""
        return self.cls.make(self.variant, self.params)

    def fit(
        self,
        sets: PlantedSets | None = None,
        *,
        method: Method | None = None,
        seed: int = 0,
        budget: Budget = "smoke",
        progress: Progress | None = None,
        train: ImageSet | None = None,
        validation: ImageSet | None = None,
    ) -> Method:
        """A method fitted on `sets`, or on the shared ones."""
        sets = self.sets if sets is None else sets
        context = FitContext(seed=seed, budget=budget)
        if progress is not None:
            context = FitContext(seed=seed, budget=budget, progress=progress)
        # Whoever uses the global generators instead of the context's seed gets another answer.
        scramble()
        with isolated() as isolation:
            method = self.build() if method is None else method
            self.returned = method.fit(
                sets.train if train is None else train,
                reference=sets.reference,
                validation=sets.validation if validation is None else validation,
                context=context,
            )
        self.changed = isolation.changes()
        return method

    @cached_property
    def _first_fit(self) -> tuple[Method | None, BaseException | None]:
        try:
            return self.fit(), None
        except MethodDeclined as declined:
            return None, NotRun(f"not evaluated: {declined}")
        # Whatever a plugin raises is the finding of the check `fit`; a fit that never ends is kept,
        # too, or every check would wait for it.
        except (Exception, SystemExit, TookTooLong) as error:
            return None, error

    def first_fit(self) -> Method:
        """The fitted method that checks share, fitted now if need be; its error where it fails."""
        method, error = self._first_fit
        if error is not None:
            raise error
        assert method is not None  # noqa: S101  (one of the two is set)
        return method

    @property
    def fitted(self) -> Method:
        """The fitted method that checks share.

        Raises:
            NotRun: If it declines or cannot be fitted.
        """
        method, error = self._first_fit
        if isinstance(error, NotRun):
            raise error
        if method is None:
            raise NotRun("the method cannot be fitted; see the check fit")
        return method

    @property
    def judging(self) -> tuple[str, ...]:
        """The members that say something of single images, where the method has them."""
        optional = ("predict_proba", "unknown_score")
        return ("embed", *(member for member in optional if self.cls.implements(member)))

    def answers(self, method: Method, images: ImageSet) -> dict[str, NDArray[np.float32]]:
        """What a method says of images, by the member that says it; nothing is remembered."""
        forget()
        return {member: np.asarray(getattr(method, member)(images)) for member in self.judging}

    @cached_property
    def _known_answers(self) -> dict[str, NDArray[np.float32]]:
        return self.answers(self.fitted, self.sets.test.unlabelled())

    def known_answers(self) -> dict[str, NDArray[np.float32]]:
        """The shared method's `answers` on the test images, asked for once."""
        return dict(self._known_answers)


def forget() -> None:
    """Drop values of images that are shared within the process: each answer is computed anew."""
    from fpbench.compute.shared import SHARED

    SHARED.clear()


def scramble() -> None:
    """Leave the global random generators in a state that nobody chose."""
    import random

    import torch

    forget()
    fresh = np.random.SeedSequence().entropy
    assert isinstance(fresh, int)  # noqa: S101  (entropy that was not given is an integer)
    random.seed(fresh)
    np.random.seed(fresh % 2**32)
    torch.manual_seed(fresh % 2**63)


def require_equal(
    expected: Mapping[str, NDArray[np.float32]],
    found: Mapping[str, NDArray[np.float32]],
    change: str,
    cure: str,
) -> str:
    """Compare two `Subject.answers`.

    Args:
        expected: The first.
        found: The second.
        change: What made the difference, for "embed changes by ... when ...".
        cure: What the author should do.

    Returns:
        The largest difference, for the report.

    Raises:
        Fault: If they differ by more than `TOLERANCE` of the largest value.
    """
    worst = 0.0
    for member, first in expected.items():
        second = found[member]
        if first.shape != second.shape:
            raise Fault(
                f"{member} gives shape {second.shape} instead of {first.shape} {change}. {cure}"
            )
        scale = max(float(np.abs(first).max(initial=0)), 1e-12)
        off = float(np.abs(first.astype(np.float64) - second).max(initial=0)) / scale
        if not off <= TOLERANCE:
            raise Fault(
                f"{member} changes by {off:.2g} of its largest value {change} "
                f"(at most {TOLERANCE:g} is rounding). {cure}"
            )
        worst = max(worst, off)
    return f"largest difference {worst:.1g} of the largest value"
