"""Time of all scores of one finished job, from embeddings to intervals, tree and alignments."""

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from fpbench.images import ImageSet, Source
from fpbench.runs.structure import describe_structure
from fpbench.scores.catalogue import SAME_SOURCES
from fpbench.scores.evidence import Labels, Outcome, ScoringSettings
from fpbench.scores.family import compute_scores, gather_evidence

pytestmark = pytest.mark.benchmark

GENERATORS, IMAGES, DIMENSION = 12, 200, 2048
FAMILIES = ("VAE", "GAN", "Flow", "Score")
CHOICES = ("upsampling", "downsampling", "normalisation", "nonlinearity", "skip", "loss")


def finished_job() -> tuple[Outcome, Labels]:
    """Real and 12 generators, 200 test and 400 training embeddings of each."""
    rng = np.random.default_rng(0)
    sources = [Source("real", "Real", "photographs")]
    for k in range(GENERATORS):
        design = {choice: "abc"[(k // (c + 1)) % 3] for c, choice in enumerate(CHOICES)}
        sources.append(Source(f"generator-{k}", FAMILIES[k % 4], f"G{k}", design))
    count = len(sources)
    centres = rng.normal(size=(count, DIMENSION)) * 0.2

    def images(each: int) -> tuple[ImageSet, NDArray[np.float32]]:
        labels = np.repeat(np.arange(count), each)
        ids = [f"{each}-{i}" for i in range(len(labels))]
        rows = centres[labels] + rng.normal(size=(len(labels), DIMENSION))
        pixels = np.zeros((len(labels), 4, 4, 3), np.uint8)
        return ImageSet(pixels, sources, labels, ids), rows.astype(np.float32)

    (train, train_rows), (test, test_rows) = images(2 * IMAGES), images(IMAGES)
    logits = test_rows @ centres.T.astype(np.float32)
    proba = np.exp(logits - logits.max(axis=1, keepdims=True))
    proba = (proba / proba.sum(axis=1, keepdims=True)).astype(np.float32)
    outcome = Outcome(proba, proba, True, test_rows, train_rows, train.labels, 1.0, 1.0, None)
    return outcome, Labels(test.ids, test.labels, test.sources, train.sources)


def test_all_scores_of_a_job_take_less_than_20_seconds(benchmark):
    """12 generators and Real, 200 test images each, 2,048 dimensions, on two cores."""
    outcome, labels = finished_job()
    settings = ScoringSettings(0, IMAGES, IMAGES // 8)
    laps = {}

    def score() -> None:
        started = time.perf_counter()
        evidence = gather_evidence(SAME_SOURCES, outcome, labels, settings)
        gathered = time.perf_counter()
        scores = compute_scores(SAME_SOURCES, evidence, labels, settings)
        computed = time.perf_counter()
        structure = describe_structure(evidence, labels, outcome.test_embeddings, 0)
        laps.update(
            evidence=gathered - started,
            scores=computed - gathered,
            structure=time.perf_counter() - computed,
        )
        assert all(found.value is not None for found in scores.values())
        assert structure is not None and len(structure.alignments) == 1 + len(CHOICES)

    benchmark.pedantic(score, rounds=1)
    benchmark.extra_info |= laps
    assert sum(laps.values()) < 20, laps
