"""Takes finished runs to the leaderboards' folder, or to a pull request on a Hub dataset."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.files import write_bytes
from fpbench.hub import hub_errors
from fpbench.leaderboard.archive.claims import (
    Difference,
    check_files,
    check_job,
    check_purpose,
    check_unlimited,
    compare_scores,
    needed_files,
    recomputed,
)
from fpbench.leaderboard.archive.layout import (
    FIGURES,
    PNG,
    SENT_FIGURES,
    artifact_path,
    card_path,
    evidence_folder,
    record_path,
)
from fpbench.leaderboard.archive.methodcard import card_text, published_card, read_card
from fpbench.leaderboard.archive.paths import without_local_paths
from fpbench.registry import card_folders, method_class, method_origin
from fpbench.runs.job import CLOSED_SET, Side
from fpbench.runs.record import RECORD_FILE, Record, read_record
from fpbench.runs.store import find_records as records_below

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LARGEST_FIGURE = 1 << 20


@dataclass(frozen=True)
class Submission:
    """One finished run and the files that it adds to the leaderboards' folder.

    Attributes:
        record: The run's record, without what tells of the machine that it was made on.
        source: The record's file in the run's folder.
        files: Content by path relative to the leaderboards' folder.
        state: ``new``, or ``already there`` if nothing would change.
        notes: What the submitter should know.
    """

    record: Record
    source: Path
    files: dict[str, bytes]
    state: str
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The job in a few words."""
        return self.record.job.title

    @property
    def headline(self) -> str:
        """Its headline score, or how the job ended."""
        score = self.record.headline
        return self.record.status if score is None or score.value is None else f"{score.value:.3f}"

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(len(content) for content in self.files.values())


def find_records(runs: Iterable[Path]) -> list[Path]:
    """Record files of runs: each a record, a run's folder, or a folder of runs.

    Raises:
        BadInput: If one holds no record.
    """
    found: list[Path] = []
    for run in runs:
        if run.is_file():
            found.append(run)
            continue
        records = sorted(records_below(run))
        if not records:
            raise BadInput(
                f"{run} holds no {RECORD_FILE}; name a run's folder, or a folder of them."
            )
        found += records
    return list(dict.fromkeys(found))


def prepare(path: Path, root: Path) -> Submission:
    """Validate one run and gather what it sends.

    Args:
        path: The run's record.
        root: The leaderboards' folder, which need not exist.

    Raises:
        BadInput: If the run is no result or of an ablation, its files or scores do not follow,
            nobody else could load its dataset, its method is neither installed nor known, or
            another result of the same job is there already.
    """
    record = read_record(path)
    if record.status == "failed":
        raise BadInput(f"{path} is of a failed job, which is no result: {record.reason}")
    check_job(record, path)
    check_unlimited(record, path)
    check_purpose(record, path)
    notes: list[str] = []
    for side in dict.fromkeys((record.job.train, record.job.test)):
        notes += _check_dataset(side, path)
    target = record_path(root, record)
    folder = target.parent.relative_to(root).as_posix()
    sent = without_local_paths(record)
    # A record of an older schema is sent as it was written, where nothing has to be left out.
    content = path.read_bytes() if sent is record else sent.json_text().encode()
    files = {f"{folder}/{target.name}": content}
    if record.status == "done":
        check_files(record, path)
        differences = [d for d in recomputed(record, path) if not d.is_rounding]
        if differences:
            raise BadInput(f"{path}: scores do not follow from predictions: {told(differences)}.")
        beside = f"{folder}/{target.stem}"
        for name in needed_files(record):
            entry = record.artifacts[name]
            files[f"{beside}/{entry.file}"] = artifact_path(path, entry).read_bytes()
        for name, content in _figures(path).items():
            files[f"{beside}/{FIGURES}/{name}"] = content
    if record.job.protocol == CLOSED_SET:
        card = card_path(target, record.job.method)
        files[card.relative_to(root).as_posix()] = _card(record, path, card)
    if record.environment.git_dirty:
        notes.append("fpbench's checkout had changes that no commit holds.")
    if record.job.budget == "smoke":
        notes.append("budget smoke is a test of the plumbing; boards show it last.")
    state = _state(record, read_record(target) if target.is_file() else None, target)
    return Submission(sent, path, files, state, tuple(notes))


