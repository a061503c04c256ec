"""Checks a leaderboards' folder: records, boards, scores, and what a change did to them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed  # type: ignore[import-untyped]

from fpbench.distribution import NAME
from fpbench.errors import BadInput
from fpbench.leaderboard.archive.claims import compare_scores, recomputed
from fpbench.leaderboard.archive.collect import Entry, Problem, collect, relative
from fpbench.leaderboard.archive.layout import folders_of_records
from fpbench.leaderboard.audit.submit import told
from fpbench.leaderboard.output.build import leaderboards_of, make_files, stale
from fpbench.method import Progress
from fpbench.registry import card_folders
from fpbench.runs.record import parse_record, read_record

_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]* [0-9][A-Za-z0-9.+!]*")
_WORTH_A_PROCESS = 8
"""Records for which another process is started; fewer are done before it stands."""
_BATCH = 4
"""Records in a row that one process scores, so that they share what is drawn for the first."""
_METHOD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*:[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes:
        records: Records that can stand on a board.
        rescored: Records whose scores were computed again.
        changed: Records that differ from the revision compared with, or None without one.
        problems: Why the check fails; empty if it does not.
    """

    records: int
    rescored: int
    changed: tuple[Entry, ...] | None
    problems: tuple[Problem, ...]


def _silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


