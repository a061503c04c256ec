"""What a record says of the trainings within a fit, and of one that did not learn."""

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from fpbench.cli.jobs import print_training
from fpbench.compute.training_log import TrainingLog
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodCard, Range, Variant
from fpbench.runs.curve import TrainingEntry
from fpbench.runs.execute import execute
from fpbench.runs.job import Job, Side
from fpbench.runs.options import JobOptions
from fpbench.runs.record import Record, parse_record, read_record
from fpbench.runs.store import Store


class Shallow(Method):
    """One linear layer on three mean colours, trained by the common loop."""

    card = MethodCard(
        name="shallow", title="t", authors="a", year=2026, citation="c", licence="MIT",
        version="1", variants={"only": Variant("the only one")},
    )  # fmt: skip

    def __init__(self, *, rate: Annotated[float, Range(above=0, most=10)] = 0.1) -> None:
        self.rate = rate

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> "Shallow":
        from torch import nn

        from fpbench.compute.classification import train_classifier
        from fpbench.compute.device import seeded
        from fpbench.compute.training_plan import TrainingPlan

        with seeded(context.seed, "shallow"):
            self.network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, len(train.sources)))
            nn.init.normal_(self.network[1].weight)  # untrained, it is confidently wrong
        train_classifier(
            self.network,
            TrainingPlan(epochs=5, batch=16, lr=self.rate),
            self.embed(train),
            train.labels,
            validation=(self.embed(validation), validation.labels),
            seed=context.seed,
            what="train shallow",
        )
        return self

    def embed(self, images: ImageSet) -> Any:
        return images.pixels.mean(axis=(1, 2)).astype(np.float32)

    def predict_proba(self, images: ImageSet) -> Any:
        from fpbench.compute.inference import predict

        logits = predict(self.network, self.embed(images))
        found = np.exp(logits - logits.max(axis=1, keepdims=True))
        return found / found.sum(axis=1, keepdims=True)


@pytest.fixture
def run(
    world: Any,
    plugins: dict[str, type[Method]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Runs ``shallow`` on planted colours: what a terminal is warned of, and the record."""
    plugins["shallow"] = Shallow
    side = Side("a", "1", "a" * 8)

    def ended(**settings: Any) -> tuple[str, Record]:
        job = Job("shallow", "only", "1", side, side, **settings)
        store = Store(tmp_path)
        execute(job, store, JobOptions(device="cpu", figures=False))
        record = read_record(store.folder(job))
        print_training(record)
        return capsys.readouterr().out, record

    return ended


def test_a_record_keeps_the_curve_of_a_training(run: Any) -> None:
    printed, record = run()
    (entry,) = record.training
    assert entry.what == "train shallow" and entry.epochs == [1, 2, 3, 4, 5]
    assert len(entry.losses) == len(entry.validations) == len(entry.rates) == 5
    assert entry.rates == [0.1] * 5
    assert entry.validations[entry.best - 1] == min(entry.validations)
    assert entry.guess == pytest.approx(np.log(len(record.test.sources)))
    counted = sum(source.train for source in record.test.sources)
    assert entry.shown == 5 * counted and entry.statistics == counted
    assert not record.did_not_train and printed == ""


def test_a_fit_that_never_beats_guessing_is_done_and_flagged(run: Any) -> None:
    printed, record = run(params={"rate": 1e-9})
    assert record.status == "done" and record.scores
    assert record.did_not_train
    assert min(record.training[0].validations) >= record.training[0].guess
    assert "Did not train: in 'train shallow' the validation loss never fell" in printed


def test_shuffled_labels_are_flagged(run: Any) -> None:
    assert run(control="shuffled-labels")[1].did_not_train


def test_a_flag_that_does_not_follow_from_the_curve_is_refused(run: Any) -> None:
    document = run(params={"rate": 1e-9})[1].model_dump(mode="json")
    document["did_not_train"] = False
    with pytest.raises(BadInput, match="did_not_train: False does not follow from the curves"):
        parse_record(json.dumps(document), Path("x.json"))


def test_records_of_before_have_no_curve() -> None:
    record = read_record(Path(__file__).parent / "version_1" / "transfer.json")
    assert record.training == [] and not record.did_not_train


def test_a_long_curve_is_thinned_and_keeps_its_best_epoch() -> None:
    losses = tuple(float(k) for k in range(10_000))
    held_out = tuple(abs(k - 777) + 1.5 for k in range(10_000))
    log = TrainingLog(
        losses, held_out, 777, False, 1, 1.0, "fp32", held_out=held_out, rates=losses, guess=1.0
    )
    entry = TrainingEntry.of(log)
    assert len(entry.epochs) < 410 and entry.epochs[0] == 1 and entry.epochs[-1] == 10_000
    assert entry.best == 778 and 778 in entry.epochs
    assert entry.least == 1.5 and entry.did_not_train
