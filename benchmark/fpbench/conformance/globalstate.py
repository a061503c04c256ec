"""Whether a method leaves the process as it found it."""

from __future__ import annotations

from collections.abc import Callable

from fpbench.compute.isolation import Change, isolated
from fpbench.conformance.result import Fault
from fpbench.conformance.subject import Subject, forget


def check_global_state(subject: Subject) -> str:
    """No setting of Python, NumPy or torch that other methods share is left changed."""
    fitted, images = subject.fitted, subject.sets.test.unlabelled()
    # Libraries that the first use loads change settings of their own; it is not watched.
    with isolated():
        subject.answers(fitted, images)
    again = subject.fit()
    _require_none("fit", subject.changed)
    asked: dict[str, Callable[[], object]] = {
        member: lambda member=member: getattr(again, member)(images)  # type: ignore[misc]
        for member in ("embed", "predict_proba", "residual")
        if subject.cls.implements(member)
    }
    for member, ask in asked.items():
        forget()
        with isolated() as isolation:
            ask()
        _require_none(member, isolation.changes())
    return f"as before after fit, {', '.join(asked)}"


def _require_none(member: str, changes: list[Change]) -> None:
    if changes:
        more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        raise Fault(
            f"after {member}, {changes[0]}{more}, for every method that runs later in this "
            f"process: {changes[0].cure}."
        )
