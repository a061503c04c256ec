"""Images that are tiny, of odd size, or of one source only; and being stopped half-way."""

from __future__ import annotations

import numpy as np

from fpbench.conformance.clarity import is_clear
from fpbench.conformance.planted import PlantedSets, planted_sets
from fpbench.conformance.result import Fault, NotRun
from fpbench.conformance.subject import Subject
from fpbench.images import ImageSet
from fpbench.method import MethodDeclined


def _require_answer(subject: Subject, sets: PlantedSets, what: str, *, promised: str = "") -> str:
    """Fit and ask; an answer or a clear error will do, unless an answer is `promised`."""
    subject.fitted  # noqa: B018  (a method that declines or cannot be fitted is told apart first)
    images = sets.test.unlabelled()
    try:
        given = subject.answers(subject.fit(sets), images)
    except MethodDeclined as declined:
        return f"declined: {declined}"
    # Any other exception is judged by whether it tells the user what is wrong.
    except Exception as error:
        if promised:
            raise Fault(
                f"the method raises {type(error).__name__}: {error} for {what}; {promised}"
            ) from error
        if is_clear(error):
            return f"refused clearly: {error}"
        raise Fault(
            f"the method raises {type(error).__name__}: {error} for {what}; check the input in "
            "fit and raise ValueError or MethodDeclined with a sentence, or make it work."
        ) from error
    for member, value in given.items():
        if len(value) != len(images) or not np.isfinite(value).all():
            raise Fault(
                f"{member} returns shape {value.shape}, finite: {bool(np.isfinite(value).all())}, "
                f"for {what}; "
                + (promised or f"return {len(images)} finite rows or raise a clear ValueError.")
            )
    return "answered"


def _few(size: tuple[int, int]) -> PlantedSets:
    return planted_sets(size, kind="pattern", planted=2, counts=(10, 6, 4), reference=24, seed=5)


def check_tiny(subject: Subject) -> str:
    """Images of the smallest size that the card promises are answered."""
    smallest = subject.cls.card.min_size
    return _require_answer(
        subject,
        _few((smallest, smallest)),
        f"images of {smallest}x{smallest}, 10 of each source",
        promised=f"card.min_size promises {smallest}, so make it work or raise card.min_size.",
    )


def check_odd_size(subject: Subject) -> str:
    """Images that are neither square nor of even size get an answer or a clear error."""
    side = subject.cls.card.min_size
    h, w = max(33, side + 4 + (side + 1) % 2), max(29, side + (side + 1) % 2)
    return _require_answer(subject, _few((h, w)), f"images of {h}x{w}")


def check_one_class(subject: Subject) -> str:
    """Training images of one source alone get an answer or a clear error."""
    sets = subject.sets

    def only(images: ImageSet) -> ImageSet:
        return images.select(images.labels == 1)

    single = PlantedSets(only(sets.train), sets.reference, only(sets.validation), sets.test)
    return _require_answer(
        subject, single, f"training images of one source of {len(sets.train.sources)}"
    )


def check_cancellation(subject: Subject) -> str:
    """A KeyboardInterrupt in the progress callback leaves `fit` at once."""
    subject.fitted  # noqa: B018  (a method that declines is told apart first)
    calls = 0

    def interrupt(what: str, done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        raise KeyboardInterrupt

    try:
        subject.fit(progress=interrupt)
    except KeyboardInterrupt:
        if calls == 1:
            return "stopped at the first report"
    except Exception as error:
        raise Fault(
            f"fit turns a KeyboardInterrupt from context.progress into {type(error).__name__}: "
            f"{error}; catch Exception instead of BaseException."
        ) from error
    if not calls:
        raise NotRun("fit calls context.progress never, so nothing can stop it half-way")
    raise Fault(
        "fit goes on after a KeyboardInterrupt from context.progress; never catch "
        "KeyboardInterrupt, and no bare `except:`."
    )
