import math

import pytest

from fpbench.metrics.score import NotComputable, Score, check_ids


def test_a_score_has_a_value_or_a_reason():
    with pytest.raises(ValueError, match="either"):
        Score(None)
    with pytest.raises(ValueError, match="either"):
        Score(0.5, reason="because")
    assert Score.missing("No image.", n=3).n == 3


@pytest.mark.parametrize("number", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["value", "ci_low", "chance"])
def test_no_number_is_not_finite(name, number):
    fields = {"value": 0.5, "ci_low": 0.1, "ci_high": 0.9, "chance": 0.2} | {name: number}
    with pytest.raises(ValueError, match=name):
        Score(**fields)


def test_intervals_are_whole_and_ordered():
    with pytest.raises(ValueError, match="two ends"):
        Score(0.5, 0.1)
    with pytest.raises(ValueError, match="reversed"):
        Score(0.5, 0.6, 0.4)
    with pytest.raises(ValueError, match="without value"):
        Score(None, 0.1, 0.2, reason="No image.")
    assert Score(0.5, 0.4, 0.6).halfwidth == pytest.approx(0.1)
    assert Score(0.5).halfwidth is None


def test_an_image_listed_twice_is_found():
    check_ids(None, 3)
    check_ids(["a", "b", "c"], 3)
    with pytest.raises(NotComputable, match=r"1 images are listed twice, e\.g\. b"):
        check_ids(["a", "b", "b"], 3)
    with pytest.raises(ValueError, match="ids of shape"):
        check_ids(["a"], 3)
