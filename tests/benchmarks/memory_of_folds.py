"""Peak memory of reading every fold: ``python tests/benchmarks/memory_of_folds.py [FOLDS]...``.

A memory-mapped dataset of 96,000 images of 32x32 (281 MiB) is divided, and all images of every fold
are read, as a method reads them. One line for each number of folds, each in a process of its own.
"""

import multiprocessing
import sys
import tempfile
from pathlib import Path

import numpy as np

from fpbench.compute.device import peak_memory_bytes
from fpbench.datasets.dataset import DatasetIdentity, GMDataset
from fpbench.images import ImageSet, Source
from fpbench.runs.splits import splits_of

SOURCES = (Source("real", "Real", "photographs"), Source("a", "GAN", "A"))
COUNTS = {"reference": 1_000, "train": 64_000, "validation": 16_000, "test": 16_000}


def dataset(folder: Path) -> GMDataset:
    """The dataset, written into a folder and mapped from there."""
    sets = {}
    for split, count in COUNTS.items():
        path = folder / f"{split}.npy"
        if not path.exists():
            rng = np.random.default_rng(count)
            np.save(path, rng.integers(0, 256, (count, 32, 32, 3), np.uint8))
        pixels = np.load(path, mmap_mode="r")
        ids = [f"{split}-{index}" for index in range(count)]
        sets[split] = ImageSet(pixels, SOURCES, np.arange(count) % 2, ids)
    return GMDataset(DatasetIdentity("folds", "1", "0" * 64, ""), SOURCES, **sets,
                     fdr_samples=16, fdr_dimensions=2)  # fmt: skip


def read(folder: Path, folds: int) -> None:
    """Read the images of all folds, one fold after another, and print the peak."""
    made = dataset(folder)
    before = peak_memory_bytes()
    for fold in range(folds):
        splits = splits_of(made, fold, folds)
        for part in (splits.train, splits.validation, splits.test):
            for batch in part.batches(256):
                batch.sum()
        del splits, part, batch  # as a job lets go of them
    peak = peak_memory_bytes()
    print(  # noqa: T201
        f"{folds:3} folds: peak {peak >> 20} MiB, {(peak - before) >> 20} MiB above the start"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        dataset(Path(place))
        for number in map(int, sys.argv[1:] or ("3", "10")):
            process = multiprocessing.get_context("spawn").Process(
                target=read, args=(Path(place), number)
            )
            process.start()
            process.join()
