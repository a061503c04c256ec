"""Draws the figures of docs/scoring.md from real runs.

Run it from the root of a checkout: ``python docs/figures/scoring.py --runs runs``. Jobs that are
finished there are not run again. The tree is of gm-cifar10, whose real images must be at hand.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from fpbench.datasets.resolve import resolve
from fpbench.metrics.separability import separability_scores
from fpbench.plots.curve import Curve, plot_curves
from fpbench.runs.ablation import (
    Ablation,
    ablation_folder,
    collect_ablation,
    default_values,
    plan_ablation,
    write_ablation,
)
from fpbench.runs.execute import execute
from fpbench.runs.job import Job, Side
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.store import Store

HERE = Path(__file__).parent
METHOD, DATASET = "prnu", "gm-mini"
TREE_METHOD, TREE_DATASET = "logdct", "gm-cifar10"
DIMENSIONS = 4
SIZES = (32, 64, 96, 150)
SIMULATED_SIZES = (32, 64, 256, 512, 1024)


def finished(store: Store, spec: Job, figures: bool = False) -> Path:
    """The folder of a job, run if it has not been."""
    folder = store.folder(spec)
    if store.find(spec) is None or (figures and not (folder / "figures").is_dir()):
        execute(spec, store, JobOptions(device="cpu", figures=figures))
    return folder


def side_of(name: str) -> Side:
    """A dataset as a side of jobs."""
    return one_side(name, resolve(name).identity)


def fdr_curve(features: NDArray[np.float64], labels: NDArray[np.int64], sizes: tuple[int, ...],
              ) -> Curve:  # fmt: skip
    """FDR-v1 of the same embeddings with fewer and more test images of each source."""
    scores = [
        separability_scores(features, features, labels, n=n, d=DIMENSIONS, raw=False)["fdr"]
        for n in sizes
    ]
    return Curve(
        sizes,
        [s.value for s in scores],
        [s.ci_low for s in scores],
        [s.ci_high for s in scores],
        [s.chance for s in scores],
    )


def draw_fdr(folder: Path) -> None:
    """FDR against n: a real run, and sources that are all alike but for their mean."""
    dataset = resolve(DATASET).load()
    labels = dataset.test.labels
    embeddings = load_file(folder / "embeddings.safetensors")["test"].astype(np.float64)
    generated = labels > 0
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(4), max(SIMULATED_SIZES))
    means = rng.normal(size=(4, DIMENSIONS))
    means *= 1.5 / np.linalg.norm(means, axis=1, keepdims=True)
    apart = means[of] + rng.normal(size=(len(of), DIMENSIONS))
    alike = rng.normal(size=(len(of), DIMENSIONS))
    plot_curves(
        HERE / "scoring-fdr.png",
        {
            f"{METHOD} on {DATASET}": fdr_curve(embeddings[generated], labels[generated], SIZES),
            "four Gaussians, means 1.5 from the origin": fdr_curve(apart, of, SIMULATED_SIZES),
            "four equal Gaussians": fdr_curve(alike, of, SIMULATED_SIZES),
        },
        f"The same sources, more test images (d = {DIMENSIONS})",
        "test images of each source (n)",
        "FDR-v1",
    )


def draw_bags(store: Store) -> None:
    """Accuracy against the size of bags."""
    dataset = resolve(DATASET).load()
    values = default_values("bag-size", dataset)
    points = plan_ablation(METHOD, DATASET, dataset, "bag-size", values)
    ablation = Ablation(
        method=METHOD,
        dataset=DATASET,
        content_hash=dataset.identity.content_hash,
        varied="bag-size",
        budget="small",
        rows=collect_ablation(points, "bag-size", store, ()),
    )
    *_, curve = write_ablation(ablation_folder(store, points, "bag-size"), ablation)
    shutil.copyfile(curve, HERE / "scoring-bags.png")


def main() -> None:
    """Run what is not finished, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    store = Store(parser.parse_args().runs)
    (spec,) = make_plan([TREE_METHOD], [(side_of(TREE_DATASET),) * 2])
    folder = finished(store, spec, figures=True)
    for name in ("dendrogram", "alignment"):
        shutil.copyfile(folder / "figures" / f"{name}.png", HERE / f"scoring-{name}.png")
    (spec,) = make_plan([METHOD], [(side_of(DATASET),) * 2])
    folder = finished(store, spec)
    draw_fdr(folder)
    draw_bags(store)


if __name__ == "__main__":
    main()
