"""Small finished runs with real evidence and real scores, made without running a method."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpbench.compute.training_log import TrainingLog
from fpbench.distribution import BEFORE, NAME
from fpbench.files import write_text
from fpbench.images import Source
from fpbench.leaderboard.archive.layout import record_path
from fpbench.leaderboard.archive.methodcard import PublishedCard, card_text
from fpbench.runs.curve import TrainingEntry
from fpbench.runs.evidence import write_evidence
from fpbench.runs.job import SCORING_VERSION, Job, Limits, Side
from fpbench.runs.machine import EnvironmentEntry
from fpbench.runs.record import (
    CostEntry,
    MethodEntry,
    Record,
    SetupEntry,
    SideEntry,
    SourceEntry,
    read_record,
)
from fpbench.runs.rescoring import families_of, scoring_settings
from fpbench.scores.evidence import PROBABILITIES, PROBE, Evidence, Labels
from fpbench.scores.family import compute_scores

SOURCES = (("real", "Real"), ("gan-a", "GAN"), ("gan-b", "GAN"), ("vae-c", "VAE"))
TEST = 24
START = datetime(2026, 1, 1, tzinfo=UTC)


def planted_evidence(
    skill: float, seed: int, prefix: str = "t", sources: int = len(SOURCES), images: int = TEST
) -> tuple[Evidence, Labels]:
    """Predictions that are right with probability `skill`; hard images are hard for all."""
    rng = np.random.default_rng(seed)
    who = tuple(Source(name, family, name) for name, family in SOURCES[:sources])
    labels = np.repeat(np.arange(sources), images)
    hardness = np.random.default_rng(7).random(len(labels))
    right = np.where(hardness < skill, labels, (labels + 1 + rng.integers(0, 2)) % sources)
    raw = rng.random((len(labels), sources)) * 0.2
    raw[np.arange(len(labels)), right] += 1
    proba = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    generators = sources - 1
    correlations = rng.normal(0, 0.1, (len(labels), generators)).astype(np.float32)
    generated = labels > 0
    correlations[generated, labels[generated] - 1] += skill / 2
    own = np.eye(generators, dtype=np.float32) * 0.9 + 0.1
    own[0, 1] = own[1, 0] = 0.6
    arrays = {
        PROBABILITIES: proba,
        PROBE: proba,
        "fdr_features": rng.normal(labels[:, None] * skill, 1, (len(labels), 2)).astype(np.float32),
        "fdr_raw": np.asarray([2.0, 1.0]),
        "correlations": correlations,
        "fingerprint_correlations": own,
        "dimension": np.asarray([64]),
    }
    ids = np.asarray([f"{prefix}{i:04d}" for i in range(len(labels))])
    return Evidence(arrays), Labels(ids, labels, who, who)


def write_run(
    folder: Path,
    *,
    method: str = "prnu",
    variant: str = "wavelet",
    package: str = f"{NAME} 0.1.0",
    version: str = "1",
    skill: float = 0.8,
    seed: int = 0,
    budget: str = "small",
    dataset: str = "someone/gm-tiny",
    content: str = "ab" * 32,
    created: int = 0,
    control: str = "none",
    status: str = "done",
    reason: str | None = None,
    fold: int | None = None,
    folds: int | None = None,
    params: dict[str, Any] | None = None,
    prefix: str = "t",
    shortcut: float | None = None,
    limits: dict[str, Any] | None = None,
    families: list[str] | None = None,
    sources: int = len(SOURCES),
    trained: bool = True,
) -> Path:
    """Write the folder of one run and return its record's path."""
    folder.mkdir(parents=True, exist_ok=True)
    side = Side(dataset, f"1-{content[:12]}", content)
    job = Job(
        method, variant, version, side, side, params=params or {}, budget=budget, seed=seed,  # type: ignore[arg-type]
        fold=fold, folds=folds, control=control, limits=Limits(**(limits or {})),  # type: ignore[arg-type]
        scoring=SCORING_VERSION,
    )  # fmt: skip
    record = Record(
        key=job.key,
        status=status,  # type: ignore[arg-type]
        reason=reason,
        created=START + timedelta(minutes=created),
        job=job,
        method=MethodEntry(title=f"The paper of {method}", package=package),
        test=SideEntry(
            image_size=(16, 16), reference=50,
            sources=[
                SourceEntry(name=n, family=f, architecture=n, train=40, validation=8, test=TEST)
                for n, f in SOURCES[:sources]
            ],
            shortcut=shortcut,
        ),
        setup=SetupEntry(
            unit="image", classifier="own", embedding_dimension=64, fdr_samples=TEST,
            fdr_dimensions=2, families=families,
        ),
        environment=EnvironmentEntry(
            python="3.11.7", platform="Linux-x86_64", cores=2, packages={"fpbench": "0.1.0"},
            git_commit=None, git_dirty=None,
        ),
    )  # fmt: skip
    if status == "done":
        evidence, labels = planted_evidence(skill, seed + 1000 * (fold or 0), prefix, sources)
        cost = CostEntry(
            fit_seconds=1.5, inference_seconds=0.5, images_per_second=192.0, total_seconds=4.0,
            peak_memory_bytes=1 << 30, parameters=1000, device="cpu (a processor)",
        )  # fmt: skip
        artifacts = write_evidence(folder, evidence, labels)
        record = record.model_copy(update={"cost": cost, "artifacts": artifacts})
        settings = scoring_settings(record)
        scores = compute_scores(families_of(record), evidence, labels, settings)
        record = record.with_scores(scores)
    if not trained:
        curve = TrainingLog(
            (2.0,), (1.5,), 0, False, 1, 1.0, "fp32", held_out=(1.5,), rates=(0.1,), guess=1.4
        )
        idle = {"training": [TrainingEntry.of(curve)], "did_not_train": True}
        record = record.model_copy(update=idle)
    path = folder / "record.json"
    write_text(path, record.json_text())
    return path


