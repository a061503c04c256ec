"""What a method returns is checked before anything is computed from it."""

from typing import Any

import numpy as np
import pytest

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, Method
from fpbench.runs.job import ALL_EPOCHS, EPOCHS, Job, Side
from fpbench.runs.judge import (
    InvalidOutput,
    NullControl,
    answering,
    check_embeddings,
    check_proba,
    fit,
    sentence_of,
)
from fpbench.runs.plan import make_plan
from fpbench.runs.splits import Splits


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


class Watching(Method):
    """Remembers what it was given; its embedding is the brightness."""

    def fit(self, train: ImageSet, *, validation: ImageSet, **_: Any) -> "Watching":
        self.train, self.validation = train, validation
        return self

    def embed(self, images: ImageSet) -> Any:
        return images.pixels.mean(axis=(1, 2)).astype(np.float32)


def some_splits() -> Splits:
    sources = [Source("a", "Synthetic", "a"), Source("b", "Synthetic", "b")]

    def images(count: int, seed: int) -> ImageSet:
        pixels = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        return ImageSet(pixels, sources, np.arange(count) % 2)

    return Splits(images(4, 0), images(60, 1), images(20, 2), images(10, 3))


def test_a_null_control_chooses_nothing_on_shuffled_labels() -> None:
    splits, context = some_splits(), FitContext(seed=3, budget="smoke")
    side = Side("d", "1", "0" * 64)
    (job,) = make_plan(["majority"], [(side, side)], control="shuffled-labels")
    assert job.settings == {EPOCHS: ALL_EPOCHS}
    null = NullControl.of(job)
    fitted = fit(Watching(), splits, context, null=null)
    seen = fitted.method
    assert isinstance(seen, Watching)
    assert len(seen.validation) == 0
    assert (seen.train.labels != splits.train.labels).any()
    np.testing.assert_array_equal(np.sort(seen.train.labels), np.sort(splits.train.labels))
    # The common probe that answers for it does not choose on them either, and needs no failure.
    assert answering(fitted, splits, context, null=null)(splits.test).shape == (10, 2)


def test_a_control_that_was_published_before_is_trained_as_it_was() -> None:
    splits, context = some_splits(), FitContext(seed=3, budget="smoke")
    side = Side("d", "1", "0" * 64)
    older = Job("majority", "shares", "1", side, side, control="shuffled-labels")
    seen = fit(Watching(), splits, context, null=NullControl.of(older)).method
    assert isinstance(seen, Watching)
    assert len(seen.validation) == 20
    plain = fit(Watching(), splits, context).method
    assert isinstance(plain, Watching)
    np.testing.assert_array_equal(plain.train.labels, splits.train.labels)
