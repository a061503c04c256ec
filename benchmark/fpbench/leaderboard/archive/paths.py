"""Places on somebody's machine, which a record may hold and a published one must not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath

from fpbench.datasets.reference import HUB
from fpbench.runs.job import Job, Side
from fpbench.runs.record import Record

_PATH = re.compile(
    r"""(?<![\w:/.\\~-])             # no web address, no part of a relative path
    (?: file:/+ | ~?/ | ~\w*/ | [A-Za-z]:[\\/] | \\\\ )
    [^\s'"`,;()\[\]<>|]+             # blanks in names are rare, and sentences full of them
    """,
    re.VERBOSE,
)
"""An absolute path within a sentence."""


def without_local_paths(record: Record) -> Record:
    """A record without what tells of the machine it was made on; its key stays.

    What a dataset was loaded by is left out, unless it is a Hub dataset with its columns, as its
    name and content hash say which it is; of
    files that parameters name and that sentences mention the last part of the path stays, as
    their hash says what they held. A record that tells nothing is returned as it is.

    Args:
        record: Of a finished job.
    """
    job = _without(record.job)
    reason = None if record.reason is None else shortened(record.reason)
    notes = [shortened(note) for note in record.notes]
    if (job, reason, notes) == (record.job, record.reason, record.notes):
        return record
    return record.model_copy(update={"job": job, "reason": reason, "notes": notes})


def local_paths(record: Record) -> list[str]:
    """What `without_local_paths` would change, each as it stands in the record."""
    job, found = record.job, []
    sides = (job.train, job.test)
    found += [side.location for side in sides if side.location != _nameless(side).location]
    clean = _without(job).params
    found += [str(value) for name, value in job.params.items() if clean[name] != value]
    for sentence in (record.reason or "", *record.notes):
        found += [match.group() for match in _PATH.finditer(sentence)]
    return list(dict.fromkeys(found))


def shortened(sentence: str) -> str:
    """A sentence in which absolute paths are their last part alone.

    >>> shortened("No file /home/ann/w.pt; see https://a.org/b/c and ./runs/x.")
    'No file w.pt; see https://a.org/b/c and ./runs/x.'
    """
    return _PATH.sub(lambda match: _last(match.group()), sentence)


def _without(job: Job) -> Job:
    params = {name: _last(v) if name in job.files else v for name, v in job.params.items()}
    return replace(job, train=_nameless(job.train), test=_nameless(job.test), params=params)


def _nameless(side: Side) -> Side:
    # A dataset of the Hub's with the columns that were read: no place on a machine, and needed.
    return side if side.location.startswith(HUB) else replace(side, location="")


def _last(path: str) -> str:
    return PureWindowsPath(PurePosixPath(path).name).name
