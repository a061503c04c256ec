"""Prints what methods reach when every image, of training and test, is given noise first.

Run it from the root of a checkout: ``python docs/figures/noise.py DATASET --method
resnet20:highpass --noise 0 2 8``. Traces that lie in the last bits, as a writer's rounding leaves
them, are gone after noise of a few grey levels; what a network draws is not.
"""

from __future__ import annotations

import argparse
import sys

import click
import numpy as np

from fpbench import registry
from fpbench.datasets.resolve import resolve
from fpbench.images import ImageSet
from fpbench.leaderboard.view.columns import score_text
from fpbench.method import FitContext
from fpbench.metrics.attribution import accuracy_score
from fpbench.runs.judge import build_method, fit, judge
from fpbench.runs.splits import Splits, splits_of


def with_noise(images: ImageSet, sigma: float, seed: int) -> ImageSet:
    """The images with Gaussian noise of so many grey levels, rounded and clipped again."""
    noise = np.random.default_rng(seed).normal(0, sigma, images.pixels.shape)
    pixels = np.rint(images.pixels + noise).clip(0, 255).astype(np.uint8)
    labels = images.labels if images.labelled else None
    return ImageSet(pixels, images.sources, labels)


def main() -> int:
    """Print one line for each method and strength of noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--method", nargs="+", required=True, metavar="NAME[:VARIANT]")
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 2.0, 8.0], metavar="SIGMA")
    asked = parser.parse_args()
    splits = splits_of(resolve(asked.dataset).load(), None, None)
    real = next((k for k, source in enumerate(splits.train.sources) if source.is_real), None)
    for name in asked.method:
        cls, variant = registry.resolve_method(name)
        for sigma in asked.noise:
            parts = (splits.reference, splits.train, splits.validation, splits.test)
            noisy = Splits(*(with_noise(part, sigma, seed) for seed, part in enumerate(parts)))
            method = build_method(cls, variant, {})
            context = FitContext()
            outcome = judge(fit(method, noisy, context), noisy, context)
            found = accuracy_score(splits.test.labels, outcome.proba, real)
            click.echo(f"{asked.dataset} {name} noise {sigma:g}: {score_text(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
