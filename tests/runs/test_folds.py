"""Folds keep together what is of one photograph, and older folds stay what they were."""

from dataclasses import replace

import numpy as np
import pytest

from fpbench.runs.job import BLOCKS, FOLDING, Job, Side
from fpbench.runs.plan import make_plan
from fpbench.runs.splits import assign_folds, assign_grouped_folds, regions_of


def test_images_that_stand_alone_are_stratified() -> None:
    labels = np.repeat(np.arange(3), [23, 40, 11])
    assigned = assign_grouped_folds(labels, [""] * 74, 5, seed=0)
    for source in range(3):
        counts = np.bincount(assigned[labels == source], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_crops_of_one_region_are_a_group() -> None:
    ids = ["coffee-0104-0428", "coffee-0136-0396-5", "coffee-0104-0012", "ldm-small-test-0001",
           "ldm-small-test-0002", "face-0001-0002", "face-0001-0003"]  # fmt: skip
    assert regions_of(ids) == ["coffee 1 4", "coffee 1 4", "coffee 1 0", "", "", "", ""]


SIDE = Side("d", "1", "0" * 64)


def test_the_assignment_is_part_of_a_new_job_and_old_jobs_keep_their_keys() -> None:
    jobs = make_plan(["majority"], [(SIDE, SIDE)], folds=3)
    assert [job.settings for job in jobs] == [{FOLDING: BLOCKS}] * 3
    (whole,) = make_plan(["majority"], [(SIDE, SIDE)])
    assert whole.settings == {}
    older = replace(jobs[0], settings={})
    assert older.key != jobs[0].key
    # As jobs with folds were hashed when the first of them were published.
    published = Job("majority", "shares", "1", SIDE, SIDE, fold=0, folds=3, scoring=3)
    assert published.key == KEY


KEY = "1c09f9cd96897800"


@pytest.mark.parametrize("folds", [3, 10])
def test_the_assignment_of_single_images_is_what_it_was(folds: int) -> None:
    labels = np.repeat(np.arange(2), 30)
    generator = np.random.default_rng(0)
    expected = np.empty(60, int)
    for source in range(2):
        expected[generator.permutation(np.flatnonzero(labels == source))] = np.arange(30) % folds
    np.testing.assert_array_equal(assign_folds(labels, folds, seed=0), expected)
