"""A limit to the time that one job may take."""

from __future__ import annotations

import time
from dataclasses import replace

from fpbench.method import FitContext, MethodDeclined

_SURE = 2.0
_STEPS = 5
_WAIT = 30.0


class TimeLimit:
    """A progress callback that ends a job which takes too long.

    A method is asked at each of its progress reports, so one that reports nothing is never
    ended. It is wall time that counts, that of a stopped process too. It need not spend the
    whole limit: where an activity, going on at the pace of half a minute and five steps, would
    take the job past twice the limit, the job ends at once. Twice, because a training may stop
    early. An activity's first step has no part in its pace, because it loads and compiles what
    the others use.

    Args:
        minutes: The limit, from now on.
        context: Its progress callback is called first; its device is named in the message.
    """

    def __init__(self, minutes: float, context: FitContext) -> None:
        self._minutes = minutes
        self._context = context
        self._started = time.perf_counter()
        self._what = ""
        self._reports = self._last = 0
        self._began = self._started
        self._first = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report progress, and end the job if it is too slow.

        Raises:
            MethodDeclined: If the limit is passed or will be; the message says at which step and
                how long the activity would take.
        """
        self._context.progress(what, done, total)
        now = time.perf_counter()
        if what != self._what or done < self._last:  # or another activity of the same name
            self._what, self._reports = what, 0
        self._reports, self._last = self._reports + 1, done
        if self._reports <= 2:  # at its begin, and after its first step
            self._began, self._first = now, done
        if done >= total:
            return
        steps, spent = done - self._first, now - self._began
        whole = spent / steps * (total - self._first) if steps > 0 else 0.0
        limit = 60 * self._minutes
        end = self._began - self._started + whole
        foreseen = steps >= _STEPS and spent >= _WAIT and end > _SURE * limit
        if now - self._started <= limit and not foreseen:
            return
        pace = f"; all of it would take about {whole / 60:.3g} minutes" if steps > 0 else ""
        raise MethodDeclined(
            f"Slower than the time limit of {self._minutes:g} minutes on {self._context.device}: "
            f"after {(now - self._started) / 60:.3g} minutes it was at step {done:,} of "
            f"{total:,} of {what!r}{pace}. Give a longer --time-limit or a faster device."
        )


def limited(context: FitContext, minutes: float | None) -> FitContext:
    """The same circumstances under a time limit that starts now, or under none."""
    if minutes is None:
        return context
    return replace(context, progress=TimeLimit(minutes, context))
