"""Follows one record from its files, and runs its job again where that is possible."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fpbench import registry
from fpbench.errors import BadInput
from fpbench.leaderboard.claims import (
    Difference,
    check_files,
    check_job,
    compare_scores,
    read_checked_evidence,
    recomputed,
    spec_of,
)
from fpbench.leaderboard.layout import RUN_RECORD, artifact_path
from fpbench.leaderboard.schema import load_record
from fpbench.method import Progress
from fpbench.runs.record import Record, ScoreEntry

Outcome = Literal["bitwise", "within tolerance", "mismatch", "not checked"]

TOLERANCE = 0.5
"""By how many half-widths of its own interval a score may move when a job is run again."""

_WITHOUT_INTERVAL = 0.02  # relative, for scores that have none


@dataclass(frozen=True)
class Step:
    """One thing that was verified.

    Attributes:
        what: E.g. ``scores``.
        outcome: How it ended.
        details: Sentences: differences, or why it was not checked.
    """

    what: str
    outcome: Outcome
    details: tuple[str, ...] = ()


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
        worst: Sequence[Outcome] = ("mismatch", "within tolerance", "bitwise")
        return next((outcome for outcome in worst if outcome in outcomes), "not checked")


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
        if not (path / RUN_RECORD).is_file():
            raise BadInput(f"{path} holds no {RUN_RECORD}; name a record, or a run's folder.")
        path = path / RUN_RECORD
    record = load_record(path)
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

    evidence = read_checked_evidence(record, path)
    generators = [k for k, source in enumerate(record.dataset.sources) if source.family != "Real"]
    try:
        arrays = load_file(file)
        means = arrays["fingerprints"][generators]
        fingerprints = source_fingerprints(means, np.arange(len(generators)))
        own = fingerprint_correlations(fingerprints)
        items = item_correlations(arrays["test"], fingerprints)
    except NotComputable as error:
        return Step("embeddings", "not checked", (str(error),))
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        return Step("embeddings", "mismatch", (f"{file.name} cannot be read: {error}",))
    gaps = []
    for name, stored, found in (
        ("correlations", evidence.correlations, items),
        ("fingerprint_correlations", evidence.fingerprint_correlations, own),
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
    from fpbench.datasets.load import identify

    location = record.dataset.name if dataset is None else dataset
    try:
        known = identify(location, offline=offline)
    except BadInput as error:
        return [Step("dataset", "not checked", (str(error),))]
    if known.content_hash != record.dataset.content_hash:
        return [
            Step(
                "dataset",
                "mismatch",
                (
                    f"The record is of revision {record.dataset.revision} of "
                    f"{record.dataset.name} (content {record.dataset.content_hash[:12]}); "
                    f"{location} is revision {known.revision} (content "
                    f"{known.content_hash[:12]}). Name the right one with --dataset, or leave the "
                    "rerun out with --no-rerun.",
                ),
            )
        ]
    steps = [_guarded("dataset", lambda: _check_revision(record, known.revision, location))]
    steps.append(_run_again(record, path, location, device, tolerance, offline, progress))
    return steps


def _check_revision(record: Record, revision: str, location: str) -> None:
    # A Hub dataset's revision is a commit, a built copy's is its own: the content decides.
    same_name = record.dataset.name == location
    if same_name and revision != record.dataset.revision:
        raise BadInput(
            f"The record names revision {record.dataset.revision}, but images with its content "
            f"hash are revision {revision}."
        )


def _run_again(
    record: Record,
    path: Path,
    location: str,
    device: str,
    tolerance: float,
    offline: bool,
    progress: Progress | None,
) -> Step:
    try:
        cls, _ = registry.resolve_method(f"{record.method.name}:{record.method.variant}")
    except BadInput as error:
        return Step("rerun", "not checked", (str(error),))
    if cls.card.version != record.method.version:
        told = f"version {cls.card.version} is installed, the record is of {record.method.version}"
        return Step("rerun", "not checked", (f"Of {record.method.name}, {told}.",))
    # Imported here, because it imports torch: following stored predictions needs none.
    from fpbench.compute.threads import limited_threads
    from fpbench.runs.execute import execute
    from fpbench.runs.store import Store

    # As many threads as the record's run had, because training amplifies the order of sums.
    threads = record.environment.threads
    spec = spec_of(record, location="" if location == record.dataset.name else location)
    with tempfile.TemporaryDirectory(prefix="fpbench-verify-") as folder:
        store = Store(Path(folder))
        try:
            with nullcontext() if threads is None else limited_threads(threads):
                again = execute(
                    spec, store, device=device, progress=progress, figures=False, offline=offline
                )
        except BadInput as error:
            return Step("rerun", "not checked", (str(error),))
        if again.status != "done":
            return Step("rerun", "mismatch", (f"It {again.status}: {again.reason}",))
        differences = compare_scores(record.scores, again.scores)
        try:
            first = read_checked_evidence(record, path)
            second = read_checked_evidence(again, store.folder(spec) / RUN_RECORD)
        except BadInput as error:
            return Step("rerun", "mismatch", (str(error),))
    if not np.array_equal(first.ids, second.ids) or not np.array_equal(first.labels, second.labels):
        return Step("rerun", "mismatch", ("The predictions are of other images.",))
    if not differences and np.array_equal(first.proba, second.proba):
        return Step("rerun", "bitwise")
    moved = float(np.abs(first.proba - second.proba).max(initial=0.0))
    return judged_rerun(record.scores, differences, moved, tolerance)


def judged_rerun(
    recorded: Mapping[str, ScoreEntry],
    differences: Sequence[Difference],
    moved: float,
    tolerance: float = TOLERANCE,
) -> Step:
    """Whether a second run agrees with a record.

    Args:
        recorded: Scores of the record.
        differences: What differs in the second run.
        moved: Largest change of any probability.
        tolerance: Half-widths of its interval that a score may move by.
    """
    values = [d for d in differences if d.field in ("value", "score", "n", "reason")]
    beyond = [d for d in values if not _tolerable(d, recorded, tolerance)]
    told = [f"Probabilities differ by {moved:.2g} at most."]
    told += [str(d) for d in (beyond or values)]
    return Step("rerun", "mismatch" if beyond else "within tolerance", tuple(told))


def _tolerable(
    difference: Difference, recorded: Mapping[str, ScoreEntry], tolerance: float
) -> bool:
    a, b = difference.recorded, difference.found
    if difference.field != "value" or not isinstance(a, float) or not isinstance(b, float):
        return False
    entry = recorded[difference.score]
    if entry.ci_low is None or entry.ci_high is None:
        return abs(a - b) <= _WITHOUT_INTERVAL * max(abs(a), abs(b))
    # The longer side counts: at a bound the shorter one is nothing.
    half = max(a - entry.ci_low, entry.ci_high - a)
    return abs(a - b) <= tolerance * half
