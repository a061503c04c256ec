"""The files beside a record: predictions, evidence for the scores, embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpbench.errors import BadInput
from fpbench.runs.outcome import BagOutput
from fpbench.runs.record import ArtifactEntry

PREDICTIONS = "predictions.parquet"
EVIDENCE = "evidence.safetensors"
EMBEDDINGS = "embeddings.safetensors"


@dataclass(frozen=True)
class Evidence:
    """Everything that scores are computed from, small enough to keep and to submit.

    Attributes:
        ids: N ids of test images.
        names: K names of sources.
        labels: int64 of shape (N,).
        proba: float32 of shape (N, K), the scored probabilities.
        probe_proba: float32 of shape (N, K), those of the common probe.
        fdr_features: float32 of shape (N, d): test embeddings along the d principal axes of the
            training embeddings, or as they are where they have d dimensions or fewer.
        fdr_raw: float64 of shape (2,): value and chance of the ratio in all dimensions, which
            cannot be had from less than the whole embeddings; not a number where undefined.
        correlations: float32 of shape (N, M): signed Pearson correlation of each centred test
            embedding, Real's too, with the fingerprint of each of the M generators; not a number
            where a fingerprint or an embedding is constant.
        fingerprint_correlations: float32 of shape (M, M), of the generators' fingerprints.
        dimension: Dimension D of the embeddings.
        bags: Judgements of bags, for methods that make them.
        purity: float32 of shape (N,): what each image adds to the purity, of
            `fpbench.metrics.neighbourhood.purity_shares`: its own purity, and by how much the
            purities of the images that it is near go up or down with it. Their means over sources
            are the purity, single ones may lie outside [0, 1]. Not a number for images of Real,
            for images beyond the 200 used of each generator, and where embeddings define none.
            None in evidence stored before there was such a score.
        silhouette: float32 of shape (N,): likewise what each image adds to the silhouette, of
            `fpbench.metrics.neighbourhood.silhouette_shares`.
    """

    ids: NDArray[np.str_]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    proba: NDArray[np.float32]
    probe_proba: NDArray[np.float32]
    fdr_features: NDArray[np.float32]
    fdr_raw: NDArray[np.float64]
    correlations: NDArray[np.float32]
    fingerprint_correlations: NDArray[np.float32]
    dimension: int
    bags: Sequence[BagOutput] = ()
    purity: NDArray[np.float32] | None = None
    silhouette: NDArray[np.float32] | None = None


def describe_file(path: Path) -> ArtifactEntry:
    """Name, hash and size of a file."""
    content = path.read_bytes()
    return ArtifactEntry(
        file=path.name, sha256=hashlib.sha256(content).hexdigest(), size=len(content)
    )


def write_predictions(
    path: Path,
    ids: NDArray[np.str_],
    truth: Sequence[str],
    names: Sequence[str],
    proba: Mapping[str, NDArray[np.float32]],
) -> None:
    """Write a table of id, true source, and probability columns ``PREFIX:NAME``.

    Args:
        path: The file.
        ids: Shape (N,), the images' ids.
        truth: N names, the images' sources.
        names: K names, the sources that probabilities are of.
        proba: Prefix to an array of shape (N, K).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": pa.array(ids.tolist(), pa.string()),
        "source": pa.array(list(truth), pa.string()),
    }
    for prefix, values in proba.items():
        for k, name in enumerate(names):
            columns[f"{prefix}:{name}"] = pa.array(values[:, k], pa.float32())
    # Probabilities hardly repeat, but their leading bytes do: a third less than as they are.
    split = {name: "BYTE_STREAM_SPLIT" for name in columns if name not in ("id", "source")}
    pq.write_table(
        pa.table(columns),
        path,
        compression="zstd",
        use_dictionary=["source"],
        column_encoding=split,
    )


def write_evidence(folder: Path, evidence: Evidence) -> dict[str, ArtifactEntry]:
    """Write predictions and evidence into `folder`.

    Predictions are a table of id, source, and one probability column per source, first the
    scored ones (``p:NAME``), then the common probe's (``probe:NAME``).
    """
    from safetensors.numpy import save_file

    write_predictions(
        folder / PREDICTIONS,
        evidence.ids,
        [evidence.names[k] for k in evidence.labels],
        evidence.names,
        {"p": evidence.proba, "probe": evidence.probe_proba},
    )
    arrays: dict[str, NDArray[np.generic]] = {
        "fdr_features": evidence.fdr_features,
        "fdr_raw": evidence.fdr_raw,
        "correlations": evidence.correlations,
        "fingerprint_correlations": evidence.fingerprint_correlations,
        "dimension": np.asarray([evidence.dimension], np.int64),
    }
    if evidence.purity is not None and evidence.silhouette is not None:
        arrays["purity"] = evidence.purity
        arrays["silhouette"] = evidence.silhouette
    for bag in evidence.bags:
        arrays[f"bag{bag.size}_members"] = bag.members
        arrays[f"bag{bag.size}_labels"] = bag.labels
        arrays[f"bag{bag.size}_proba"] = bag.proba
    save_file(
        {key: np.ascontiguousarray(value) for key, value in arrays.items()}, folder / EVIDENCE
    )
    return {
        "predictions": describe_file(folder / PREDICTIONS),
        "evidence": describe_file(folder / EVIDENCE),
    }


def read_evidence(folder: Path) -> Evidence:
    """Read what `write_evidence` wrote.

    Raises:
        BadInput: If a file is missing or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    for name in (PREDICTIONS, EVIDENCE):
        if not (folder / name).is_file():
            raise BadInput(f"{folder / name} is missing, so the scores cannot be followed.")
    try:
        table = pq.read_table(folder / PREDICTIONS)
        arrays = load_file(folder / EVIDENCE)
        names = tuple(c.removeprefix("p:") for c in table.column_names if c.startswith("p:"))
        index = {name: k for k, name in enumerate(names)}
        labels = [index[name] for name in table["source"].to_pylist()]
        both = [
            np.stack([table[f"{prefix}:{name}"].to_numpy() for name in names], axis=1)
            for prefix in ("p", "probe")
        ]
        bags = tuple(
            BagOutput(
                size,
                arrays[f"bag{size}_members"],
                arrays[f"bag{size}_labels"],
                arrays[f"bag{size}_proba"],
            )
            for size in sorted(
                int(key.removeprefix("bag").removesuffix("_proba"))
                for key in arrays
                if key.startswith("bag") and key.endswith("_proba")
            )
        )
        return Evidence(
            ids=np.asarray(table["id"].to_pylist(), str),
            names=names,
            labels=np.asarray(labels, np.int64),
            proba=both[0],
            probe_proba=both[1],
            fdr_features=arrays["fdr_features"],
            fdr_raw=arrays["fdr_raw"],
            correlations=arrays["correlations"],
            fingerprint_correlations=arrays["fingerprint_correlations"],
            dimension=int(arrays["dimension"][0]),
            bags=bags,
            purity=arrays.get("purity"),
            silhouette=arrays.get("silhouette"),
        )
    except (OSError, KeyError, ValueError, pa.ArrowException, SafetensorError) as error:
        raise BadInput(f"The predictions in {folder} cannot be read: {error}.") from error


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
    return describe_file(path)
