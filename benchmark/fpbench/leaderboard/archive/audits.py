"""Audits of datasets: of which images they are, and what tells sources apart without a fingerprint.

A card may hold several revisions of a dataset, and an audit of each (``audit.json``,
``audit-two.json``); the one that belongs to a board is found by the hash of the images.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fpbench.registry import card_folders

METADATA = "file headers, file sizes and clipping"
_SEES = {
    "file": "file headers",
    "clipping": "clipping (pixels at 0 and 255)",
    "bytes": "file sizes",
    "grid": "traces of a codec's 8×8 grid",
}
"""What each group of features of an audit's classifiers sees."""


@dataclass(frozen=True)
class Confound:
    """Something other than a fingerprint that tells generators apart.

    Attributes:
        sees: What its classifier sees, in words.
        accuracy: Balanced accuracy among generators.
        low: Lower end of its 95 % interval, or None where it is not known.
        chance: What guessing scores.
    """

    sees: str
    accuracy: float
    low: float | None
    chance: float


@dataclass(frozen=True)
class Audit:
    """One dataset's audit.

    Attributes:
        findings: Its sentences.
        confounds: Each thing that was tried, the strongest first.
    """

    findings: tuple[str, ...]
    confounds: tuple[Confound, ...]


def read_audit(name: str, content_hash: str) -> Audit | None:
    """The audit of exactly these images in a dataset's card, or None where there is none.

    Args:
        name: The dataset.
        content_hash: Hash of its images.
    """
    folder = card_folders().get(name.partition(":")[0])
    for path in [] if folder is None else sorted(folder.glob("audit*.json")):
        try:
            document = json.loads(path.read_text("utf-8"))
            if document["dataset"]["content_hash"] == content_hash:
                return _audit(document)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # `fpbench data` reports a broken card; here its audit is merely not known.
            continue
    return None


def _audit(document: dict[str, Any]) -> Audit:
    shortcut = document.get("shortcut")
    confounds = [] if shortcut is None else [_confound(METADATA, shortcut)]
    groups = {} if shortcut is None else shortcut["groups"]
    confounds += [_confound(_SEES.get(key, key), group) for key, group in groups.items()]
    return Audit(
        tuple(str(finding["text"]) for finding in document["findings"]),
        tuple(sorted(confounds, key=lambda confound: -confound.accuracy)),
    )


def _confound(sees: str, scores: dict[str, Any]) -> Confound:
    low = scores.get("ci_low")
    return Confound(
        sees,
        float(scores["accuracy"]),
        None if low is None else float(low),
        float(scores["chance"]),
    )
