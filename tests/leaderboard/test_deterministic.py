"""A card that calls a variant deterministic is held to it by the records beside it."""

from dataclasses import replace
from pathlib import Path

from fpbench.leaderboard.archive.collect import Entry
from fpbench.leaderboard.ranking.boards import _unlike
from fpbench.runs.record import Record, read_record

RECORD = Path(__file__).parents[1] / "runs" / "version_1" / "closed-set.json"


def entry(seed: int, accuracy: float, fold: int | None = None) -> Entry:
    record: Record = read_record(RECORD)
    folds = None if fold is None else 3
    job = replace(record.job, seed=seed, fold=fold, folds=folds)
    scores = record.scores | {
        "accuracy": record.scores["accuracy"].model_copy(update={"value": accuracy})
    }
    changed = record.model_copy(update={"job": job, "key": job.key, "scores": scores})
    return Entry(changed, RECORD, f"{seed}-{fold}.json")


def test_seeds_that_agree_are_no_problem() -> None:
    assert _unlike([entry(0, 0.5), entry(1, 0.5), entry(2, 0.5 + 1e-12)]) == []


def test_seeds_that_differ_are_named() -> None:
    (found,) = _unlike([entry(0, 0.5), entry(1, 0.5), entry(2, 0.51)])
    assert found.where == "2-None.json"
    assert "another accuracy than 0-None.json" in found.message
    assert "deterministic" in found.message


def test_folds_are_other_images() -> None:
    assert _unlike([entry(0, 0.5, 0), entry(0, 0.6, 1), entry(1, 0.5, 0), entry(1, 0.6, 1)]) == []
    assert len(_unlike([entry(0, 0.5, 0), entry(0, 0.6, 1), entry(1, 0.7, 0)])) == 1
