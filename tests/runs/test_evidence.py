"""The files beside a record: written, read back, and refused where they are of something else."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from fpbench.errors import BadInput
from fpbench.images import Source
from fpbench.runs.evidence import (
    EVIDENCE,
    PREDICTIONS,
    read_evidence,
    read_predictions,
    write_evidence,
)
from fpbench.scores.evidence import PROBABILITIES, PROBE, Evidence, Labels

TESTED = (Source("real", "Real", "photographs"), Source("a", "GAN", "A"), Source("b", "VAE", "B"))
TRAINED = (*TESTED[:2], Source("c", "Flow", "C"), Source("d", "Flow", "D"))


def planted(columns: tuple[Source, ...] = TESTED) -> tuple[Evidence, Labels]:
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(len(columns)), 9).astype(np.float32)
    ids = np.asarray([f"image {k}" for k in range(9)])
    arrays: dict[str, NDArray[np.generic]] = {
        PROBABILITIES: proba,
        PROBE: proba[::-1].copy(),
        "correlations": rng.normal(size=(9, 2)).astype(np.float32),
        "dimension": np.asarray([7]),
        "bag3_members": np.arange(9).reshape(3, 3),
    }
    reasons = {"fdr": "Too few images: 9.", "silhouette": "Dieser Grund ist keiner: „ä“."}
    return Evidence(arrays, reasons), Labels(ids, np.repeat([2, 0, 1], 3), TESTED, columns)


@pytest.mark.parametrize("columns", [TESTED, TRAINED], ids=["same sources", "other sources"])
def test_what_was_written_reads_back(tmp_path: Path, columns: tuple[Source, ...]) -> None:
    evidence, labels = planted(columns)
    written = write_evidence(tmp_path, evidence, labels)
    assert {name: entry.file for name, entry in written.items()} == {
        "predictions": PREDICTIONS, "evidence": EVIDENCE,
    }  # fmt: skip
    found, who = read_evidence(tmp_path, TESTED, columns, 9)
    assert found.reasons == evidence.reasons and set(found.arrays) == set(evidence.arrays)
    for key, array in evidence.arrays.items():
        np.testing.assert_array_equal(found.arrays[key], array)
        assert found.arrays[key].dtype == array.dtype
    assert who.ids.tolist() == labels.ids.tolist() and who.labels.tolist() == labels.labels.tolist()
    assert (who.tested, who.columns) == (TESTED, columns)
    alone, _ = read_predictions(tmp_path / PREDICTIONS, TESTED, columns, 9)
    assert set(alone.arrays) == {PROBABILITIES, PROBE} and alone.reasons == {}


def test_reasons_stand_in_the_metadata_of_the_evidence(tmp_path: Path) -> None:
    evidence, labels = planted()
    write_evidence(tmp_path, evidence, labels)
    with safe_open(tmp_path / EVIDENCE, "np") as file:
        assert json.loads(file.metadata()["reasons"]) == evidence.reasons
    write_evidence(tmp_path, Evidence(evidence.arrays), labels)
    with safe_open(tmp_path / EVIDENCE, "np") as file:
        assert not file.metadata()
    assert read_evidence(tmp_path, TESTED, TESTED, 9)[0].reasons == {}


@pytest.mark.parametrize("text", ["[1]", "{", '{"fdr": 1}', "[" * 50_000])
def test_reasons_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    write_evidence(tmp_path, *planted())
    save_file({"dimension": np.asarray([7])}, tmp_path / EVIDENCE, {"reasons": text})
    with pytest.raises(BadInput, match=r"The evidence .*evidence\.safetensors cannot be read"):
        read_evidence(tmp_path, TESTED, TESTED, 9)


def test_reasons_alone_are_kept_too(tmp_path: Path) -> None:
    evidence, labels = planted()
    proba: dict[str, NDArray[np.generic]] = {PROBABILITIES: evidence.proba}
    write_evidence(tmp_path, Evidence(proba, evidence.reasons), labels)
    found, _ = read_evidence(tmp_path, TESTED, TESTED, 9)
    assert found.reasons == evidence.reasons and set(found.arrays) == {PROBABILITIES}


def test_probabilities_alone_need_no_evidence(tmp_path: Path) -> None:
    evidence, labels = planted()
    written = write_evidence(tmp_path, Evidence({PROBABILITIES: evidence.proba}), labels)
    assert list(written) == ["predictions"] and not (tmp_path / EVIDENCE).exists()
    found, _ = read_evidence(tmp_path, TESTED, TESTED, 9)
    assert set(found.arrays) == {PROBABILITIES}


def test_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    evidence, labels = planted()
    backwards = Evidence(
        dict(reversed(evidence.arrays.items())), dict(reversed(evidence.reasons.items()))
    )
    first = write_evidence(tmp_path, evidence, labels)
    assert write_evidence(tmp_path, backwards, labels) == first


@pytest.mark.parametrize(
    ("tested", "columns", "images", "told"),
    [
        (TESTED, TESTED, 8, "judges 9 images, but there are 8"),
        (TESTED[:2], TESTED, 9, "are of images of 'b', too"),
        (TESTED, TRAINED, 9, "are for the sources real, a, b"),
        (TESTED, TESTED[::-1], 9, "are for the sources real, a, b"),
    ],
)
def test_evidence_of_something_else_is_refused(
    tmp_path: Path,
    tested: tuple[Source, ...],
    columns: tuple[Source, ...],
    images: int,
    told: str,
) -> None:
    write_evidence(tmp_path, *planted())
    with pytest.raises(BadInput, match=told):
        read_evidence(tmp_path, tested, columns, images)


def test_files_that_are_missing_or_broken_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"predictions\.parquet is missing"):
        read_evidence(tmp_path, TESTED, TESTED, 9)
    write_evidence(tmp_path, *planted())
    (tmp_path / EVIDENCE).write_bytes(b"no tensors")
    with pytest.raises(BadInput, match=r"evidence.*cannot be read"):
        read_evidence(tmp_path, TESTED, TESTED, 9)
    table = pq.read_table(tmp_path / PREDICTIONS)
    for spoilt, told in (
        (table.drop_columns(["id"]), "hold no column 'id'"),
        (table.drop_columns(["source"]), "hold no column 'source'"),
        (table.drop_columns(["p:a"]), "are for the sources real, b"),
        (table.drop_columns(["p:real", "p:a", "p:b"]), "are for the sources nothing"),
    ):
        pq.write_table(spoilt, tmp_path / PREDICTIONS)
        with pytest.raises(BadInput, match=told):
            read_predictions(tmp_path / PREDICTIONS, TESTED, TESTED, 9)
    (tmp_path / PREDICTIONS).write_bytes(b"no parquet")
    with pytest.raises(BadInput, match="cannot be read"):
        read_predictions(tmp_path / PREDICTIONS, TESTED, TESTED, 9)


def test_a_column_that_no_run_writes_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    evidence, labels = planted()
    write_evidence(tmp_path, evidence, labels)
    path = tmp_path / PREDICTIONS
    table = pq.read_table(path)
    pq.write_table(table.append_column("payload", pa.array(["x"] * 9)), path)
    with pytest.raises(BadInput, match="hold a column 'payload', which no run writes"):
        read_predictions(path, TESTED, TESTED, 9)


def test_evidence_of_other_embeddings_than_the_records_is_refused(tmp_path: Path) -> None:
    from fpbench.runs.record import SourceEntry, read_record
    from fpbench.runs.rescoring import evidence_of

    evidence, labels = planted()
    write_evidence(tmp_path, evidence, labels)
    record = read_record(Path(__file__).parent / "version_1" / "closed-set.json")
    sources = [
        SourceEntry(name=s.name, family=s.family, architecture=s.architecture, test=3)
        for s in TESTED
    ]
    side = record.test.model_copy(update={"sources": sources})

    def stating(dimension: int) -> Evidence:
        setup = record.setup.model_copy(update={"embedding_dimension": dimension})
        changed = record.model_copy(update={"test": side, "train": None, "setup": setup})
        return evidence_of(changed, tmp_path)[0]

    assert stating(7).arrays["dimension"].tolist() == [7]
    with pytest.raises(BadInput, match="of embeddings of dimension 7, the record of 8"):
        stating(8)
