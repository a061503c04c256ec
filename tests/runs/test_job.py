import dataclasses

import pytest

from fpbench.runs.job import JobSpec

SPEC = JobSpec(
    method="prnu",
    variant="wavelet",
    dataset="gm-mini",
    revision="1",
    content_hash="ab",
    method_version="1",
)


def test_key_is_stable_and_does_not_depend_on_where_the_dataset_lies() -> None:
    moved = dataclasses.replace(SPEC, dataset="elsewhere", location="/data/elsewhere")
    assert SPEC.key == moved.key
    assert len(SPEC.key) == 16
    assert int(SPEC.key, 16) >= 0


@pytest.mark.parametrize(
    "change",
    [
        {"method": "manifpt"},
        {"variant": "bm3d"},
        {"revision": "2"},
        {"content_hash": "cd"},
        {"method_version": "2"},
        {"params": {"sigma": 4.0}},
        {"budget": "smoke"},
        {"seed": 1},
        {"fold": 0, "folds": 5},
        {"control": "shuffled-labels"},
        {"scoring": 99},
    ],
)
def test_everything_the_result_depends_on_changes_the_key(change: dict[str, object]) -> None:
    assert dataclasses.replace(SPEC, **change).key != SPEC.key  # type: ignore[arg-type]


def test_order_of_params_does_not_matter() -> None:
    one = dataclasses.replace(SPEC, params={"a": 1, "b": 2})
    other = dataclasses.replace(SPEC, params={"b": 2, "a": 1})
    assert one.key == other.key
