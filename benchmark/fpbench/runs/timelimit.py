"""A limit to the time that one job may take."""

from __future__ import annotations

import time
from dataclasses import replace

from fpbench.method import FitContext, MethodDeclined

_SURE = 2.0
_STEPS = 5
_WARM = 15.0
_WAIT = 30.0


class TimeLimit:
    """A progress callback that ends a job which takes too long.

    A method is asked at each of its progress reports, so one that reports nothing is never
    ended. On a processor it is the smaller of wall time and processor time that counts: a stopped
    process, and one that shares its cores with others, is not slow for that. A job need not spend
    the whole limit: where an activity, going on at its pace, would take the job past twice the
    limit, the job ends at once. Twice, because a training may stop early. The pace is that of
    half a minute and five steps after the activity has warmed up, which takes five steps and a
    quarter of a minute: the first steps load and compile what the others use.

    Args:
        minutes: The limit, from now on.
        context: Its progress callback is called first; its device is named in the message.
    """

    def __init__(self, minutes: float, context: FitContext) -> None:
        self._minutes = minutes
        self._context = context
        self._by_processor = context.device == "cpu"
        self._wall, self._processor = time.perf_counter(), time.process_time()
        self._what = ""
        self._reports = self._last = 0
        self._began = self._warm = 0.0
        self._first = 0
        self._warm_at: int | None = None

    def _spent(self) -> float:
        """Seconds since the limit began."""
        wall = time.perf_counter() - self._wall
        return min(wall, time.process_time() - self._processor) if self._by_processor else wall

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report progress, and end the job if it is too slow.

        Raises:
            MethodDeclined: If the limit is passed or will be; the message says at which step and
                how long the activity would take.
        """
        self._context.progress(what, done, total)
        now = self._spent()
        if what != self._what or done < self._last:  # or another activity of the same name
            self._what, self._reports, self._warm_at = what, 0, None
        self._reports, self._last = self._reports + 1, done
        if self._reports <= 2:  # at its begin, and after its first step
            self._began, self._first = now, done
        if done >= total:
            return
        if self._warm_at is None and done - self._first >= _STEPS and now - self._began >= _WARM:
            self._warm_at, self._warm = done, now
        since, at = self._began, self._first
        if self._warm_at is not None and done > self._warm_at:
            since, at = self._warm, self._warm_at
        steps, spent = done - at, now - since
        left = spent / steps * (total - done) if steps > 0 else 0.0
        limit = 60 * self._minutes
        sure = self._warm_at is not None and at == self._warm_at
        foreseen = sure and steps >= _STEPS and spent >= _WAIT and now + left > _SURE * limit
        if now <= limit and not foreseen:
            return
        whole = now - self._began + left
        pace = f"; all of it would take about {whole / 60:.3g} minutes" if steps > 0 else ""
        raise MethodDeclined(
            f"Slower than the time limit of {self._minutes:g} minutes on {self._context.device}: "
            f"after {now / 60:.3g} minutes it was at step {done:,} of "
            f"{total:,} of {what!r}{pace}. Give a longer --time-limit or a faster device."
        )


def limited(context: FitContext, minutes: float | None) -> FitContext:
    """The same circumstances under a time limit that starts now, or under none."""
    if minutes is None:
        return context
    return replace(context, progress=TimeLimit(minutes, context))