def check(
    root: Path,
    *,
    since: str | None = None,
    rescore: bool = True,
    jobs: int = 1,
    progress: Progress = _silent,
) -> CheckReport:
    """Check that records are sound, boards are current and scores follow from predictions.

    Args:
        root: The leaderboards' folder.
        since: A git revision: only records that differ from it are scored again, and their
            drift and dataset are checked.
        rescore: Whether to score predictions again.
        jobs: Processes that score at the same time.
        progress: Called after every record.

    Raises:
        BadInput: If `root` is no folder, or git does not know `since`.
    """
    collection = collect(root)
    entries = collection.records
    chosen: Sequence[Entry] = entries
    changed: tuple[Entry, ...] | None = None
    problems: list[Problem] = []
    if since is not None:
        names = changed_files(root, since)
        chosen = changed = tuple(e for e in entries if _touched(e, root, names))
        problems += _drift(root, since, names)
        problems += [found for e in changed if (found := _outdated(e)) is not None]
    done = sorted((e for e in chosen if e.record.status == "done"), key=_drawn_alike)
    # Scoring begins in other processes while boards are made in this one.
    workers = min(jobs, max(1, len(done) // _WORTH_A_PROCESS))
    answers = Parallel(workers, return_as="generator", batch_size=_BATCH if workers > 1 else 1)(
        delayed(_followed)(e, root) for e in (done if rescore else ())
    )
    leaderboards = leaderboards_of(collection)
    problems = [*leaderboards.problems, *stale(root, make_files(leaderboards)), *problems]
    for position, found_wrong in enumerate(answers, start=1):
        problems += found_wrong
        progress("score again", position, len(done))
    return CheckReport(len(entries), len(done) if rescore else 0, changed, tuple(problems))


def _drawn_alike(entry: Entry) -> tuple[str, int, str]:
    """Puts records next to each other whose scores share resamples of the same images."""
    job = entry.record.job
    return job.test.content_hash, job.seed, entry.link


def _followed(entry: Entry, root: Path) -> list[Problem]:
    """What scoring the entry's predictions again says against its record."""
    try:
        differences = [d for d in recomputed(entry.record, entry.path) if not d.is_rounding]
    except BadInput as error:
        message = relative(str(error).removeprefix(f"{entry.path}: "), root)
        return [Problem(entry.link, message)]
    if not differences:
        return []
    return [Problem(entry.link, f"scores do not follow from predictions: {told(differences)}.")]


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  (fixed arguments, no shell)
            ["git", "-C", str(root), *arguments],  # noqa: S607  (git is found on the path)
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except FileNotFoundError as error:
        raise BadInput("git is not installed, so changes cannot be told; leave --since out.") from (
            error
        )
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split()) or "it knows no such revision."
        raise BadInput(f"git cannot compare {root} with the revision asked for: {reason}") from (
            error
        )
    return done.stdout


def changed_files(root: Path, since: str) -> dict[str, str]:
    """Records and their files that differ from a git revision, uncommitted ones too.

    Returns:
        Path relative to `root` to git's letter: A added, M changed, D deleted.

    Raises:
        BadInput: If git does not know the revision.
    """
    if since.startswith("-"):
        raise BadInput(f"{since!r} is no git revision.")
    commit = _git(root, "rev-parse", "--verify", "--quiet", f"{since}^{{commit}}").strip()
    # What others did to the base since this branch left it is not this change.
    base = _git(root, "merge-base", commit, "HEAD").strip()
    folders = [folder.name for folder in folders_of_records(root)] or ["."]
    listed = _git(
        root, "diff", "--name-status", "--no-renames", "--relative", "-z", base, "--", *folders
    )
    parts = listed.split("\0")
    found = {name: letter for letter, name in zip(parts[::2], parts[1::2], strict=False) if name}
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z", "--", *folders)
    found |= {name: "A" for name in untracked.split("\0") if name}
    return found


def _touched(entry: Entry, root: Path, names: dict[str, str]) -> bool:
    """Whether a record or a file beside it is among changed ones."""
    beside = entry.path.with_suffix("").relative_to(root).as_posix()
    return any(name.startswith((f"{beside}/", f"{beside}.json")) for name in names)


def _drift(root: Path, since: str, names: dict[str, str]) -> list[Problem]:
    """Records that were there before and now say something else, or nothing."""
    base = _git(root, "merge-base", since, "HEAD").strip()
    problems = []
    for name, letter in sorted(names.items()):
        if not name.endswith(".json") or letter == "A":
            continue
        if letter == "D":
            problems.append(Problem(name, "was removed; a result stays, newer versions join it."))
            continue
        try:
            before = parse_record(_git(root, "show", f"{base}:./{name}"), root / name)
            after = read_record(root / name)
        except BadInput:
            # A malformed record is already a problem of its own.
            continue
        if before.status != "done":
            continue
        differences = [d for d in compare_scores(before.scores, after.scores) if not d.is_rounding]
        if differences or after.status != "done":
            problems.append(
                Problem(
                    name,
                    f"drifted from the result that was there ({told(differences)}); raise the "
                    "version on the method's card and submit it as a result of its own.",
                )
            )
    return problems


def _outdated(entry: Entry) -> Problem | None:
    """A changed record of another revision of a dataset than the one that is here."""
    from fpbench.datasets.resolve import resolve

    dataset = entry.record.job.test
    if dataset.name.partition(":")[0] not in card_folders():
        return None
    try:
        known = resolve(dataset.name, offline=True).identity
    except BadInput:
        # A card without images here: nothing to compare with.
        return None
    if known.content_hash == dataset.content_hash:
        return None
    return Problem(
        entry.link,
        f"was run on revision {dataset.revision} of {dataset.name}, but its content hash is not "
        f"that of the current revision {known.revision}; run it again on that.",
    )


def changed_entries(root: Path, since: str | None) -> tuple[Entry, ...]:
    """Sound records, or those of them that differ from a git revision.

    Raises:
        BadInput: If `root` is no folder, or git does not know `since`.
    """
    entries = collect(root).records
    if since is None:
        return entries
    names = changed_files(root, since)
    return tuple(entry for entry in entries if _touched(entry, root, names))


def packages_of(entries: Sequence[Entry]) -> list[str]:
    """Distributions that register the methods of these records, as ``name==version``.

    Only what is a plain name and version is returned, because it may be handed to an installer.
    """
    return sorted(
        {
            entry.record.method.package.replace(" ", "==")
            for entry in entries
            if _PACKAGE.fullmatch(entry.record.method.package) and entry.package != NAME
        }
    )


def methods_of(entries: Sequence[Entry]) -> list[str]:
    """Methods of these records as ``name:variant``.

    Only plain names are returned, because they may be handed to a shell.
    """
    named = (f"{e.record.job.method}:{e.record.job.variant}" for e in entries)
    return sorted({name for name in named if _METHOD.fullmatch(name)})