def put(root: Path, run: Path, card: dict[str, Any] | None = None) -> Path:
    """Put a run where `fpbench submit` would, with a card made up for it."""
    record = read_record(run)
    target = record_path(root, record)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(run, target)
    beside = target.with_suffix("")
    for entry in record.artifacts.values():
        beside.mkdir(exist_ok=True)
        shutil.copy(run.parent / entry.file, beside / entry.file)
    fields = {
        "name": record.job.method,
        "package": record.method.distribution,
        "version": record.job.method_version,
        "title": record.method.title,
        "authors": "A. Author",
        "year": 2020,
        "licence": "MIT",
        "url": "https://example.org/paper",
        "citation": f"@article{{{record.key}, title = {{{record.method.title}}}}}",
        "variants": {record.job.variant: "a variant"},
        **(card or {}),
    }
    write_text(target.parent / "card.yaml", card_text(PublishedCard.model_validate(fields)))
    return target


def as_version_1_text(record: Record) -> str:
    """The record of a closed-set job as version 1 of the schema wrote it."""
    shown = record.model_dump(mode="json")
    job, setup, test = shown["job"], shown["setup"], shown["test"]
    side = {name: job["test"][name] for name in ("name", "revision", "content_hash")}
    judged = ("unit", "classifier", "embedding_dimension", "fdr_samples", "fdr_dimensions")
    asked = ("budget", "seed", "fold", "folds", "control", "scoring")
    images = ("image_size", "reference", "sources", "shortcut")
    environment = {k: v for k, v in shown["environment"].items() if k != "executor"}
    document = {
        "schema_version": 1,
        "job": record.key,
        "method": {
            "name": job["method"],
            "variant": job["variant"],
            "version": job["method_version"],
            "params": job["params"],
            "title": record.method.title,
            "package": record.method.package.replace(NAME, BEFORE),
        },
        "dataset": {**side, **{name: test[name] for name in images}},
        "protocol": {
            **{name: job[name] for name in asked},
            **{name: setup[name] for name in judged},
            **job["limits"],
        },
        "environment": environment,
    }
    kept = ("status", "reason", "created", "scores", "cost", "artifacts")
    return json.dumps({**document, **{name: shown[name] for name in kept}}, indent=2)


@pytest.fixture
def as_version_1() -> Callable[[Path], None]:
    """Writes a record's file as it was written before records nested their jobs."""

    def rewrite(path: Path) -> None:
        write_text(path, as_version_1_text(read_record(path)))

    return rewrite


MakeRun = Callable[..., Path]
AddRecord = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes a run of its own: ``make_run(method=..., skill=..., ...)`` gives its record."""
    count = 0

    def make(**settings: Any) -> Path:
        nonlocal count
        count += 1
        return write_run(tmp_path / "runs" / str(count), **settings)

    return make


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty leaderboards' folder."""
    folder = tmp_path / "leaderboards"
    folder.mkdir()
    return folder


@pytest.fixture
def add(root: Path, make_run: MakeRun) -> AddRecord:
    """Makes a run and puts it into `root`: ``add(method=..., card={...})`` gives its record."""

    def add_record(card: dict[str, Any] | None = None, **settings: Any) -> Path:
        return put(root, make_run(**settings), card)

    return add_record
