"""What a board needs of stored predictions: who was right on which image, and confusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpbench.errors import BadInput
from fpbench.leaderboard.claims import protocol_of
from fpbench.leaderboard.collect import Entry
from fpbench.leaderboard.layout import artifact_path
from fpbench.metrics.attribution import confusion_matrix, image_correctness
from fpbench.metrics.score import NotComputable


@dataclass(frozen=True)
class Judged:
    """One record's predictions, or those of several records averaged.

    Attributes:
        ids: Ids of the M test images of generators, sorted.
        labels: int64 of shape (M,), their sources, counted among generators.
        correct: float64 of shape (M,), the share of runs that were right on each image.
        confusion: float64 of shape (K, K), share of the images of each source (rows) attributed
            to each source (columns), Real among them.
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    correct: NDArray[np.float64]
    confusion: NDArray[np.float64]


def read_judged(entry: Entry) -> Judged:
    """Read the predictions of a finished record.

    Raises:
        BadInput: If they cannot be read, are of other sources or counts, or define no accuracy.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    record = entry.record
    names = [source.name for source in record.dataset.sources]
    path = artifact_path(entry.path, record.artifacts["predictions"])
    expected = sum(source.test for source in record.dataset.sources)
    try:
        with pq.ParquetFile(path) as file:
            # Asked before anything is read: a small file can claim billions of rows.
            rows = file.metadata.num_rows
            if rows != expected:
                raise BadInput(
                    f"{entry.link}: {rows} images were judged, but there are {expected}."
                )
            table = file.read(["id", "source", *(f"p:{name}" for name in names)], use_threads=False)
        index = {name: k for k, name in enumerate(names)}
        labels = np.asarray([index[name] for name in table["source"].to_pylist()], np.int64)
        ids = np.asarray(table["id"].to_pylist(), str)
        proba = np.stack([table[f"p:{name}"].to_numpy() for name in names], axis=1)
        if len(np.unique(ids)) != len(ids):
            raise BadInput(f"{entry.link}: the predictions list an image twice.")
        real = protocol_of(record).real
        correct, kept = image_correctness(labels, proba, real)
        confusion = confusion_matrix(labels, proba, real)
    except NotComputable as error:
        raise BadInput(f"{entry.link}: the predictions define no accuracy: {error}") from error
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise BadInput(f"{entry.link}: the predictions cannot be read: {error}.") from error
    generated = ids if real is None else ids[labels != real]
    order = np.argsort(generated, kind="stable")
    sizes = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return Judged(generated[order], kept[order], correct[order], confusion / sizes)


def of_seeds(parts: Sequence[Judged]) -> Judged | None:
    """The mean over runs that judged the same images, or None if they did not."""
    first = parts[0]
    for part in parts[1:]:
        if not np.array_equal(part.ids, first.ids) or not np.array_equal(part.labels, first.labels):
            return None
    return Judged(
        first.ids,
        first.labels,
        np.mean([part.correct for part in parts], axis=0),
        np.mean([part.confusion for part in parts], axis=0),
    )


def of_folds(parts: Sequence[Judged]) -> Judged | None:
    """The union of folds, or None if an image is in two of them."""
    ids = np.concatenate([part.ids for part in parts])
    order = np.argsort(ids, kind="stable")
    if len(np.unique(ids)) != len(ids):
        return None
    return Judged(
        ids[order],
        np.concatenate([part.labels for part in parts])[order],
        np.concatenate([part.correct for part in parts])[order],
        np.mean([part.confusion for part in parts], axis=0),
    )
