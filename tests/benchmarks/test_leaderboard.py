"""Boards of 500 records: built in 5 s, shown in 20 s, under 3 MB, sorted in 100 ms.

Times are processor time of a fresh process, start-up included: on a machine that others use, too,
wall time says more about them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.benchmark

LEADERBOARD = Path(__file__).parents[1] / "leaderboard"
METHODS, VARIANTS, SKILLS = 25, 20, 8
SOURCES = 13
IMAGES = 150


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"board_{name}", LEADERBOARD / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _made() -> ModuleType:
    """The maker of small runs, set to runs of a realistic size."""
    made = _load("conftest")
    made.TEST = IMAGES
    made.SOURCES = (
        ("real", "Real"),
        *((f"source-{k}", ("GAN", "VAE", "Flow", "Score")[k % 4]) for k in range(1, SOURCES)),
    )
    planted = made.planted_evidence
    made.planted_evidence = lambda skill, seed, prefix: planted(
        skill, seed, prefix, sources=SOURCES, images=IMAGES
    )
    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs of different skill, which the methods share: scoring them is what takes long."""
    made, folder = _made(), tmp_path_factory.mktemp("runs")
    return [made.write_run(folder / str(k), skill=0.3 + 0.07 * k, seed=k) for k in range(SKILLS)]


def _records(folder: Path, runs: list[Path], *, spread: bool) -> Path:
    """500 records: variants on one dataset, or seeds on four datasets."""
    from fpbench.runs.record import read_record

    made = _made()
    root = folder / "leaderboards"
    root.mkdir()
    shutil.copy(Path(__file__).parents[2] / "leaderboards" / "published.yaml", root)
    for number in range(METHODS):
        run = runs[number % SKILLS]
        record = read_record(run)
        for k in range(VARIANTS):
            dataset, seed, variant = f"gm-{k % 4}", k // 4, "default"
            if not spread:
                dataset, seed, variant = "gm-large", 0, f"variant-{k}"
            content = hashlib.sha256(dataset.encode()).hexdigest()
            side = replace(record.job.test, name=dataset, content_hash=content, digest="")
            job = replace(
                record.job,
                method=f"method-{number}",
                variant=variant,
                seed=seed,
                train=side,
                test=side,
            )
            copy = record.model_copy(update={"job": job, "key": job.key})
            target = run.with_name("copy.json")
            target.write_text(copy.json_text(), "utf-8")
            made.put(root, target)
    assert len(list(root.glob("results/*/*/*.json"))) == METHODS * VARIANTS
    return root


@pytest.fixture(scope="module")
def one_dataset(tmp_path_factory: pytest.TempPathFactory, runs: list[Path]) -> Path:
    """500 rows on one board, the largest number of pairs."""
    return _records(tmp_path_factory.mktemp("one"), runs, spread=False)


@pytest.fixture(scope="module")
def four_datasets(tmp_path_factory: pytest.TempPathFactory, runs: list[Path]) -> Path:
    """25 methods on 4 datasets, 5 seeds each."""
    return _records(tmp_path_factory.mktemp("four"), runs, spread=True)


def seconds(*words: str) -> float:
    """Processor time of one command in a fresh process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    script = (
        "import sys\n"
        "from fpbench.cli.main import entry\n"
        "try:\n"
        "    entry()\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("records", ["one_dataset", "four_datasets"])
def test_building(records: str, request: pytest.FixtureRequest, benchmark: Any) -> None:
    root = request.getfixturevalue(records)
    seconds("leaderboard", "build", "--root", str(root))
    taken = benchmark.pedantic(
        seconds, ("leaderboard", "build", "--root", str(root)), rounds=2, iterations=1
    )
    benchmark.extra_info["processor_seconds"] = taken
    assert taken < 5


@pytest.mark.parametrize("records", ["one_dataset", "four_datasets"])
def test_site(records: str, request: pytest.FixtureRequest, tmp_path: Path, benchmark: Any) -> None:
    root = request.getfixturevalue(records)
    out = tmp_path / "site"
    taken = benchmark.pedantic(
        seconds,
        ("leaderboard", "site", "--root", str(root), "--out", str(out)),
        rounds=1,
        iterations=1,
    )
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and p.suffix != ".png")
    benchmark.extra_info |= {"processor_seconds": taken, "bytes": size}
    assert taken < 20
    assert size < 2_600_000  # the target is 3 MB


SORTING = """
    const table = document.querySelector('#boards table');
    const buttons = [...table.querySelectorAll('thead button')].slice(0, 9);
    return [...buttons, ...buttons].map(button => {
      const start = performance.now();
      button.click();
      void table.offsetHeight;  // the layout is part of what a reader waits for
      return performance.now() - start;
    });
"""


# Rows below the first screens follow in later frames; this waits for the last of them, painted.
UNTIL_ALL_STAND = """
    const done = arguments[arguments.length - 1];
    const table = document.querySelector('#boards table');
    const buttons = [...table.querySelectorAll('thead button')].slice(0, 9);
    const frame = () => new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)));
    (async () => {
      const found = [];
      for (const button of buttons) {
        const start = performance.now();
        button.click();
        do { await frame(); } while (table.hasAttribute('aria-busy'));
        found.push(performance.now() - start);
      }
      done(found);
    })();
"""


def test_sorting_500_rows_in_chromium(one_dataset: Path, tmp_path: Path, benchmark: Any) -> None:
    from fpbench.leaderboard.output.site.write import write_site

    chromium = _load("chromium")
    if chromium.missing():
        pytest.skip(chromium.missing())
    write_site(one_dataset, tmp_path / "site")
    with chromium.started() as browser:
        browser.open(tmp_path / "site" / "datasets" / "gm-large.html")
        assert browser.run("return document.querySelectorAll('#boards tbody tr').length") == 500
        assert len(browser.texts("#boards tbody tr")) == 200
        found = sorted(browser.run(SORTING))
        browser.run("document.querySelector('button.more').click()")
        browser.driver.execute_async_script(UNTIL_ALL_STAND)
        everything = sorted(browser.run(SORTING))
        settled = sorted(browser.driver.execute_async_script(UNTIL_ALL_STAND))
        assert len(browser.texts("#boards tbody tr")) == 500
        assert browser.complaints() == []
    benchmark.extra_info |= {
        "milliseconds": found,
        "milliseconds_all_shown": everything,
        "milliseconds_until_all_stand": settled,
    }
    benchmark.pedantic(lambda: None, rounds=1)
    # The lower third: others use the processor, too, and can only make it slower.
    assert found[len(found) // 3] < 100
    assert everything[len(everything) // 3] < 100
