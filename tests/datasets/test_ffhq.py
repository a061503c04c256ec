"""The planted confound of the FFHQ set is found, and gone once one pipeline made all equal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fpbench.datasets.audit import audit
from fpbench.datasets.build import build

SHARED = os.environ.get("FPBENCH_SHARED_DATA")

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (SHARED and (Path(SHARED) / "generated" / "ffhq-256").is_dir()),
        reason="FPBENCH_SHARED_DATA names no folder with generated/ffhq-256",
    ),
]


def test_the_confound_is_found_where_it_is(tmp_path: Path) -> None:
    report = audit(str(build("gm-ffhq", tmp_path / "two", recipe_file="recipe-two.yaml")))
    assert report.finds("files") and report.finds("codec") and report.finds("grid")
    trace = report.document["codec_trace"]
    assert trace["real"]["ci_low"] > 0.3 and trace["stylegan-files"]["ci_low"] > 0.3
    assert abs(trace["stylegan3-r-files"]["mean"]) < 0.01
    assert report.document["shortcut"]["groups"]["grid"]["accuracy"] > 0.95


def test_one_pipeline_takes_it_away(tmp_path: Path) -> None:
    report = audit(str(build("gm-ffhq-equal", tmp_path / "equal")))
    assert not (report.finds("codec") or report.finds("grid") or report.finds("grid-real"))
    assert max(abs(t["mean"]) for t in report.document["codec_trace"].values()) < 0.01
