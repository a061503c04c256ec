"""Splits by shares, numbers and groups: counted, and no group on two sides."""

from __future__ import annotations

import numpy as np
import pytest

from fpbench.datasets.splitting import (
    SplitRule,
    parse_share,
    parse_sizes,
    rule_of,
    split_groups,
    split_positions,
)
from fpbench.errors import BadInput
from fpbench.runs.splits import assign_grouped_folds

LABELLED = ("train", "validation", "test")


def test_the_usual_split_is_the_one_that_published_jobs_had() -> None:
    """Digits written down when the rule was made: another split would be another job."""
    found = split_positions(20, "gan-a")
    assert found["validation"].tolist() == USUAL["validation"]
    assert found["test"].tolist() == USUAL["test"]
    assert len(split_positions(60, "real")["reference"]) == 24


USUAL = {"validation": [4, 9, 10], "test": [1, 2, 3, 8, 12, 15, 17]}


def test_shares_and_numbers_are_kept() -> None:
    shares = split_positions(200, "gan", rule_of({"split": "0.6/0.1/0.3"}))
    assert [len(shares[split]) for split in LABELLED] == [120, 20, 60]
    numbers = split_positions(200, "gan", rule_of({"split": "50/10/30"}))
    assert [len(numbers[split]) for split in LABELLED] == [50, 10, 30]
    together = np.concatenate([numbers[split] for split in LABELLED])
    assert len(set(together.tolist())) == 90
    real = split_positions(200, "real", rule_of({"split": "50/10/30", "reference": "100"}))
    assert [len(real[split]) for split in ("reference", *LABELLED)] == [100, 50, 10, 30]
    none = split_positions(200, "real", rule_of({"reference": "0"}))
    assert len(none["reference"]) == 0 and len(none["train"]) == 100


def test_numbers_beyond_what_is_there_are_refused() -> None:
    with pytest.raises(BadInput, match="has 80 images, but the split takes 90"):
        split_positions(80, "gan", rule_of({"split": "50/10/30"}))
    with pytest.raises(BadInput, match="has 80 images, but the split takes 100"):
        split_positions(80, "real", rule_of({"reference": "100"}))
    with pytest.raises(BadInput, match="has 80 images, but the split takes 90"):
        split_groups({"gan": ["x"] * 80}, SplitRule((50, 10, 30)))


@pytest.mark.parametrize(
    "text", ["0.5/0.5", "a/b/c", "0.5/0.2/0.2", "1/0/1", "nan/1/1", "", "1e400/1/1"]
)
def test_sizes_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="TRAIN/VALIDATION/TEST"):
        parse_sizes(text)


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "nan", "inf"])
def test_references_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="for the reference split are not possible"):
        parse_share(text)


def test_unknown_groupings_are_refused() -> None:
    with pytest.raises(BadInput, match="'by-name' are unknown; use by-folder or by-prefix"):
        rule_of({"groups": "by-name"})


def sides(groups: dict[str, list[str]], rule: SplitRule) -> dict[str, set[str]]:
    """Groups of each side over all sources."""
    found = split_groups(groups, rule)
    by_side: dict[str, set[str]] = {}
    for source, positions in found.items():
        for split, own in positions.items():
            by_side.setdefault(split, set()).update(groups[source][p] for p in own.tolist())
    return by_side


def test_no_group_falls_on_two_sides_whichever_sources_it_is_of() -> None:
    """Prompts that every source has, some of them several times: 200 random draws."""
    rng = np.random.default_rng(0)
    for seed in range(200):
        groups = {source: [f"prompt {p}" for p in rng.integers(0, 60, 150)] for source in "abc"} | {
            "real": [f"prompt {p}" for p in rng.integers(0, 90, 200)]
        }
        found = sides(groups, SplitRule(seed=seed))
        assert not found["train"] & found["test"] and not found["train"] & found["validation"]
        assert not found["validation"] & found["test"]
        assert not found["reference"] & (found["test"] | found["validation"])


def test_groups_reach_their_shares() -> None:
    groups = {source: [str(p % 100) for p in range(400)] for source in ("real", "a", "b")}
    found = split_groups(groups, SplitRule())
    for source in ("a", "b"):
        shares = [len(found[source][split]) / 400 for split in LABELLED]
        assert np.allclose(shares, [0.5, 0.15, 0.35], atol=0.12), shares
        assert sum(len(own) for own in found[source].values()) == 400
    assert abs(len(found["real"]["reference"]) / 400 - 0.4) < 0.1
    own = {
        split: {groups["real"][p] for p in found["real"][split].tolist()} for split in found["real"]
    }
    assert not own["reference"] & own["train"]


def test_groups_of_one_source_each_reach_the_shares_of_every_source() -> None:
    groups = {s: [f"{s}{p % 50}" for p in range(200)] for s in ("a", "b")}
    for own in split_groups(groups, SplitRule()).values():
        assert [len(own[split]) for split in LABELLED] == pytest.approx([100, 30, 70], abs=6)


def test_numbers_are_kept_with_groups() -> None:
    groups = {s: [str(p % 40) for p in range(200)] for s in ("a", "b")}
    for own in split_groups(groups, SplitRule((50, 10, 30))).values():
        assert [len(own[split]) for split in LABELLED] == [50, 10, 30]


def test_images_without_a_group_stand_alone() -> None:
    found = split_groups({"a": [""] * 100, "b": [""] * 100}, SplitRule())
    assert [len(found["a"][split]) for split in LABELLED] == [50, 15, 35]


def test_no_group_is_in_two_folds() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 600)
    groups = [f"scene {g}" for g in rng.integers(0, 80, 600)]
    folds = assign_grouped_folds(labels, groups, 5, seed=0)
    of_group: dict[str, set[int]] = {}
    for name, fold in zip(groups, folds.tolist(), strict=True):
        of_group.setdefault(name, set()).add(fold)
    assert all(len(found) == 1 for found in of_group.values())
    for source in range(3):
        counts = np.bincount(folds[labels == source], minlength=5)
        assert counts.min() > 0.5 * counts.max()
