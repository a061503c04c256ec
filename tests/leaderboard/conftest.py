"""Small finished runs with real evidence and real scores, made without running a method."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fpbench.runs.artifacts import Evidence, write_evidence
from fpbench.runs.scoring import compute_scores, score_entries

from fpbench.leaderboard.archive.claims import protocol_of, spec_of
from fpbench.leaderboard.archive.layout import record_path, write_text
from fpbench.leaderboard.archive.methodcard import PublishedCard, card_text
from fpbench.runs.job import SCORING_VERSION
from fpbench.runs.record import (
    CostEntry,
    DatasetEntry,
    EnvironmentEntry,
    MethodEntry,
    ProtocolEntry,
    Record,
    SourceEntry,
)

SOURCES = (("real", "Real"), ("gan-a", "GAN"), ("gan-b", "GAN"), ("vae-c", "VAE"))
TEST = 24
START = datetime(2026, 1, 1, tzinfo=UTC)


def planted_evidence(
    skill: float, seed: int, prefix: str = "t", sources: int = len(SOURCES), images: int = TEST
) -> Evidence:
    """Predictions that are right with probability `skill`; hard images are hard for all."""
    rng = np.random.default_rng(seed)
    names = tuple(name for name, _ in SOURCES[:sources])
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
    return Evidence(
        ids=np.asarray([f"{prefix}{i:04d}" for i in range(len(labels))]),
        names=names,
        labels=labels,
        proba=proba,
        probe_proba=proba,
        fdr_features=rng.normal(labels[:, None] * skill, 1, (len(labels), 2)).astype(np.float32),
        fdr_raw=np.asarray([2.0, 1.0]),
        correlations=correlations,
        fingerprint_correlations=own,
        dimension=64,
    )


def write_run(
    folder: Path,
    *,
    method: str = "prnu",
    variant: str = "wavelet",
    package: str = "fpbench 0.1.0",
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
    sources: int = len(SOURCES),
) -> Path:
    """Write the folder of one run and return its record's path."""
    folder.mkdir(parents=True, exist_ok=True)
    evidence = planted_evidence(skill, seed + 1000 * (fold or 0), prefix, sources)
    record = Record(
        job="0" * 16,
        status=status,  # type: ignore[arg-type]
        reason=reason,
        created=START + timedelta(minutes=created),
        method=MethodEntry(
            name=method, variant=variant, version=version, params=params or {},
            title=f"The paper of {method}", package=package,
        ),
        dataset=DatasetEntry(
            name=dataset, revision=f"1-{content[:12]}", content_hash=content,
            image_size=(16, 16), reference=50,
            sources=[
                SourceEntry(name=n, family=f, architecture=n, train=40, validation=8, test=TEST)
                for n, f in SOURCES[:sources]
            ],
            shortcut=shortcut,
        ),
        protocol=ProtocolEntry(
            budget=budget, seed=seed, fold=fold, folds=folds, unit="image",  # type: ignore[arg-type]
            control=control, classifier="own", embedding_dimension=64,  # type: ignore[arg-type]
            fdr_samples=TEST, fdr_dimensions=2, scoring=SCORING_VERSION, **(limits or {}),
        ),
        cost=CostEntry(
            fit_seconds=1.5, inference_seconds=0.5, images_per_second=192.0, total_seconds=4.0,
            peak_memory_bytes=1 << 30, parameters=1000, device="cpu (a processor)",
        ),
        environment=EnvironmentEntry(
            python="3.11.7", platform="Linux-x86_64", cores=2, packages={"fpbench": "0.1.0"},
            git_commit=None, git_dirty=None,
        ),
    )  # fmt: skip
    updates: dict[str, Any] = {"job": spec_of(record).key}
    if status == "done":
        updates["artifacts"] = write_evidence(folder, evidence)
        updates["scores"] = score_entries(compute_scores(evidence, protocol_of(record)))
    else:
        updates["cost"] = None
    record = record.model_copy(update=updates)
    path = folder / "record.json"
    write_text(path, record.model_dump_json(indent=2) + "\n")
    return path


def put(root: Path, run: Path, card: dict[str, Any] | None = None) -> Path:
    """Put a run where `fpbench submit` would, with a card made up for it."""
    record = Record.model_validate_json(run.read_text("utf-8"))
    target = record_path(root, record)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(run, target)
    beside = target.with_suffix("")
    for entry in record.artifacts.values():
        beside.mkdir(exist_ok=True)
        shutil.copy(run.parent / entry.file, beside / entry.file)
    fields = {
        "name": record.method.name,
        "package": record.method.package.partition(" ")[0],
        "version": record.method.version,
        "title": record.method.title,
        "authors": "A. Author",
        "year": 2020,
        "licence": "MIT",
        "url": "https://example.org/paper",
        "citation": f"@article{{{record.job}, title = {{{record.method.title}}}}}",
        "variants": {record.method.variant: "a variant"},
        **(card or {}),
    }
    write_text(target.parent / "card.yaml", card_text(PublishedCard.model_validate(fields)))
    return target


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
