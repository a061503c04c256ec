"""How jobs are run, as far as their results do not depend on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self


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
    """

    device: str = "auto"
    figures: bool = True
    offline: bool = False
    time_limit: float | None = None
    scores: tuple[str, ...] | None = None
    threads: int | None = None
    executor: str = "local"

    def to_dict(self) -> dict[str, Any]:
        """The options as a JSON document holds them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The options of `to_dict`."""
        scores = content.get("scores")
        return cls(**{**content, "scores": None if scores is None else tuple(scores)})
