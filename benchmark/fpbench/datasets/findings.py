"""What an audit's numbers say: one sentence for each thing that makes a dataset doubtful."""

from __future__ import annotations

from typing import Any

from fpbench.datasets.layout import LABELLED_SPLITS

_MEANINGS = {
    "file": "file headers (format, JPEG tables, mode, metadata)",
    "grid": "traces of an 8x8 grid in the pixels (of a JPEG, or of an upsampler)",
    "clipping": "pixels at 0 and 255",
    "bytes": "file size",
}
_UNEVEN = 1.5


def findings(document: dict[str, Any]) -> list[dict[str, str]]:
    """Findings of an audit, each with a kind and a text.

    What is measured is a finding only where its interval clears the threshold.

    Args:
        document: Of an `fpbench.datasets.audit.AuditReport`, all but its findings.
    """
    return [
        {"kind": kind, "text": text}
        for kind, text in (
            *_files(document),
            *_codec(document),
            *_probes(document),
            *_duplicates(document["duplicates"]),
            *_balance(document),
        )
    ]


def glance_findings(document: dict[str, Any]) -> list[dict[str, str]]:
    """As `findings`, of what files, codecs and near duplicates say alone.

    Args:
        document: Its fields ``files``, ``origin_files``, ``equalised``, ``codec_threshold``,
            ``codec_trace`` and ``duplicates``.
    """
    found = (*_files(document), *_codec(document), *_duplicates(document["duplicates"]))
    return [{"kind": kind, "text": text} for kind, text in found]


def _files(document: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for title, files in (("Files", "files"), ("Files that images came from", "origin_files")):
        kinds: dict[str, dict[str, int]] = document[files]
        if len({frozenset(row) for row in kinds.values()}) > 1:
            told = "; ".join(f"{source}: {', '.join(row)}" for source, row in kinds.items())
            since = " They went through one pipeline since (the recipe's equalise step)."
            equalised = files == "origin_files" and document["equalised"] is not None
            found.append(
                ("files", f"{title} differ between sources ({told}).{since if equalised else ''}")
            )
    return found


def _codec(document: dict[str, Any]) -> list[tuple[str, str]]:
    threshold = document["codec_threshold"]
    known = {s: t for s, t in document["codec_trace"].items() if t["mean"] is not None}
    with_trace = [source for source, trace in known.items() if trace["ci_low"] > threshold]
    without = [source for source, trace in known.items() if trace["ci_high"] < threshold]
    if not with_trace or not without:
        return []
    return [
        (
            "codec",
            f"The pixels of {', '.join(with_trace)} carry the 8x8 traces of a JPEG, those of "
            f"{', '.join(without)} do not.",
        )
    ]


def _above_chance(score: dict[str, Any]) -> bool:
    low, chance = score["ci_low"], score["chance"]
    return low is not None and chance is not None and low > chance


def _probes(document: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for group, score in document["shortcut"]["groups"].items():
        for part, who in ((score, "generators"), (score["with_real"], "sources, Real included,")):
            if _above_chance(part):
                found.append(
                    (
                        group if part is score else f"{group}-real",
                        f"A probe that sees only {_MEANINGS[group]} tells {who} apart: accuracy "
                        f"{part['accuracy']:.3f} (95 % interval {part['ci_low']:.3f} to "
                        f"{part['ci_high']:.3f}), chance {part['chance']:.3f}.",
                    )
                )
    return found


def _duplicates(duplicates: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    if duplicates["near_across"]:
        pairs = ", ".join(f"{key}: {n}" for key, n in duplicates["near_across"].items())
        found.append(("duplicates", f"Near duplicates in different splits ({pairs})."))
    if duplicates["memorised"]:
        told = ", ".join(f"{source}: {n}" for source, n in duplicates["memorised"].items())
        found.append(("memorised", f"Generated images that nearly equal training images ({told})."))
    if duplicates["near_between"]:
        told = ", ".join(f"{pair}: {n}" for pair, n in duplicates["near_between"].items())
        found.append(("shared", f"Near duplicates among images of different sources ({told})."))
    for twins in duplicates["twins"]:
        found.append(
            (
                "twins",
                f"{twins['first']} and {twins['second']} share images position by position: fine "
                f"detail of the two at the same place correlates {twins['same']:.2f}, at others "
                f"{twins['other']:.2f} (difference {twins['ci_low']:.2f} to "
                f"{twins['ci_high']:.2f}). One may be made from the other, or both by one "
                "training.",
            )
        )
    return found


def _balance(document: dict[str, Any]) -> list[tuple[str, str]]:
    found = []
    for split in LABELLED_SPLITS:
        numbers = document["counts"][split].values()
        if max(numbers) > _UNEVEN * min(numbers):
            found.append(
                (
                    "balance",
                    f"Sources have between {min(numbers)} and {max(numbers)} images in {split}.",
                )
            )
    return found