def told(differences: Sequence[Difference]) -> str:
    """The first three differences, and how many more there are."""
    shown = "; ".join(str(d) for d in differences[:3])
    more = len(differences) - 3
    return f"{shown} (and {more} more)" if more > 0 else shown


def _check_dataset(dataset: Side, path: Path) -> list[str]:
    """Refuse a dataset that nobody else could load."""
    name = dataset.name
    folder = card_folders().get(name.partition(":")[0])
    if folder is None:
        if _HUB_ID.fullmatch(name):
            return []
        raise BadInput(
            f"{path} is of the dataset {name!r}, which has no card and is no Hub id, so nobody "
            "else could check it. Push the dataset (`fpbench data push`) and run on its Hub id."
        )
    from fpbench.datasets.resolve import resolve

    try:
        known = resolve(name, offline=True).identity
    except BadInput:
        return [f"{name} is not built here, so its revision was not compared."]
    if known.content_hash != dataset.content_hash:
        return [
            f"{name} has revision {known.revision} here, the run used {dataset.revision}; "
            "a board shows the revision of its newest record."
        ]
    return []


def _figures(path: Path) -> dict[str, bytes]:
    folder = evidence_folder(path) / FIGURES
    found = {}
    for name in SENT_FIGURES:
        figure = folder / name
        if figure.is_file() and figure.stat().st_size <= _LARGEST_FIGURE:
            content = figure.read_bytes()
            if content.startswith(PNG):
                found[name] = content
    return found


def _card(record: Record, path: Path, there: Path) -> bytes:
    """The method's card: of the installed method, else the one that is there."""
    name = record.job.method
    package = record.method.package.partition(" ")[0]
    try:
        cls = method_class(name)
    except BadInput as error:
        if there.is_file() and read_card(there).version == record.job.method_version:
            return there.read_bytes()
        raise BadInput(
            f"{path}: the card of {name!r} is needed for its citation, but the method is not "
            f"installed here; install {record.method.package} and submit again."
        ) from error
    if method_origin(name) != package or cls.card.version != record.job.method_version:
        raise BadInput(
            f"{path} is of {name!r} version {record.job.method_version} of "
            f"{record.method.package}, but version {cls.card.version} of {method_origin(name)} is "
            "installed here; run the job again with it."
        )
    return card_text(published_card(cls.card, package)).encode()


def _state(record: Record, known: Record | None, target: Path) -> str:
    if known is None or known.status != "done":
        return "new"
    differences = [d for d in compare_scores(known.scores, record.scores) if not d.is_rounding]
    if record.status != "done" or differences:
        raise BadInput(
            f"{target} is another result of the same job ({told(differences) or record.status}). "
            "A job is a pure function of its spec: raise the version on the method's card and run "
            "again, or keep the result that is there."
        )
    return "already there"


def write(submission: Submission, root: Path) -> list[Path]:
    """Write the files of a submission; the record last, so that none stands without its files.

    Returns:
        The files written.

    Raises:
        CannotWrite: If one cannot be written; those that were not there before are removed.
    """
    ordered = sorted(submission.files, key=lambda name: name.endswith(".json"))
    fresh: list[Path] = []
    try:
        for path, content in ((root / name, submission.files[name]) for name in ordered):
            if not path.exists():
                fresh.append(path)
            write_bytes(path, content)
    except BaseException:
        for path in fresh:
            path.unlink(missing_ok=True)
        raise
    return [root / name for name in ordered]


def open_pull_request(submissions: Sequence[Submission], repository: str) -> str:
    """Open one pull request with all submissions on a Hub dataset repository.

    Args:
        submissions: What to send.
        repository: ``OWNER/NAME`` of the dataset that holds the leaderboards' folder.

    Returns:
        Address of the pull request.

    Raises:
        BadInput: If the Hub refuses or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    files = {name: content for sent in submissions for name, content in sent.files.items()}
    jobs = "; ".join(sent.title for sent in submissions[:3])
    more = f" and {len(submissions) - 3} more" if len(submissions) > 3 else ""
    with hub_errors("dataset", repository):
        commit = HfApi().create_commit(
            repository,
            [CommitOperationAdd(name, content) for name, content in sorted(files.items())],
            commit_message=f"Add results: {jobs}{more}",
            commit_description="Checked by `fpbench submit`: scores follow from predictions.",
            repo_type="dataset",
            create_pr=True,
        )
    return str(commit.pr_url or commit.commit_url)
