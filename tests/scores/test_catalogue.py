"""What is said of a score is said once, and holds for what was published."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from fpbench.runs.protocols.closed_set import ClosedSet
from fpbench.runs.protocols.transfer import Transfer
from fpbench.runs.record import read_record
from fpbench.runs.rescoring import score_again
from fpbench.scores import catalogue
from fpbench.scores.catalogue import FAMILIES, HEADLINE, SCORES, bounds, tables_of

ROUNDING = 1e-9
"""A mean of ones is now and then a last digit above one."""

PUBLISHED = Path(__file__).parents[2] / "leaderboards"
RECORDS = (
    "results/gm-mini/majority/a122ed5593d43fa2",
    "results/gm-ffhq-equal/npr/9b770b4086e2ab35",
    "transfers/gm-mini-to-gm-mini/logdct/103bb31bf14b30ff",
)
"""One whose evidence holds not a number, one of two generators, one of a transfer."""


def test_keys_are_unique_but_for_what_families_share() -> None:
    listed = [score for family in FAMILIES.values() for score in family.scores]
    # A key that two families list is the same definition.
    assert len(set(listed)) == len(SCORES) and {s.key for s in listed} == set(SCORES)
    assert {s.key for s in listed if listed.count(s) > 1} == {"accuracy", "auc_real"}
    assert HEADLINE is SCORES["accuracy"]
    for protocol in (ClosedSet, Transfer):
        keys = [score.key for family in protocol.families for score in family.scores]
        assert len(set(keys)) == len(keys)
        assert protocol.families == tuple(FAMILIES[f.name] for f in protocol.families)


def test_every_score_says_what_tables_and_pages_need() -> None:
    titles = [score.title for score in SCORES.values()]
    assert len(set(titles)) == len(titles)
    tables = {score.table for score in SCORES.values()}
    assert len({table.key for table in tables}) == len(tables)
    for table in tables:
        assert table.title and table.note.endswith(".")
        headings = [score.heading for score in SCORES.values() if score.table is table]
        assert len(set(headings)) == len(headings), table.key
    for key, score in SCORES.items():
        assert score.key == key and score.title and score.heading
        assert score.question.endswith("."), key
        assert score.lower < score.upper and 2 <= score.digits <= 4, key
        assert score.better in ("higher", "lower", "neither"), key
        assert score.bounded == (math.isfinite(score.lower) and math.isfinite(score.upper))


def test_tables_hold_every_score_of_their_families_once() -> None:
    tables = tables_of(ClosedSet.families)
    assert [table.key for table in tables] == [
        "attribution", "bags", "separability", "decorrelation", "neighbourhood",
    ]  # fmt: skip
    shown = list(itertools.chain.from_iterable(tables.values()))
    listed = [score for family in ClosedSet.families for score in family.scores]
    assert sorted(s.key for s in shown) == sorted(s.key for s in listed)
    for table, scores in tables.items():
        assert all(score.table is table for score in scores)
    assert tables[HEADLINE.table][0] is HEADLINE


def test_bounds_are_those_of_the_definition_and_none_of_a_stranger() -> None:
    assert bounds("accuracy") == (0.0, 1.0) and bounds("silhouette") == (-1.0, 1.0)
    assert bounds("fdr") == (0.0, math.inf)
    assert bounds("decorrelation_margin_signed") == (-2.0, 2.0)
    assert bounds("brand_new") == (-math.inf, math.inf)


@pytest.mark.parametrize("name", RECORDS)
def test_published_scores_lie_in_their_bounds_and_follow_from_their_evidence(name: str) -> None:
    path = PUBLISHED / f"{name}.json"
    record = read_record(path)
    assert set(record.scores) <= set(SCORES)
    for key, score in record.score_values.items():
        lower, upper = bounds(key)
        for number in (score.value, score.ci_low, score.ci_high, score.chance):
            assert number is None or lower <= number <= upper + ROUNDING, (key, number)
    found = score_again(record, path.with_suffix(""))
    assert set(found) == set(record.scores)
    assert next(iter(found)) == next(iter(record.scores))
    for key, score in record.score_values.items():
        again = found[key]
        assert (again.reason, again.n) == (score.reason, score.n), key
        for field in ("value", "ci_low", "ci_high", "chance"):
            number, before = getattr(again, field), getattr(score, field)
            close = before is None or pytest.approx(before, rel=ROUNDING, abs=1e-12)
            assert number is before or number == close, (key, field)


def test_every_published_number_lies_in_its_bounds() -> None:
    seen = 0
    for path in PUBLISHED.glob("*/*/*/*.json"):
        for key, entry in json.loads(path.read_text("utf-8"))["scores"].items():
            numbers = [entry[k] for k in ("value", "ci_low", "ci_high", "chance")]
            known = np.asarray([n for n in numbers if n is not None])
            lower, upper = bounds(key)
            assert key in SCORES, (path, key)
            assert (known >= lower).all() and (known <= upper + ROUNDING).all(), (path, key)
            seen += 1
    assert seen > 5000


def test_the_catalogue_names_every_family_by_its_own_name() -> None:
    assert all(family.name == name for name, family in catalogue.FAMILIES.items())
