"""Where things lie under ``leaderboards/``, and which names may become paths.

A record lies at ``results/<dataset>/<method>/<job>.json``, that of a transfer at
``transfers/<trained on>-to-<tested on>/<method>/<job>.json``, its predictions and evidence in the
folder ``results/<dataset>/<method>/<job>/``, the method's card in
``results/<dataset>/<method>/card.yaml``. In a run's own folder all of them lie beside
``record.json``.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from fpbench.errors import BadInput
from fpbench.runs.job import CLOSED_SET, TRANSFER
from fpbench.runs.record import RECORD_FILE, ArtifactEntry, Record
from fpbench.runs.renamed import former_name
from fpbench.runs.store import OLD_TRANSFER_FILE

RESULTS = "results"
TRANSFERS = "transfers"
FOLDERS = {CLOSED_SET: RESULTS, TRANSFER: TRANSFERS}
"""Folders of records by protocol; those of any other protocol lie in one of its own name."""

RUN_RECORDS = (RECORD_FILE, OLD_TRANSFER_FILE)
"""What a record is called in a run's own folder."""

CARD = "card.yaml"
PUBLISHED = "published.yaml"
FIGURES = "figures"
SENT_FIGURES = ("tsne.png", "residuals.png")
"""Figures that cannot be made from predictions and evidence; the others the site draws itself."""

PNG = b"\x89PNG\r\n\x1a\n"
"""How a PNG file begins."""

RESERVED = frozenset({"readme", "index", "transfer", "structure", "cost", "published",
                      "open-set", "robustness"})  # fmt: skip
"""Boards that are no dataset's; a dataset of such a name would overwrite them."""

_JOB = re.compile(r"[0-9a-f]{16}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_FORBIDDEN = re.compile(r"[^A-Za-z0-9._+-]+")
_EXPECTED = frozenset(":,/")
_LONGEST = 80


def folder_name(name: str) -> str:
    """The folder that stands for a dataset or method: plain characters only, never a path.

    A name that had to be changed beyond ``:``, ``,`` and ``/`` carries a few digits of its hash,
    so that two names do not share a folder.

    >>> folder_name("gm-synthetic:kernel,-6"), folder_name("someone/gm-x")
    ('gm-synthetic-kernel--6', 'someone-gm-x')
    >>> folder_name("../../etc")
    'etc-74ccf3c5'
    """
    plain = _FORBIDDEN.sub("-", name).strip("-.")[:_LONGEST]
    unusual = [c for c in name if _FORBIDDEN.match(c) and c not in _EXPECTED]
    if unusual or not plain or len(name) > _LONGEST or name[:1] in "-./" or name[-1:] in "-./":
        digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
        return f"{plain}-{digest}" if plain else digest
    return plain


def record_path(root: Path, record: Record) -> Path:
    """Where a record lies under the leaderboards' folder `root`: under the name of today.

    One that lies under the name that its method had when it was published stays there.

    Raises:
        BadInput: If the record's job is not a hash, or its dataset has a reserved name.
    """
    if not _JOB.fullmatch(record.key):
        raise BadInput(f"The record's job {record.key!r} is not 16 hexadecimal digits.")
    place = folder_name(record.job.place)
    if place.lower() in RESERVED:
        raise BadInput(
            f"A dataset cannot be called {record.job.test.name!r}: {place}.md is another board."
        )
    folder = root / FOLDERS.get(record.job.protocol, record.job.protocol) / place
    names = (record.job.method, former_name(record.job.method, record.job.variant)[0])
    places = [folder / folder_name(name) / f"{record.key}.json" for name in names]
    return next((path for path in places if path.exists()), places[0])


def card_path(path: Path, method: str) -> Path:
    """Where the card of a record's method lies, whose records may lie under a former name.

    Args:
        path: The record.
        method: Its method's name.
    """
    if path.name in RUN_RECORDS:
        return path.parent / CARD
    return path.parent.parent / folder_name(method) / CARD


def evidence_folder(path: Path) -> Path:
    """The folder of the files beside the record at `path`."""
    return path.parent if path.name in RUN_RECORDS else path.with_suffix("")


def artifact_path(path: Path, entry: ArtifactEntry) -> Path:
    """Where a file of the record at `path` lies.

    Raises:
        BadInput: If the record names a path instead of a file, or a link leads out of the folder.
    """
    folder = evidence_folder(path)
    found = folder / entry.file
    if not _FILE.fullmatch(entry.file):
        raise BadInput(f"{path} names the file {entry.file!r}; a plain file name is needed.")
    if found.is_symlink() or (path.name not in RUN_RECORDS and folder.is_symlink()):
        raise BadInput(f"{path} names the file {entry.file!r}, which leads out of its folder.")
    return found


def folders_of_records(root: Path) -> list[Path]:
    """The folders below `root` that hold records: those of the known protocols that are there."""
    from fpbench.runs.plugins import protocol_names

    names = dict.fromkeys([*FOLDERS.values(), *(FOLDERS.get(n, n) for n in protocol_names())])
    return [root / name for name in names if (root / name).is_dir()]
