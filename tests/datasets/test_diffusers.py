"""A pretrained pipeline of `diffusers` is a source like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench.datasets.build import build
from fpbench.datasets.card import read_manifest
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput

pytestmark = pytest.mark.slow


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """An untrained DDPM of 16x16 images in the folder layout of the Hub."""
    diffusers = pytest.importorskip("diffusers")
    net = diffusers.UNet2DModel(
        sample_size=16,
        block_out_channels=(8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    folder = tmp_path / "pipeline"
    diffusers.DDPMPipeline(net, diffusers.DDPMScheduler()).save_pretrained(folder)
    return folder


def test_its_samples_repeat(
    tiny_card: Path, tmp_path: Path, edit_yaml: Any, pipeline: Path
) -> None:
    origin = {"kind": "diffusers", "pipeline": str(pipeline), "steps": 2, "seed": 3}
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["sources"].update({"gan-a": origin}))
    one, two = build(tiny_card, tmp_path / "one"), build(tiny_card, tmp_path / "two")
    assert read_manifest(one).facts["gan-a"]["num_inference_steps"] == 2
    first, second = resolve(str(one)).load().train, resolve(str(two)).load().train
    assert (first.of_source("gan-a").pixels == second.of_source("gan-a").pixels).all()
    assert np.ptp(first.of_source("gan-a").pixels) > 50


def test_one_that_cannot_be_had_is_named(
    tiny_card: Path, tmp_path: Path, edit_yaml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    origin = {"kind": "diffusers", "pipeline": str(tmp_path / "nowhere")}
    edit_yaml(tiny_card / "recipe.yaml", lambda d: d["sources"].update({"gan-a": origin}))
    with pytest.raises(BadInput, match=r"Source 'gan-a': the pipeline .*nowhere is not available"):
        build(tiny_card, tmp_path / "built")
