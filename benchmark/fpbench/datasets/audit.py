"""Looks for what makes a dataset easier than it should be: copies, codecs, writers, clipping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets import traces
from fpbench.datasets.dataset import GMDataset, ResolvedDataset
from fpbench.datasets.duplicates import near_duplicates
from fpbench.datasets.layout import LABELLED_SPLITS, SPLITS
from fpbench.datasets.resolve import resolve
from fpbench.images import ImageSet
from fpbench.metrics.attribution import accuracy_score
from fpbench.metrics.score import Score

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.method import Progress

SHORTCUT = ("file", "clipping", "bytes")
"""What the shortcut probe sees: file headers, pixels at 0 and 255, file size."""

GROUPS = (*SHORTCUT, "grid")
"""Groups that are probed one by one; ``grid`` is no shortcut, as upsamplers leave one, too."""

_TREES = 300
_EXAMPLES = 5
_BATCH = 256
# A mean codec trace that no never-compressed photograph reaches.
_TRACE = 0.05


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        document: The whole report as JSON values; see `fpbench.datasets.audit_text` for prose.
    """

    document: dict[str, Any]

    @property
    def findings(self) -> list[dict[str, str]]:
        """Sentences on what makes the dataset doubtful, each with a kind."""
        found: list[dict[str, str]] = self.document["findings"]
        return found

    def finds(self, kind: str) -> bool:
        """Whether there is a finding of this kind, e.g. ``codec``."""
        return any(finding["kind"] == kind for finding in self.findings)


@dataclass(frozen=True)
class _Split:
    """Features of a labelled split, by group."""

    labels: NDArray[np.int64]
    features: dict[str, NDArray[np.float32]]


def audit(ref: str, *, offline: bool = False, progress: Progress | None = None) -> AuditReport:
    """Audit a dataset.

    Args:
        ref: As for `fpbench.datasets.resolve.resolve`.
        offline: Open no connection to the Hub.
        progress: Called as ``progress(what, done, total)``.

    Raises:
        BadInput: If the dataset cannot be loaded; equal images, truncated files and mixed sizes
            are refused there.
    """
    resolved = resolve(ref, offline=offline, progress=progress)
    dataset = resolved.load(progress)
    splits, files = _features(resolved, dataset, progress)
    document: dict[str, Any] = {
        "dataset": {
            "name": dataset.identity.name,
            "revision": dataset.identity.revision,
            "content_hash": dataset.identity.content_hash,
            "sources": [source.name for source in dataset.sources],
            "size": list(dataset.test.size),
        },
        "counts": _counts(dataset),
        "files": files,
        "origin_files": resolved.origin_files(),
        "equalised": resolved.equalised(),
        "codec_trace": _by_source(dataset, splits["test"], _codec_trace),
        "clipping": _by_source(dataset, splits["test"], _clipping),
        "duplicates": _duplicates(dataset, progress),
        "shortcut": _shortcut(dataset, splits, progress),
    }
    document["findings"] = _findings(document)
    return AuditReport(document)


def _counts(dataset: GMDataset) -> dict[str, dict[str, int]]:
    counts = {}
    for split in SPLITS:
        labels = getattr(dataset, split).labels
        numbers = np.bincount(labels, minlength=len(dataset.sources))
        counts[split] = {
            source.name: int(number)
            for source, number in zip(dataset.sources, numbers, strict=True)
            if number
        }
    return counts


