"""Prints how well sources are told apart by parts of the spectrum, and by seven plain numbers.

Run it from the root of a checkout: ``python docs/figures/bands.py DATASET``. It answers where the
scores of a board come from: a classifier that sees low frequencies, or how bright, contrasty,
smooth and clipped an image is, reads what a generator drew badly rather than a fingerprint.
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


def plain_numbers(images: ImageSet) -> NDArray[np.float64]:
    """Brightness, contrast, two gradients, curvature, and shares at 0 and 255; shape (N, 7)."""
    x = images.pixels.astype(np.float64)
    over = (1, 2, 3)
    return np.stack(
        [
            x.mean(axis=over),
            x.std(axis=(1, 2)).mean(axis=1),
            np.abs(np.diff(x, axis=1)).mean(axis=over),
            np.abs(np.diff(x, axis=2)).mean(axis=over),
            np.abs(x[:, 1:-1] - (x[:, :-2] + x[:, 2:]) / 2).mean(axis=over),
            (x == 0).mean(axis=over),
            (x == 255).mean(axis=over),
        ],
        axis=1,
    )


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
    """Print one line a band, then the plain numbers."""
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
    found = accuracy(plain_numbers(train), train.labels, plain_numbers(test), test.labels)
    click.echo(f"7 plain numbers: {found:.3f}; chance {1 / len(np.unique(test.labels)):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
