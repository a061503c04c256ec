"""Which rows of a labelled dataset become which images: sources, splits, and how many of each."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fpbench.datasets.assignment import assign
from fpbench.datasets.folder_layout import SPLIT_NAMES
from fpbench.datasets.labelled.choice import choose_rows
from fpbench.datasets.labelled.spec import OTHERS
from fpbench.datasets.layout import LABELLED_SPLITS, SPLITS
from fpbench.errors import BadInput, suggest
from fpbench.images import REAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.labelled.spec import Labelled
    from fpbench.datasets.labelled.table import Rows
    from fpbench.datasets.splitting import SplitRule

_MOST_SOURCES = 1000
_SHOWN = 12
_ALL = 10**9


class _Row(NamedTuple):
    """A row as `assign` sees it."""

    split: str
    group: str


@dataclass(frozen=True)
class Selection:
    """What is taken of a labelled dataset.

    Attributes:
        rows: Chosen rows by source, Real first, and split, ascending.
        told: How they were split and chosen, in words.
    """

    rows: dict[str, dict[str, NDArray[np.int64]]]
    told: str

    def every(self) -> NDArray[np.int64]:
        """All chosen rows, ascending."""
        parts = [rows for own in self.rows.values() for rows in own.values()]
        return np.sort(np.concatenate(parts))


def select(rows: Rows, spec: Labelled, name: str) -> Selection:
    """Choose rows and split them.

    Args:
        rows: All rows.
        spec: What is stated.
        name: The dataset's name, for messages.

    Raises:
        BadInput: If labels and sources do not fit together, a source has too few images, or a
            split is not there.
    """
    labels, codes = np.unique(rows.labels, return_inverse=True)
    counts = np.bincount(codes, minlength=len(labels))
    owners = source_of_labels(labels.tolist(), counts, spec, name)
    sources = sorted(set(owners.values()), key=lambda source: (source != REAL, source))
    if len(sources) < 2:
        raise BadInput(
            f"{name} has the source {', '.join(sources) or 'none'} alone; at least two are needed. "
            "Check --label, --real and where=."
        )
    new, how = _splits(rows.splits, spec, name)
    parts = list(SPLITS) if any(new.values()) else [""]
    source = np.array([sources.index(owners[o]) if o in owners else -1 for o in labels.tolist()])
    names, old = np.unique(rows.splits, return_inverse=True)
    part = np.array([parts.index(new[o]) if o in new else -1 for o in names.tolist()], np.int64)
    number, within = source[codes], part[old]
    wanted = _wanted(sources, set(new.values()), spec.rule, spec.images)
    chosen = choose_rows(
        np.where((number >= 0) & (within >= 0), number * len(parts) + within, -1),
        rows.blocks,
        {sources.index(s) * len(parts) + parts.index(p): n for (s, p), n in wanted.items()},
        spec.seed,
    )
    by_source = {s: chosen.rows[number[chosen.rows] == k] for k, s in enumerate(sources)}
    placed = {
        s: [_Row(parts[within[row]], str(rows.groups[row])) for row in own.tolist()]
        for s, own in by_source.items()
    }
    positions = assign(placed, None if parts != [""] else spec.rule, name)
    found = {s: {p: by_source[s][positions[s][p]] for p in SPLITS} for s in sources}
    numbers = ", ".join(f"{p} {sum(len(own[p]) for own in found.values())}" for p in SPLITS)
    told = (
        f"{how}: {numbers}; {len(chosen.rows)} of {len(rows)} rows, from {len(chosen.blocks)} of "
        f"{int(rows.blocks.max(initial=-1)) + 1} parts that can be fetched alone, seed {spec.seed}"
    )
    few = [
        f"{s} {len(own)}"
        for s, own in by_source.items()
        if spec.images and len(own) < sum(n for (of, _), n in wanted.items() if of == s)
    ]
    if spec.group is not None:
        told += f"; images of one {spec.group} on one side"
    if few:
        more = f" and {len(few) - _SHOWN} more sources" if len(few) > _SHOWN else ""
        told += f"; fewer images than asked for: {', '.join(few[:_SHOWN])}{more}"
    return Selection(found, told)


def source_of_labels(
    labels: list[str], counts: NDArray[np.int64], spec: Labelled, name: str
) -> dict[str, str]:
    """The source of each label that has one.

    Args:
        labels: All labels that occur.
        counts: Rows of each.
        spec: What is stated.
        name: The dataset's name, for messages.

    Raises:
        BadInput: If a label has no source, a source no images, or two have one name.
    """
    sources = dict(spec.sources or {"": [OTHERS]})
    if spec.real:
        sources[REAL] = spec.real
    stated = _stated(sources, labels, name)
    skipped = {one for label in spec.skip for one in _matching(label, labels) or [label]}
    for label in (*stated, *skipped):
        if label and label not in labels:
            what = f"source {stated[label]!r}" if label in stated else "setting skip"
            raise BadInput(
                f"The {what} has no images: {name} has no label {label!r}. "
                f"{suggest(label, labels[:200])}"
            )
    others = any(OTHERS in own for own in sources.values())
    lost = [
        f"{label!r} ({count} images)"
        for label, count in zip(labels, counts.tolist(), strict=True)
        if label not in stated and label not in skipped and (not others or not label)
    ]
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise BadInput(
            f"{name} has labels without a source: {', '.join(lost[:_SHOWN])}{more}. Give each a "
            "source, or leave it out by name with skip."
        )
    found = dict(stated)
    if others:
        for label in labels:
            if label not in stated and label not in skipped:
                found[label] = _as_name(label)
    _refuse_equal(found, name)
    if len(set(found.values())) > _MOST_SOURCES:
        raise BadInput(
            f"{name} has {len(set(found.values()))} sources in the column of labels, more than "
            f"{_MOST_SOURCES}; choose another column with --label, or some labels with where=."
        )
    return found


def _stated(sources: Mapping[str, list[str]], labels: list[str], name: str) -> dict[str, str]:
    """Source by label, with patterns such as ``*/1_fake`` written out."""
    found: dict[str, str] = {}
    for source, own in sources.items():
        for label in own:
            if label == OTHERS:
                continue
            for one in _matching(label, labels):
                first = found.setdefault(one, source)
                if first != source:
                    raise BadInput(
                        f"{name}: the label {one!r} is given to two sources, {first!r} and "
                        f"{source!r}; a label is one source."
                    )
        if own and OTHERS not in own and source not in found.values():
            raise BadInput(f"The source {source!r} has no images: {name} has no label {own[0]!r}.")
    return found


def _matching(label: str, labels: list[str]) -> list[str]:
    """Labels that a label stands for: itself, or those that it is a pattern of."""
    pattern = label not in labels and any(c in label for c in "*?[")
    return fnmatch.filter(labels, label) if pattern else [label]


def _as_name(label: str) -> str:
    """A label as the name of a source: without what separates folders."""
    return "-".join(label.replace("\\", "/").split("/")).strip()


def _refuse_equal(found: Mapping[str, str], name: str) -> None:
    owners: dict[str, tuple[str, str]] = {REAL: (REAL, "")}
    for label, source in found.items():
        first, whose = owners.setdefault(source.casefold(), (source, label))
        if first == source:
            continue
        if first == REAL:
            raise BadInput(
                f"{name} has the label {label!r}, which differs from {REAL!r} by upper and lower "
                f"case alone: if it means real images, say so with --real {label}, else give it "
                "another name."
            )
        raise BadInput(
            f"{name} has the labels {whose!r} and {label!r}, which differ by upper and lower case "
            "alone; give both to one source, or leave one out with skip."
        )


def _splits(there: NDArray[np.str_], spec: Labelled, name: str) -> tuple[dict[str, str], str]:
    """What each of the dataset's splits becomes, "" if all are split anew; and that in words."""
    known = [str(split) for split in np.unique(there)]
    if spec.split is not None:
        return dict.fromkeys(known, ""), f"split by {spec.rule.told()}"
    if spec.splits is not None:
        found = {old: new for new, own in spec.splits.items() for old in own}
        missing = [old for old in found if old not in known]
        if missing:
            raise BadInput(
                f"{name} has no split {missing[0]!r}. {suggest(missing[0], filter(None, known))}"
            )
    else:
        found = {old: SPLIT_NAMES[old.lower()] for old in known if old.lower() in SPLIT_NAMES}
        new = set(found.values())
        if "train" in new and "test" not in new and "validation" in new:
            # What was held out is what is tested on.
            found = {old: "test" if s == "validation" else s for old, s in found.items()}
        elif not {"train", "test"} <= new:
            return dict.fromkeys(known, ""), f"split by {spec.rule.told()}"
    told = ", ".join(f"{new} from {old}" for old, new in found.items())
    return found, f"split as the dataset is ({told})"


def _wanted(
    sources: list[str], parts: set[str], rule: SplitRule, images: int
) -> dict[tuple[str, str], int]:
    """How many rows of each source are taken, by the split they come from ("" for any)."""
    found: dict[tuple[str, str], int] = {}
    for source in sources:
        sizes = dict(zip(LABELLED_SPLITS, rule.sizes, strict=True))
        if not rule.counted:
            sizes = {p: size * images if images else _ALL for p, size in sizes.items()}
        if parts == {""}:
            sizes = {"": sum(sizes.values())}
        elif "validation" not in parts:
            sizes["train"] += sizes.pop("validation")
        for part, size in sizes.items():
            shared = part in ("", "train") and "reference" not in parts
            real = source == REAL and shared
            found[source, part] = min(_ALL, _with_reference(size, rule) if real else round(size))
        if source == REAL and "reference" in parts:
            found[source, "reference"] = _ALL
    return found


def _with_reference(rest: float, rule: SplitRule) -> int:
    """Real images of which `rest` are left once ``reference`` took its part."""
    if rule.reference < 1:
        return int(np.ceil(rest / (1 - rule.reference)))
    return round(rest + rule.reference)