def _features(
    resolved: ResolvedDataset, dataset: GMDataset, progress: Progress | None
) -> tuple[dict[str, _Split], dict[str, dict[str, int]]]:
    """Features of train and test, and the kinds of files of every source."""
    found: dict[str, _Split] = {}
    headers: dict[str, list[traces.FileTraits]] = {}
    parts = ("train", "test")
    total = sum(len(getattr(dataset, split)) for split in parts)
    done = 0
    height, width = dataset.test.size
    sizes: dict[str, list[int]] = {}
    for split in parts:
        images: ImageSet = getattr(dataset, split)
        files = resolved.encoded(dataset, split)
        grid, clipping = [], []
        headers[split], sizes[split] = [], []
        for start in range(0, len(images), _BATCH):
            batch = images.pixels[start : start + _BATCH]
            grid.append(traces.grid_features(batch))
            clipping.append(traces.clipping_features(batch))
            for data in islice(files, len(batch)):
                headers[split].append(traces.file_traits(data))
                sizes[split].append(len(data))
            done += len(batch)
            if progress is not None:
                progress("read traces", done, total)
        found[split] = _Split(
            images.labels,
            {"grid": np.concatenate(grid), "clipping": np.concatenate(clipping)},
        )
    # Kinds of files are numbered over both splits together.
    together = traces.file_features([*headers["train"], *headers["test"]])
    first = len(headers["train"])
    for split, part in (("train", together[:first]), ("test", together[first:])):
        found[split].features["file"] = part
        found[split].features["bytes"] = traces.size_features(sizes[split], height * width)
    kinds = {
        source.name: traces.count_traits(
            [
                header
                for split in parts
                for header, own in zip(headers[split], found[split].labels, strict=True)
                if own == label
            ]
        )
        for label, source in enumerate(dataset.sources)
    }
    return found, kinds


def _by_source(
    dataset: GMDataset, split: _Split, measure: Callable[[dict[str, NDArray[np.float32]]], Any]
) -> dict[str, Any]:
    result = {}
    for label, source in enumerate(dataset.sources):
        own = split.labels == label
        result[source.name] = measure({name: x[own] for name, x in split.features.items()})
    return result


def _codec_trace(features: dict[str, NDArray[np.float32]]) -> float:
    return round(float(features["grid"][:, 0].mean()), 4)


def _clipping(features: dict[str, NDArray[np.float32]]) -> dict[str, float]:
    shares = features["clipping"].astype(np.float64) ** 2
    return {
        "at_0": round(float(shares[:, :3].mean()), 5),
        "at_255": round(float(shares[:, 3:].mean()), 5),
    }


def _duplicates(dataset: GMDataset, progress: Progress | None) -> dict[str, Any]:
    """Near duplicates by the splits and sources of the two images."""
    sets = [getattr(dataset, split) for split in SPLITS]
    starts = np.cumsum([0, *(len(part) for part in sets)])

    def take(chosen: NDArray[np.int64]) -> NDArray[np.uint8]:
        # Never all images at once: at 256x256 they do not fit.
        where = np.searchsorted(starts, chosen, side="right") - 1
        found = [
            sets[part].pixels[position - starts[part]]
            for part, position in zip(where, chosen, strict=True)
        ]
        return np.stack(found)

    splits = np.repeat(SPLITS, [len(part) for part in sets])
    labels = np.concatenate([part.labels for part in sets])
    ids = np.concatenate([part.ids for part in sets])
    names = [source.name for source in dataset.sources]

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress("near duplicates", done, total)

    pairs = near_duplicates(take, int(starts[-1]), report)
    within: dict[str, int] = {}
    across: dict[str, int] = {}
    memorised: dict[str, int] = {}
    for pair in pairs:
        one, two = str(splits[pair.first]), str(splits[pair.second])
        if one == two:
            within[one] = within.get(one, 0) + 1
            continue
        key = f"{one}/{two}"
        across[key] = across.get(key, 0) + 1
        if one == "reference" and labels[pair.second] != 0:
            source = names[labels[pair.second]]
            memorised[source] = memorised.get(source, 0) + 1
    ranked = sorted(pairs, key=lambda pair: -pair.similarity)
    # Pairs within a split do least harm, so examples show the others first.
    ranked.sort(key=lambda pair: splits[pair.first] == splits[pair.second])
    return {
        "exact": 0,
        "near_within": within,
        "near_across": across,
        "memorised": memorised,
        "examples": [
            {
                "first": f"{splits[pair.first]}: {ids[pair.first]}",
                "second": f"{splits[pair.second]}: {ids[pair.second]}",
                "similarity": round(pair.similarity, 3),
                "mirrored": pair.mirrored,
            }
            for pair in ranked[:_EXAMPLES]
        ],
    }


def _shortcut(
    dataset: GMDataset, splits: dict[str, _Split], progress: Progress | None
) -> dict[str, Any]:
    """Accuracy of a forest that sees no picture: of the shortcut's features, and of each group."""
    result: dict[str, Any] = {"features": list(SHORTCUT), "groups": {}}
    together = _probe(dataset, splits, SHORTCUT)
    result |= {key: value for key, value in together.items() if key != "with_real"}
    result["with_real"] = together["with_real"]
    for index, group in enumerate(GROUPS):
        result["groups"][group] = _probe(dataset, splits, (group,))
        if progress is not None:
            progress("shortcut probe", index + 1, len(GROUPS))
    return result


