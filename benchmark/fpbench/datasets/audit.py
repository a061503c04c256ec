"""Looks for what makes a dataset easier than it should be: copies, codecs, writers, clipping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets import traces
from fpbench.datasets.audit_duplicates import find_duplicates
from fpbench.datasets.dataset import GMDataset, ResolvedDataset
from fpbench.datasets.findings import findings
from fpbench.datasets.layout import SPLITS
from fpbench.datasets.resolve import resolve
from fpbench.images import ImageSet
from fpbench.method import FitContext
from fpbench.metrics.attribution import accuracy_score
from fpbench.metrics.score import Score
from fpbench.registry import method_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.method import Progress

SHORTCUT = ("file", "clipping", "bytes")
"""What the metadata-only baseline sees: file headers, pixels at 0 and 255, file size."""

GROUPS = (*SHORTCUT, "grid")
"""Groups that are probed one by one; ``grid`` is no metadata, as upsamplers leave one, too."""

PLAIN = "plain"
"""The method whose accuracy is the plain-statistics baseline of a dataset."""

_TREES = 300
_BATCH = 256


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        document: The whole report as JSON values; see `fpbench.datasets.audit_text` for prose.
        folder: The folder of images that was audited, where that is no built dataset.
    """

    document: dict[str, Any]
    folder: Path | None = None

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
    """Features of a labelled split, by group, and the codec traces of its images."""

    labels: NDArray[np.int64]
    features: dict[str, NDArray[np.float32]]
    codec: NDArray[np.float32]


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
        "codec_threshold": round(traces.codec_threshold(dataset.test.size), 4),
        "codec_trace": _by_source(dataset, splits["test"], _codec_trace),
        "clipping": _by_source(dataset, splits["test"], _clipping),
        "duplicates": find_duplicates(dataset, progress),
        "shortcut": _shortcut(dataset, splits, progress),
        "plain": _plain(dataset, progress),
    }
    document["findings"] = findings(document)
    return AuditReport(document, resolved.folder)


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
        grid, clipping, codec = [], [], []
        headers[split], sizes[split] = [], []
        for start in range(0, len(images), _BATCH):
            batch = images.pixels[start : start + _BATCH]
            grid.append(traces.grid_features(batch))
            clipping.append(traces.clipping_features(batch))
            codec.append(traces.codec_trace(batch))
            for data in islice(files, len(batch)):
                headers[split].append(traces.file_traits(data))
                sizes[split].append(len(data))
            done += len(batch)
            if progress is not None:
                progress("read traces", done, total)
        found[split] = _Split(
            images.labels,
            {"grid": np.concatenate(grid), "clipping": np.concatenate(clipping)},
            np.concatenate(codec),
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
    dataset: GMDataset, split: _Split, measure: Callable[[_Split, NDArray[np.bool_]], Any]
) -> dict[str, Any]:
    return {
        source.name: measure(split, split.labels == label)
        for label, source in enumerate(dataset.sources)
    }


def _codec_trace(split: _Split, own: NDArray[np.bool_]) -> dict[str, float | None]:
    """Mean codec trace of a source's images, with its interval."""
    found = traces.codec_interval(split.codec[own]) or (None, None, None)
    values = (None if value is None else round(value, 4) for value in found)
    return dict(zip(("mean", "ci_low", "ci_high"), values, strict=True))


def _clipping(split: _Split, own: NDArray[np.bool_]) -> dict[str, float]:
    shares = split.features["clipping"][own].astype(np.float64) ** 2
    return {
        "at_0": round(float(shares[:, :3].mean()), 5),
        "at_255": round(float(shares[:, 3:].mean()), 5),
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
            progress("metadata-only baseline", index + 1, len(GROUPS))
    return result


def _plain(dataset: GMDataset, progress: Progress | None) -> dict[str, Any]:
    """What the plain-statistics baseline gets, fitted as a run with seed 0 and budget small."""
    cls = method_class(PLAIN)
    context = FitContext() if progress is None else FitContext(progress=progress)
    fitted = cls.make().fit(
        dataset.train, reference=dataset.reference, validation=dataset.validation, context=context
    )
    proba = fitted.predict_proba(dataset.test.unlabelled())
    about = {"method": PLAIN, "variant": cls.card.default_variant, "version": cls.card.version}
    return about | _scores(dataset, proba)


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
    return _scores(dataset, proba)


def _scores(dataset: GMDataset, proba: NDArray[np.floating]) -> dict[str, Any]:
    """Accuracy among generators, and with Real."""
    labels, ids = dataset.test.labels, dataset.test.ids.tolist()
    return {
        **_score(accuracy_score(labels, proba, dataset.real, ids=ids)),
        "with_real": _score(accuracy_score(labels, proba, dataset.real, with_real=True, ids=ids)),
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


def is_current(report: dict[str, Any], content_hash: str) -> bool:
    """Whether a report, as JSON values, is of the dataset with this content."""
    return bool(report.get("dataset", {}).get("content_hash") == content_hash)
