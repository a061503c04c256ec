"""A job that is too slow is declined, and says how slow; one that is not is left alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench import registry
from fpbench.datasets.resolve import resolve
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodCard, MethodDeclined, Variant
from fpbench.runs import timelimit
from fpbench.runs.execute import execute
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.record import read_record
from fpbench.runs.store import Store
from fpbench.runs.timelimit import limited


class Clock:
    """Time that passes when told; of the processor's as much as of the wall's, unless stopped."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stopped = 0.0

    def perf_counter(self) -> float:
        return self.now

    def process_time(self) -> float:
        return self.now - self.stopped


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(timelimit, "time", clock)
    return clock


def train(context: FitContext, clock: Clock, steps: int, seconds: float, what: str = "t") -> int:
    """Report steps that take so long each; how many were done before the job was ended."""
    for done in range(steps + 1):
        try:
            context.progress(what, done, steps)
        except MethodDeclined:
            return done
        clock.now += seconds
    return steps


def test_within_the_limit_nothing_happens_and_reports_go_through(clock: Clock) -> None:
    seen: list[tuple[str, int, int]] = []
    context = limited(FitContext(progress=lambda *report: seen.append(report)), 10)
    assert train(context, clock, 100, 5.9) == 100
    assert seen[0] == ("t", 0, 100) and seen[-1] == ("t", 100, 100)
    assert limited(context, None) is context


def test_a_job_slightly_too_slow_is_ended_at_the_limit(clock: Clock) -> None:
    # 100 steps of 9 s are 900 s, less than twice the 600 s: a stop at the 67th, past 600 s.
    assert train(limited(FitContext(), 10), clock, 100, 9) == 67


def test_a_hopeless_job_is_ended_early_and_says_how_long_it_would_take(clock: Clock) -> None:
    context = limited(FitContext(device="cpu"), 10)
    context.progress("t", 0, 1000)
    context.progress("t", 1, 1000)
    clock.now += 60
    context.progress("t", 21, 1000)  # warmed up; from here on its pace counts
    clock.now += 60
    with pytest.raises(
        MethodDeclined,
        match=r"10 minutes on cpu: after 2 minutes it was at step 41 of 1,000 of 't'; all of it "
        r"would take about 50 minutes\. Give a longer --time-limit",
    ):
        context.progress("t", 41, 1000)


def test_steps_of_warming_up_are_not_the_pace(clock: Clock) -> None:
    """Six steps of 20 s, then 100 of 1 s: of the first alone it would have been 35 minutes."""
    context = limited(FitContext(), 5)
    for done in range(6):
        context.progress("t", done, 106)
        clock.now += 20
    for done in range(6, 107):
        context.progress("t", done, 106)
        clock.now += 1


@pytest.mark.parametrize(("device", "ended"), [("cpu", False), ("cuda", True)])
def test_time_in_which_the_process_stood_still_counts_on_a_gpu_alone(
    clock: Clock, device: str, ended: bool
) -> None:
    context = limited(FitContext(device=device), 10)
    context.progress("t", 0, 100)
    clock.now += 3600
    clock.stopped += 3600
    assert (train(context, clock, 100, 1) < 100) is ended


def test_the_first_steps_do_not_condemn_a_job(clock: Clock) -> None:
    # The first takes 29 s, as the loading of a library does, the others 0.3 s: 100 in all.
    context = limited(FitContext(), 1)
    context.progress("t", 0, 100)
    clock.now += 29
    assert train(context, clock, 100, 0.3) == 100


def test_what_came_before_an_activity_is_not_its_pace(clock: Clock) -> None:
    context = limited(FitContext(), 10)
    assert train(context, clock, 2, 200, "first") == 2
    clock.now -= 200  # the last report of an activity takes no time
    assert train(context, clock, 1000, 0.1, "second") == 1000


def test_two_activities_of_one_name_are_told_apart(clock: Clock) -> None:
    context = limited(FitContext(), 10)
    assert train(context, clock, 100, 0.1) == 100
    assert train(context, clock, 1000, 10) == 11  # 50 s of warming up, 50 s of its pace


def test_an_activity_that_has_ended_is_not_held_against_the_job(clock: Clock) -> None:
    context = limited(FitContext(), 1)
    clock.now += 3600
    context.progress("t", 10, 10)
    with pytest.raises(MethodDeclined, match="after 60 minutes"):
        context.progress("next", 0, 10)


class Slow(Method):
    """Reports steps until it is stopped, on a clock of the test."""

    clock: Clock
    card = MethodCard(
        name="slow", title="t", authors="a", year=2026, citation="", licence="MIT", version="1",
        variants={"only": Variant("")},
    )  # fmt: skip

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> "Slow":
        for done in range(31):
            context.progress("train", done, 30)
            self.clock.now += 10
        return self

    def embed(self, images: ImageSet) -> Any:
        return images.pixels.reshape(len(images), -1)[:, :8].astype(np.float32)


def test_a_slow_job_is_declined_and_is_not_taken_for_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock
) -> None:
    Slow.clock = clock
    monkeypatch.setattr(registry, "method_class", lambda name: Slow)
    monkeypatch.setattr(registry, "method_origin", lambda name: "tests")
    side = one_side("gm-mini", resolve("gm-mini").identity)
    (job,) = make_plan(["slow"], [(side, side)])
    store = Store(tmp_path)

    record = execute(job, store, JobOptions(device="cpu", figures=False, time_limit=2))
    assert record.status == "declined"
    assert record.reason and "time limit of 2 minutes" in record.reason
    assert "of 30 of 'train'" in record.reason
    assert read_record(store.folder(job)).reason == record.reason
    assert store.find(job) is None  # so that a call without the limit runs it