def _probe(
    dataset: GMDataset, splits: dict[str, _Split], groups: tuple[str, ...]
) -> dict[str, Any]:
    from sklearn.ensemble import RandomForestClassifier

    train, test = splits["train"], splits["test"]
    x, unseen = (
        np.concatenate([split.features[group] for group in groups], axis=1)
        for split in (train, test)
    )
    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=2, class_weight="balanced", random_state=0, n_jobs=1
    )
    forest.fit(x, train.labels)
    proba = np.zeros((len(unseen), len(dataset.sources)))
    proba[:, forest.classes_] = forest.predict_proba(unseen)
    ids = dataset.test.ids.tolist()
    return {
        **_score(accuracy_score(test.labels, proba, 0, ids=ids)),
        "with_real": _score(accuracy_score(test.labels, proba, 0, with_real=True, ids=ids)),
    }


def _score(score: Score) -> dict[str, float | None]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 4)

    return {
        "accuracy": rounded(score.value),
        "ci_low": rounded(score.ci_low),
        "ci_high": rounded(score.ci_high),
        "chance": rounded(score.chance),
    }


def _above_chance(score: dict[str, Any]) -> bool:
    low, chance = score["ci_low"], score["chance"]
    return low is not None and chance is not None and low > chance


_MEANINGS = {
    "file": "file headers (format, JPEG tables, mode, metadata)",
    "grid": "traces of an 8x8 grid in the pixels (of a JPEG, or of an upsampler)",
    "clipping": "pixels at 0 and 255",
    "bytes": "file size",
}


def _findings(document: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []

    def add(kind: str, text: str) -> None:
        found.append({"kind": kind, "text": text})

    for title, files in (("Files", "files"), ("Files that images came from", "origin_files")):
        kinds: dict[str, dict[str, int]] = document[files]
        if len({frozenset(row) for row in kinds.values()}) > 1:
            told = "; ".join(f"{source}: {', '.join(row)}" for source, row in kinds.items())
            since = " They went through one pipeline since (the recipe's equalise step)."
            equalised = files == "origin_files" and document["equalised"] is not None
            add(
                "files",
                f"{title} differ between sources ({told}).{since if equalised else ''}",
            )
    with_trace = [s for s, trace in document["codec_trace"].items() if trace > _TRACE]
    without = [s for s in document["codec_trace"] if s not in with_trace]
    if with_trace and without:
        add(
            "codec",
            f"The pixels of {', '.join(with_trace)} carry the 8x8 traces of a JPEG, those of "
            f"{', '.join(without)} do not.",
        )
    for group, score in document["shortcut"]["groups"].items():
        for part, who in ((score, "generators"), (score["with_real"], "sources, Real included,")):
            if _above_chance(part):
                add(
                    group if part is score else f"{group}-real",
                    f"A probe that sees only {_MEANINGS[group]} tells {who} apart: accuracy "
                    f"{part['accuracy']:.3f} (95 % interval {part['ci_low']:.3f} to "
                    f"{part['ci_high']:.3f}), chance {part['chance']:.3f}.",
                )
    duplicates = document["duplicates"]
    if duplicates["near_across"]:
        pairs = ", ".join(f"{key}: {n}" for key, n in duplicates["near_across"].items())
        add("duplicates", f"Near duplicates in different splits ({pairs}).")
    if duplicates["memorised"]:
        told = ", ".join(f"{source}: {n}" for source, n in duplicates["memorised"].items())
        add("memorised", f"Generated images that nearly equal training images ({told}).")
    for split in LABELLED_SPLITS:
        numbers = document["counts"][split].values()
        if max(numbers) > 1.5 * min(numbers):
            add(
                "balance",
                f"Sources have between {min(numbers)} and {max(numbers)} images in {split}.",
            )
    return found


def is_current(report: dict[str, Any], content_hash: str) -> bool:
    """Whether a report, as JSON values, is of the dataset with this content."""
    return bool(report.get("dataset", {}).get("content_hash") == content_hash)
