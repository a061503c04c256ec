"""What a check can end in: a pass, a fault that names its cure, or a reason not to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CheckResult:
    """How one check of a method ended.

    Attributes:
        name: The check, e.g. ``batch-size``.
        status: ``passed``, ``failed`` or ``skipped``.
        message: What was measured, what the author should change, or why it did not run.
        seconds: Processor time that it took.
    """

    name: str
    status: Literal["passed", "failed", "skipped"]
    message: str
    seconds: float = 0.0


class Fault(AssertionError):
    """A method breaks its contract; the message tells its author what to change."""


class NotRun(Exception):
    """A check does not apply or cannot run here; the message says why."""
