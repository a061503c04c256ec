"""What a method returns is checked before anything is computed from it."""

from typing import Any

import numpy as np
import pytest

from fpbench.runs.judge import InvalidOutput, check_embeddings, check_proba, sentence_of


def half(rows: int, columns: int) -> Any:
    return np.full((rows, columns), 1 / columns, np.float32)


def test_not_a_number_fails_the_job() -> None:
    rows = np.zeros((128, 12), np.float32)
    assert check_embeddings("embed", rows, 128) is rows
    rows[40, 3] = np.nan
    with pytest.raises(InvalidOutput, match="NaN or infinity for 1 of 128 images"):
        check_embeddings("embed", rows, len(rows))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (half(3, 2), r"predict_proba returned shape \(3, 2\) for 4 images; it must be \(4, D\)"),
        (half(4, 2).astype(np.float64), "returned float64; it must be float32"),
        (half(4, 3), "returned 3 columns for 2 sources"),
        (half(4, 2) * 1.1, "rows that are no probabilities"),
        (np.asarray([[1.5, -0.5]] * 4, np.float32), "rows that are no probabilities"),
        (np.full((4, 2), np.inf, np.float32), "NaN or infinity for 4 of 4 images"),
        (None, r"returned shape \(\)"),
    ],
)
def test_what_are_no_probabilities_is_told(values: Any, told: str) -> None:
    with pytest.raises(InvalidOutput, match=told):
        check_proba("predict_proba", values, 4, 2)


def test_reasons_are_sentences() -> None:
    assert sentence_of(InvalidOutput("embed returned nothing")) == "embed returned nothing"
    assert sentence_of(ValueError("no such thing")) == "ValueError: no such thing"
    assert sentence_of(SystemExit(3)) == "it called sys.exit(3), which a method must not"
