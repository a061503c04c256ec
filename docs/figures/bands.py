"""Prints how well generators are told apart by parts of the spectrum.

Run it from the root of a checkout: ``python docs/figures/bands.py DATASET``. It answers where the
scores of a board come from: a classifier that sees low frequencies alone reads what a generator
drew badly rather than a fingerprint. How bright, contrasted, smooth and clipped images are is the
plain-statistics baseline: ``fpbench run --method plain --dataset DATASET``.
"""

from __future__ import annotations

import argparse
import sys
from itertools import pairwise

import click
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fpbench.datasets.resolve import resolve
from fpbench.images import ImageSet

EDGES = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0)
"""Ends of the bands, in shares of the highest frequency."""


def spectra(images: ImageSet) -> NDArray[np.float64]:
    """Logarithms of the cosine coefficients of grey images, shape (N, H, W)."""
    grey = images.pixels.astype(np.float64).mean(axis=-1)
    logarithms: NDArray[np.float64] = np.log(np.abs(dctn(grey, axes=(1, 2), norm="ortho")) + 1e-6)
    return logarithms


def generated(images: ImageSet) -> ImageSet:
    """The images of generators."""
    real = [k for k, source in enumerate(images.sources) if source.is_real]
    return images.select(np.flatnonzero(~np.isin(images.labels, real)))


def accuracy(
    train: NDArray[np.float64],
    train_labels: NDArray[np.int64],
    test: NDArray[np.float64],
    test_labels: NDArray[np.int64],
) -> float:
    """Balanced accuracy of multinomial logistic regression on standardised features."""
    regression = LogisticRegression(C=0.01, max_iter=1000)
    named = make_pipeline(StandardScaler(), regression).fit(train, train_labels).predict(test)
    return float(np.mean([(named[test_labels == k] == k).mean() for k in np.unique(test_labels)]))


def main() -> int:
    """Print one line a band."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    dataset = resolve(parser.parse_args().dataset).load()
    train, test = generated(dataset.train), generated(dataset.test)
    a, b = spectra(train), spectra(test)
    rows, columns = np.indices(a.shape[1:])
    place = np.maximum(rows / a.shape[1], columns / a.shape[2])
    bands = [(EDGES[0], EDGES[-1]), *pairwise(EDGES)]
    for low, high in bands:
        chosen = (place >= low) & (place < high)
        found = accuracy(a[:, chosen], train.labels, b[:, chosen], test.labels)
        click.echo(f"frequencies {low} to {high}, {chosen.sum()} coefficients: {found:.3f}")
    click.echo(f"chance {1 / len(np.unique(test.labels)):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
