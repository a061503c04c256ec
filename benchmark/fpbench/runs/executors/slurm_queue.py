"""What a Slurm cluster says of its tasks, and the notes on what has been submitted to it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fpbench.documents import Document, read_limited
from fpbench.errors import BadInput
from fpbench.files import write_text

_NEEDED = ("sbatch", "squeue")
_PATIENCE = 120.0

_ENDED = frozenset(
    (
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
        "PREEMPTED", "REVOKED", "TIMEOUT",
    )
)  # fmt: skip
"""States that a task does not leave; it may be in many others while it goes on."""


class NoAnswer(Exception):
    """Slurm was asked and gave no answer, with what it said instead."""


@dataclass(frozen=True)
class TaskState:
    """What Slurm says of a task.

    Attributes:
        name: Its state in capitals, e.g. ``RUNNING``.
    """

    name: str

    @property
    def running(self) -> bool:
        """Whether it has begun and not ended."""
        return self.name in ("RUNNING", "COMPLETING", "SUSPENDED")

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self is FORGOTTEN or self.name in _ENDED


FORGOTTEN = TaskState("no longer known")
"""Of a task that Slurm does not name, because it ended some minutes ago."""


def need_slurm() -> None:
    """Look for Slurm's commands.

    Raises:
        BadInput: If they are not there.
    """
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        raise BadInput(
            f"The executor 'slurm' needs Slurm's command {missing[0]}, which is not on the PATH; "
            "log in to a node of a cluster, or use --executor processes."
        )


def ask_queue() -> dict[str, TaskState]:
    """The user's tasks that Slurm knows, waiting, running or lately ended, by their ids.

    Raises:
        NoAnswer: If Slurm does not answer, as while its controller restarts.
    """
    try:
        done = subprocess.run(
            ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i %T"],  # noqa: S607  (Slurm is found on the path)
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise NoAnswer(error.stderr.strip() or f"exit code {error.returncode}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise NoAnswer(str(error)) from error
    rows = (line.split() for line in done.stdout.splitlines())
    return {row[0]: TaskState(row[1]) for row in rows if len(row) == 2}


class Batch(Document):
    """One array of tasks.

    Attributes:
        tasks: Keys of the jobs of each task, by the task's id.
    """

    tasks: dict[str, tuple[str, ...]]


def note_batch(folder: Path, batch: Batch) -> None:
    """Write down what was submitted, so that another process finds it."""
    first = min(batch.tasks, key=lambda task: (len(task), task))
    write_text(folder / f"{first.partition('_')[0]}.json", batch.json_text())


def live_tasks(folder: Path) -> dict[str, Sequence[str]]:
    """Tasks that have not ended, whoever submitted them: their ids, and the keys of their jobs.

    Raises:
        NoAnswer: As `ask_queue`.
    """
    # The notes first: what is noted after Slurm was asked would look as if it had ended.
    batches: Mapping[Path, Batch] = {
        path: batch for path in sorted(folder.glob("*.json")) if (batch := _read(path)) is not None
    }
    states = ask_queue() if batches else {}
    found: dict[str, Sequence[str]] = {}
    for path, batch in batches.items():
        live = {
            task: keys
            for task, keys in batch.tasks.items()
            if not states.get(task, FORGOTTEN).gone and _awaited(folder, task)
        }
        found |= live
        if not live:
            path.unlink(missing_ok=True)
    return found


def _awaited(folder: Path, task: str) -> bool:
    """Whether nobody has taken what the task gave: whoever does removes what was submitted.

    A task goes on for a moment after it has given its result.
    """
    return (folder / f"{task}_submitted.pkl").exists()


def _read(path: Path) -> Batch | None:
    """A note, or None where it is none; jobs that it named are then submitted once more."""
    try:
        return Batch.model_validate_json(read_limited(path, "note on a Slurm array"))
    except (BadInput, ValidationError):
        return None
