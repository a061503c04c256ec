"""Verdicts on 10,000 files of a folder: images a second, and memory that does not grow."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fpbench.attribution.fitting import fit_model
from fpbench.datasets.png import encode_png
from fpbench.datasets.resolve import resolve

pytestmark = pytest.mark.benchmark

IMAGES = 10_000
LEAST = 200
"""Images of 32x32 a second."""

_CALL = """
import json, resource, sys, time
from fpbench.attribution.judging import attribute
from fpbench.attribution.model import load_model
model = load_model(sys.argv[1])
paths = sys.argv[2:]
next(iter(attribute(paths, model)))
wall, cpu, count, refused = time.perf_counter(), time.process_time(), 0, 0
for verdict in attribute(paths, model):
    count += 1
    refused += verdict.kind == "not judged"
print(json.dumps({
    "count": count, "refused": refused, "wall": time.perf_counter() - wall,
    "cpu": time.process_time() - cpu,
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Test images of gm-mini with noise of one level, and one broken file among them."""
    place = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    pixels = resolve("gm-mini").load().test.pixels
    for index in range(IMAGES):
        noise = rng.integers(-1, 2, pixels.shape[1:])
        image = np.clip(pixels[index % len(pixels)] + noise, 0, 255).astype(np.uint8)
        (place / f"{index:05}.png").write_bytes(encode_png(image))
    (place / "07000.png").write_bytes(b"broken")
    return place


def measured(model: Path, *paths: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _CALL, str(model), *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("method", ["prnu", "frank"])
def test_ten_thousand_images_of_a_folder(method: str, folder: Path, tmp_path: Path) -> None:
    model = fit_model(method, "gm-mini", tmp_path / "model", budget="smoke", device="cpu").folder
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(folder.iterdir())[:1000]:
        (few / path.name).write_bytes(path.read_bytes())
    small, large = measured(model, few), measured(model, folder)
    print(f"\n{method}: {large}, of 1,000 images {small}")  # noqa: T201
    assert (large["count"], large["refused"]) == (IMAGES, 1)
    assert IMAGES / large["cpu"] >= LEAST
    # In KiB: the names of 9,000 more files, and what an allocator keeps.
    assert large["peak"] - small["peak"] < 32 * 1024


def test_the_command_names_the_broken_file_and_ends_with_one(folder: Path, tmp_path: Path) -> None:
    model = fit_model("prnu", "gm-mini", tmp_path / "model", budget="smoke", device="cpu").folder
    started = time.perf_counter()
    words = ["attribute", str(folder), "--model", str(model)]
    done = subprocess.run(
        [sys.executable, "-m", "fpbench", *words], capture_output=True, text=True, check=False
    )
    print(f"\n{time.perf_counter() - started:.1f} s for {IMAGES} images")  # noqa: T201
    assert done.returncode == 1
    assert done.stderr.count("Error:") == 1 and "07000.png" in done.stderr
    assert sum(line.startswith(str(folder)) for line in done.stdout.splitlines()) == IMAGES - 1
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 4 << 20
