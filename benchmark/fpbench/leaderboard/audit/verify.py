"""Follows one record from its files, and runs its job again where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fpbench.datasets.reference import HUB
from fpbench.errors import BadInput
from fpbench.leaderboard.archive.claims import (
    Difference,
    check_files,
    check_job,
    recomputed,
)
from fpbench.leaderboard.archive.layout import RUN_RECORDS, artifact_path, evidence_folder
from fpbench.leaderboard.audit.rerun import TOLERANCE, WORST_FIRST, Outcome, Step, run_again
from fpbench.method import Progress
from fpbench.runs.job import Side
from fpbench.runs.record import RECORD_FILE, Record, read_record
from fpbench.runs.rescoring import evidence_of


@dataclass(frozen=True)
class Verification:
    """All that was verified of one record.

    Attributes:
        path: The record's file.
        steps: What was verified, in order.
    """

    path: Path
    steps: tuple[Step, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of what was checked."""
        outcomes = {step.outcome for step in self.steps}
        return next((outcome for outcome in WORST_FIRST if outcome in outcomes), "not checked")


def verify(
    path: Path,
    *,
    rerun: bool = True,
    dataset: str | None = None,
    device: str = "auto",
    tolerance: float = TOLERANCE,
    offline: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Verify one record.

    Scores are computed again from the stored predictions and evidence and must be the same; then
    the job is run again where method and dataset are here.

    Args:
        path: The record, in a run's folder or in a leaderboards' folder; or a run's folder.
        rerun: Whether to run the job again.
        dataset: What to load the dataset by, where that is not the name in the record.
        device: Device to run on.
        tolerance: Half-widths of its interval that a score may move by in a rerun.
        offline: Whether to keep from asking the Hub for the dataset.
        progress: Progress callback of the run.

    Raises:
        BadInput: If the file is no record.
    """
    if path.is_dir():
        found = [path / name for name in RUN_RECORDS if (path / name).is_file()]
        if not found:
            raise BadInput(f"{path} holds no {RECORD_FILE}; name a record, or a run's folder.")
        path = found[0]
    record = read_record(path)
    steps = [_guarded("job", lambda: check_job(record, path))]
    if record.status != "done":
        reason = f"The job was {record.status}: {record.reason or 'no reason given'}"
        steps.append(Step("scores", "not checked", (reason,)))
        return Verification(path, tuple(steps))
    steps.append(_guarded("files", lambda: check_files(record, path)))
    steps.append(_scores(record, path))
    steps.append(_embeddings(record, path))
    steps += _on_dataset(record, path, dataset, rerun, device, tolerance, offline, progress)
    return Verification(path, tuple(steps))


def _guarded(what: str, action: object) -> Step:
    assert callable(action)  # noqa: S101  (called with lambdas above)
    try:
        action()
    except BadInput as error:
        return Step(what, "mismatch", (str(error),))
    return Step(what, "bitwise")


def _scores(record: Record, path: Path) -> Step:
    try:
        differences = recomputed(record, path)
    except BadInput as error:
        return Step("scores", "mismatch", (str(error),))
    return _compared("scores", differences)


def _compared(what: str, differences: Sequence[Difference]) -> Step:
    if not differences:
        return Step(what, "bitwise")
    told = tuple(str(difference) for difference in differences)
    rounding = all(difference.is_rounding for difference in differences)
    return Step(what, "within tolerance" if rounding else "mismatch", told)


def _embeddings(record: Record, path: Path) -> Step:
    """Correlations in the evidence, computed again from embeddings where those are there."""
    entry = record.artifacts.get("embeddings")
    if entry is None:
        return Step("embeddings", "not checked", ("The record has none.",))
    try:
        found = artifact_path(path, entry)
        if not found.is_file():
            return Step("embeddings", "not checked", (f"{found.name} is not beside the record.",))
        return _correlations(record, path, found)
    except BadInput as error:
        return Step("embeddings", "mismatch", (str(error),))


def _correlations(record: Record, path: Path, file: Path) -> Step:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    from fpbench.metrics.decorrelation import (
        fingerprint_correlations,
        item_correlations,
        source_fingerprints,
    )
    from fpbench.metrics.score import NotComputable

    evidence, labels = evidence_of(record, evidence_folder(path))
    if "correlations" not in evidence.arrays:
        return Step("embeddings", "not checked", ("The record keeps no correlations.",))
    try:
        arrays = load_file(file)
        means = arrays["fingerprints"][labels.generators]
        fingerprints = source_fingerprints(means, np.arange(len(labels.generators)))
        own = fingerprint_correlations(fingerprints)
        items = item_correlations(arrays["test"], fingerprints)
    except NotComputable as error:
        return Step("embeddings", "not checked", (str(error),))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        return Step("embeddings", "mismatch", (f"{file.name} cannot be read: {error}",))
    gaps = []
    for name, stored, found in (
        ("correlations", evidence.floats("correlations"), items),
        ("fingerprint_correlations", evidence.floats("fingerprint_correlations"), own),
    ):
        if stored.shape != found.shape:
            return Step("embeddings", "mismatch", (f"{name} are of shape {stored.shape}.",))
        gaps.append((name, float(np.abs(stored - found).max(initial=0.0))))
    told = tuple(f"{name} differ by {gap:.2g} at most" for name, gap in gaps if gap > 0)
    if not told:
        return Step("embeddings", "bitwise")
    # Means were kept in single precision.
    near = all(gap < 1e-3 for _, gap in gaps)
    return Step("embeddings", "within tolerance" if near else "mismatch", told)


def _on_dataset(
    record: Record,
    path: Path,
    dataset: str | None,
    rerun: bool,
    device: str,
    tolerance: float,
    offline: bool,
    progress: Progress | None,
) -> list[Step]:
    """The record against the dataset's own images, then against a run of its own."""
    if not rerun:
        return [Step("rerun", "not checked", ("It was not asked for.",))]
    steps: list[Step] = []
    sides = {"trained on": record.job.train, "tested on": record.job.test}
    if record.job.train == record.job.test:
        sides = {"": record.job.test}
    for what, side in sides.items():
        found = _dataset(side, dataset, offline, what)
        if found.outcome != "bitwise":
            return [*steps, found]
        steps.append(found)
    job = record.job if dataset is None else record.job.at(dataset)
    steps.append(run_again(record, job, path, device, tolerance, offline, progress))
    return steps


def _dataset(side: Side, location: str | None, offline: bool, what: str) -> Step:
    """One side of the record against the images that are here under its name."""
    from fpbench.datasets.resolve import resolve

    title = f"dataset {what}".rstrip()
    # Any Hub dataset is loaded by its columns, too; other locations are of another machine.
    own = side.location if side.location.startswith(HUB) else side.name
    where = own if location is None else location
    try:
        known = resolve(where, offline=offline).identity
    except BadInput as error:
        return Step(title, "not checked", (str(error),))
    if known.content_hash != side.content_hash:
        told = (
            f"The record is of revision {side.revision} of {side.name} (content "
            f"{side.content_hash[:12]}); {where} is revision {known.revision} (content "
            f"{known.content_hash[:12]}). Name the right one with --dataset, or leave the rerun "
            "out with --no-rerun."
        )
        return Step(title, "mismatch", (told,))
    # The same images may have been built from a recipe of another version: the content decides.
    if side.name == where and known.revision != side.revision:
        told = (
            f"The record names revision {side.revision}, but images with its content hash are "
            f"revision {known.revision}."
        )
        return Step(title, "mismatch", (told,))
    return Step(title, "bitwise")
