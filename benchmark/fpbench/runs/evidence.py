"""The files beside a record: predictions, evidence for the scores, embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpbench.errors import BadInput
from fpbench.images import Source
from fpbench.runs.record import ArtifactEntry
from fpbench.scores.evidence import PROBABILITIES, PROBE, Evidence, Labels

PREDICTIONS = "predictions.parquet"
EVIDENCE = "evidence.safetensors"
EMBEDDINGS = "embeddings.safetensors"

_COLUMNS = (PROBABILITIES, PROBE)
"""Arrays of shape (N, K) that stand in the table of predictions as ``KEY:SOURCE``."""

_REASONS = "reasons"
"""Metadata key of the reasons, one JSON object; several keys would be written in any order."""


def write_evidence(folder: Path, evidence: Evidence, labels: Labels) -> dict[str, ArtifactEntry]:
    """Write predictions and evidence into `folder`.

    Predictions are a table of id, true source, and a column of probability for each source, the
    scored ones (``p:NAME``) and, where it was trained, the common probe's (``probe:NAME``). All
    other arrays, and the reasons for scores without a value, are evidence; where there is
    nothing of that, there is no such file.
    """
    _write_predictions(folder / PREDICTIONS, evidence, labels)
    written = {"predictions": ArtifactEntry.of(folder / PREDICTIONS)}
    arrays = {key: value for key, value in evidence.arrays.items() if key not in _COLUMNS}
    if arrays or evidence.reasons:
        from safetensors.numpy import save_file

        save_file(
            {key: np.ascontiguousarray(value) for key, value in arrays.items()},
            folder / EVIDENCE,
            {_REASONS: json.dumps(dict(evidence.reasons), sort_keys=True)}
            if evidence.reasons
            else None,
        )
        written["evidence"] = ArtifactEntry.of(folder / EVIDENCE)
    return written


def _write_predictions(path: Path, evidence: Evidence, labels: Labels) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    truth = [labels.tested[k].name for k in labels.labels]
    columns = {
        "id": pa.array(labels.ids.tolist(), pa.string()),
        "source": pa.array(truth, pa.string()),
    }
    for prefix in _COLUMNS:
        if prefix not in evidence.arrays:
            continue
        values = evidence.floats(prefix)
        for k, source in enumerate(labels.columns):
            columns[f"{prefix}:{source.name}"] = pa.array(values[:, k], pa.float32())
    # Probabilities hardly repeat, but their leading bytes do: a third less than as they are.
    split = {name: "BYTE_STREAM_SPLIT" for name in columns if name not in ("id", "source")}
    pq.write_table(
        pa.table(columns),
        path,
        compression="zstd",
        use_dictionary=["source"],
        column_encoding=split,
    )


def read_evidence(
    folder: Path, tested: tuple[Source, ...], columns: tuple[Source, ...], images: int
) -> tuple[Evidence, Labels]:
    """Read what `write_evidence` wrote.

    Args:
        folder: Where the files lie.
        tested: Sources of the test images.
        columns: Sources that probabilities are of.
        images: Test images that there must be; asked before anything is read, as a small file
            can claim billions of rows.

    Raises:
        BadInput: If a file is missing, cannot be read, or is of other sources or another number
            of images.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / EVIDENCE
    found = read_predictions(folder / PREDICTIONS, tested, columns, images)
    arrays, reasons = dict(found[0].arrays), {}
    if path.is_file():
        try:
            with safe_open(path, "np") as file:
                arrays |= {key: file.get_tensor(key) for key in file.keys()}
                reasons = json.loads((file.metadata() or {}).get(_REASONS, "{}"))
        except (OSError, ValueError, RecursionError, SafetensorError) as error:
            raise BadInput(f"The evidence {path} cannot be read: {error}.") from error
        if not isinstance(reasons, dict) or not all(isinstance(r, str) for r in reasons.values()):
            raise BadInput(f"The evidence {path} cannot be read: its reasons are no sentences.")
    return Evidence(arrays, reasons), found[1]


def read_predictions(
    path: Path, tested: tuple[Source, ...], columns: tuple[Source, ...], images: int
) -> tuple[Evidence, Labels]:
    """Probabilities and labels alone, as `read_evidence`.

    Raises:
        BadInput: As `read_evidence`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise BadInput(f"{path} is missing, so the scores cannot be computed again.")
    index = {source.name: k for k, source in enumerate(tested)}
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            rows = file.metadata.num_rows
            if rows != images:
                raise BadInput(f"{path} judges {rows} images, but there are {images}.")
            table = file.read(use_threads=False)
        for column in ("id", "source"):
            if column not in table.column_names:
                raise BadInput(f"The predictions {path} hold no column {column!r}.")
        known = {"id", "source", *(f"{p}:{s.name}" for p in _COLUMNS for s in columns)}
        for column in table.column_names:
            # Of other sources than the record's is said below.
            if column not in known and not column.startswith(tuple(f"{p}:" for p in _COLUMNS)):
                raise BadInput(
                    f"The predictions {path} hold a column {column!r}, which no run writes; "
                    "remove it."
                )
        truth = table["source"].to_pylist()
        for name in dict.fromkeys(truth):
            if name not in index:
                raise BadInput(f"The predictions {path} are of images of {name!r}, too.")
        labels = [index[name] for name in truth]
        arrays: dict[str, NDArray[np.generic]] = {}
        for prefix in _COLUMNS:
            names = [name for name in table.column_names if name.startswith(f"{prefix}:")]
            wanted = [f"{prefix}:{source.name}" for source in columns]
            if not names and prefix != PROBABILITIES:
                continue
            if names != wanted:
                told = ", ".join(name.removeprefix(f"{prefix}:") for name in names) or "nothing"
                raise BadInput(f"The predictions {path} are for the sources {told}.")
            # Not to_numpy, which imports pandas.
            parts = [np.from_dlpack(table[name].combine_chunks()) for name in names]
            arrays[prefix] = np.stack(parts, axis=1)
        ids = np.asarray(table["id"].to_pylist(), str)
    except (OSError, TypeError, ValueError, BufferError, pa.ArrowException) as error:
        reason = str(error).rstrip(".")
        raise BadInput(f"The predictions {path} cannot be read: {reason}.") from error
    return Evidence(arrays), Labels(ids, np.asarray(labels, np.int64), tested, columns)


def write_embeddings(
    folder: Path, test: NDArray[np.float32], fingerprints: NDArray[np.float32]
) -> ArtifactEntry:
    """Write test embeddings (N, D) and source fingerprints (K, D) into `folder`."""
    from safetensors.numpy import save_file

    path = folder / EMBEDDINGS
    save_file(
        {
            "test": np.ascontiguousarray(test),
            "fingerprints": np.ascontiguousarray(fingerprints),
        },
        path,
    )
    return ArtifactEntry.of(path)


def read_embeddings(path: Path, images: int) -> NDArray[np.float32]:
    """The test embeddings (N, D) that `write_embeddings` wrote.

    Args:
        path: The file.
        images: Test images that there must be.

    Raises:
        BadInput: If it is missing, cannot be read, or is of another number of images.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            found: NDArray[np.float32] = file.get_tensor("test")
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInput(f"The embeddings {path} cannot be read: {error}.") from error
    if found.ndim != 2 or len(found) != images or not np.isfinite(found).all():
        raise BadInput(f"The embeddings {path} are not those of {images} images.")
    return found
