"""How jobs are run, as far as their results do not depend on it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Self

from fpbench.compute.device import check_device
from fpbench.errors import BadInput


def check_count(what: str, count: int | None) -> None:
    """Refuse a number of threads or workers that cannot be.

    Raises:
        BadInput: If it is given and no whole number of at least 1.
    """
    if count is not None and (type(count) is not int or count < 1):
        raise BadInput(f"{count!r} {what} are not possible; give a whole number of at least 1.")


@dataclass(frozen=True)
class JobOptions:
    """What is the same for all jobs of a plan, wherever they run.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        figures: Whether to draw figures.
        offline: Whether to keep from asking the Hub.
        time_limit: Minutes that a job's method may take, or None (see `TimeLimit`). What a job
            scores does not depend on it.
        scores: Names of families or keys of scores to compute, or None for all.
        threads: Threads a job is given, or None for as many as there are. Another number adds
            in another order, which training amplifies, so the record notes it.
        executor: Name of what runs the jobs, for the record.

    Raises:
        BadInput: If the time limit is no time, or there is no such number of threads or device.
    """

    device: str = "auto"
    figures: bool = True
    offline: bool = False
    time_limit: float | None = None
    scores: tuple[str, ...] | None = None
    threads: int | None = None
    executor: str = "local"

    def __post_init__(self) -> None:
        limit = self.time_limit
        if limit is not None and not (limit > 0 and math.isfinite(limit)):
            raise BadInput(f"A time limit of {limit!r} minutes is none; give a number above 0.")
        check_count("threads", self.threads)
        check_device(self.device)  # before finished jobs are shown, too

    def to_dict(self) -> dict[str, Any]:
        """The options as a JSON document holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The options of `to_dict`."""
        scores = content.get("scores")
        return cls(**{**content, "scores": None if scores is None else tuple(scores)})
