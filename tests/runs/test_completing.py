"""Figures that a job was run without are drawn later as they would have been."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench.images import ImageSet
from fpbench.method import Method
from fpbench.runs import figures
from fpbench.runs.executors.base import Report
from fpbench.runs.job import Job
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.record import read_record
from fpbench.runs.run_plan import run_plan
from fpbench.runs.store import Store

BARE = JobOptions(device="cpu", figures=False)
DRAWN = dataclasses.replace(BARE, figures=True)
PLOTS = ("confusion", "correlations", "tsne", "dendrogram", "alignment", "strip")


class Heard(Report):
    """Keeps remarks, and whether anything ran."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.ran = 0

    def remark(self, job: Job, what: str) -> None:
        self.remarks.append(what)

    def started(self, job: Job) -> None:
        self.ran += 1


@pytest.fixture
def plan(world: Any, plugins: dict[str, type[Method]], monkeypatch: Any) -> list[Job]:
    """One job of a method with residuals; what a figure would show is written instead of it."""

    class Showing(plugins["colour"]):  # type: ignore[misc,name-defined]
        def residual(self, images: ImageSet) -> Any:
            return np.zeros((*images.pixels.shape,), np.float32)

    def write(path: Path, *arguments: Any) -> None:
        path.write_text(repr(arguments), "utf-8")

    plugins["colour"] = Showing
    for name in PLOTS:
        monkeypatch.setattr(figures, f"plot_{name}", write)
    side = one_side("b", world["b"].identity)
    return make_plan(["colour"], [(side, side)])


def shown(store: Store, job: Job) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (store.folder(job) / "figures").iterdir()}


def test_figures_are_drawn_from_what_is_stored(plan: list[Job], tmp_path: Path) -> None:
    whole, bare, heard = Store(tmp_path / "whole"), Store(tmp_path / "bare"), Heard()
    ((job, _),) = run_plan(plan, whole, options=DRAWN)
    ((_, first),) = run_plan(plan, bare, options=BARE)
    before = (bare.folder(job) / "record.json").read_bytes()
    ((_, record),) = run_plan(plan, bare, options=DRAWN, report=heard)
    assert heard.ran == 0 and record == first == read_record(bare.folder(job))
    assert (bare.folder(job) / "record.json").read_bytes() == before
    expected = shown(whole, job)
    assert set(expected) == {"confusion.png", "correlation.png", "dendrogram.png", "tsne.png",
                             "residuals.png"} | (set(expected) & {"alignment.png"})  # fmt: skip
    del expected["residuals.png"]
    assert shown(bare, job) == expected
    drawn, residuals = heard.remarks
    assert drawn.startswith("drawn from what is stored: ") and "confusion, correlation" in drawn
    assert "residuals needs the fitted method" in residuals and "--again" in residuals
    heard = Heard()
    run_plan(plan, bare, options=DRAWN, report=heard)
    assert heard.remarks == [] and heard.ran == 0
    run_plan(plan, bare, options=DRAWN, again=True)
    assert set(shown(bare, job)) == {*expected, "residuals.png"}


@pytest.mark.parametrize("file", ["predictions.parquet", "evidence.safetensors",
                                  "embeddings.safetensors"])  # fmt: skip
def test_what_cannot_be_read_is_told_and_nothing_is_half_drawn(
    plan: list[Job], tmp_path: Path, file: str
) -> None:
    store, heard = Store(tmp_path), Heard()
    ((job, _),) = run_plan(plan, store, options=BARE)
    (store.folder(job) / file).write_bytes(b"spoilt")
    run_plan(plan, store, options=DRAWN, report=heard)
    (remark,) = heard.remarks
    assert file in remark and "--again draws them" in remark
    assert not (store.folder(job) / "figures").exists()
