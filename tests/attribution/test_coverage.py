"""The promise is kept on test images: on stored answers, and on a fit made here."""

import json
from pathlib import Path

import numpy as np
import pytest

from fpbench.attribution.coverage import Answers, ask, coverage
from fpbench.datasets.resolve import resolve
from fpbench.metrics.conformal import pooled

DATA = Path(__file__).parent / "data"
TABLE = Path(__file__).parents[2] / "docs" / "figures" / "coverage.json"
ALPHA = 0.1


def stored(name: str) -> Answers:
    """What docs/figures/coverage.py kept of one fit on gm-mini."""
    with np.load(DATA / f"gm-mini-{name}-small.npz") as arrays:
        return Answers(
            tuple(arrays["sources"].tolist()),
            arrays["calibration"],
            arrays["calibration_labels"].astype(np.int64),
            arrays["test"],
            arrays["test_sources"],
        )


@pytest.mark.parametrize("name", ["logdct", "frank-logistic"])
def test_the_coverage_of_every_source_lies_in_its_interval(name: str) -> None:
    found = coverage(stored(name), ALPHA)
    assert len(found) == 13 and all(one.known and one.calibration == 20 for one in found)
    assert [one.source for one in found if one.share < one.low] == []
    everything = pooled([one.counts for one in found])
    assert everything.images == 13 * 150
    # Of all sources the draws average out.
    assert everything.covered / everything.images > 1 - ALPHA


@pytest.mark.parametrize("name", ["logdct", "frank-logistic"])
def test_the_table_of_the_docs_says_what_is_stored(name: str) -> None:
    row = json.loads(TABLE.read_text("utf-8"))["gm-mini"][name.replace("frank-", "frank:")]
    found = coverage(stored(name), ALPHA)
    counts = pooled([one.counts for one in found])
    assert row["coverage"] == counts.covered / counts.images
    assert row["single"] == counts.single / counts.images
    assert row["right"] == counts.right / counts.single
    assert row["empty"] == counts.empty / counts.images
    assert row["least"] == min(one.share for one in found)
    below = [one.source for one in found if one.binomial()[1] < 1 - ALPHA]
    assert row["below_binomial"] == below


def test_coverage_without_exchangeable_images_is_seen_to_fail() -> None:
    given = stored("logdct")
    # Calibrated on test images' own best, as if a method had been chosen on them.
    spoiled = Answers(
        given.sources,
        np.sqrt(given.calibration),
        given.calibration_labels,
        given.test,
        given.test_sources,
    )
    found = coverage(spoiled, ALPHA)
    assert sum(one.share < one.low for one in found) > 3


def test_no_row_of_the_table_breaks_the_promise_more_often_than_chance() -> None:
    rows = [row for rows in json.loads(TABLE.read_text("utf-8")).values() for row in rows.values()]
    assert len(rows) >= 16
    below, pairs = sum(len(r["below_interval"]) for r in rows), sum(r["sources"] for r in rows)
    assert below / pairs < 0.05


def test_a_source_that_was_left_out_is_counted_apart(dataset: Path) -> None:
    loaded = resolve(str(dataset)).load()
    names = [source.name for source in loaded.sources]
    given = ask("prnu", loaded, unknown=names[2:], budget="smoke")
    assert given.sources == tuple(names[:2]) and set(given.test_sources) == set(names)
    assert given.test.shape == (len(loaded.test), 2)
    assert set(given.calibration_labels.tolist()) == {0, 1}
    found = {one.source: one for one in coverage(given, 0.2)}
    strange = found[names[2]]
    assert not strange.known and strange.counts.covered == 0 and strange.calibration == 0
    assert (strange.low, strange.high) == (0, 1)
    own = int((given.test_sources == names[2]).sum())
    assert strange.counts.images == own
    for name in names[:2]:
        assert found[name].share >= found[name].low - 0.05
