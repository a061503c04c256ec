"""Options of several commands, and the kinds of values they take."""

from __future__ import annotations

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A number in a range; click itself takes ``nan`` and ``inf`` for numbers in any."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number.

        Raises:
            click.BadParameter: If it is none, not finite or out of range.
        """
        found: float = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no finite number.", param, ctx)
        return found


time_limit_option = click.option(
    "--time-limit", type=FiniteRange(0, min_open=True), metavar="MINUTES",
    help="Decline a job whose method takes longer than this.",
)  # fmt: skip
