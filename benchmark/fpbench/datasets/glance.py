"""A first look at a dataset that nobody audited: what a run says before it starts."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets import traces
from fpbench.datasets.audit_duplicates import find_near
from fpbench.datasets.cache import cache_root
from fpbench.datasets.findings import glance_findings
from fpbench.datasets.layout import write_json
from fpbench.errors import BadInput
from fpbench.files import parse_json, read_limited

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.dataset import GMDataset, ResolvedDataset
    from fpbench.method import Progress

_FILES = 64
"""Files of each source whose headers and traces are looked at."""

_COMPARED = 4000
"""Images compared with one another, over all splits."""

_FORMAT = 1


def glance(resolved: ResolvedDataset, progress: Progress | None = None) -> list[str]:
    """Formats, codecs and near duplicates that tell sources apart or join splits, as sentences.

    It is no audit: a sample is looked at, and nothing is probed. What was found of a dataset's
    content is kept in the cache.

    Args:
        resolved: A dataset.
        progress: Called as ``progress(what, done, total)`` while the images are decoded.

    Raises:
        BadInput: If the dataset cannot be loaded.
    """
    digest = resolved.identity.content_hash
    kept = cache_root() / "glances" / f"{digest[:32]}-{_FORMAT}.json"
    if kept.is_file():
        try:
            return list(parse_json(read_limited(kept, "look"), kept, "look")["said"])
        except (BadInput, KeyError, TypeError):
            # A cache that a full disk or another program has damaged is made anew.
            kept.unlink(missing_ok=True)
    dataset = resolved.load(progress)
    found = glance_findings(_measured(resolved, dataset))
    said = [*resolved.remarks(), *(finding["text"] for finding in found)]
    try:
        write_json(kept, {"said": said})
    except BadInput:
        # Without a cache that can be written, it is looked at again.
        pass
    return said


def _measured(resolved: ResolvedDataset, dataset: GMDataset) -> dict[str, Any]:
    """What an audit's document says of files, codecs and duplicates, of a sample of the images."""
    files: dict[str, dict[str, int]] = {}
    codec: dict[str, dict[str, float | None]] = {}
    chosen = _first_of_each(dataset.train.labels, len(dataset.sources))
    headers: dict[int, list[traces.FileTraits]] = {}
    wanted = {int(position) for own in chosen for position in own}
    last = max(wanted, default=-1)
    for position, data in enumerate(islice(resolved.encoded(dataset, "train"), last + 1)):
        if position in wanted:
            label = int(dataset.train.labels[position])
            headers.setdefault(label, []).append(traces.file_traits(data))
    for label, source in enumerate(dataset.sources):
        files[source.name] = traces.count_traits(headers.get(label, []))
        measured = traces.codec_trace(dataset.train.pixels[chosen[label]])
        found = traces.codec_interval(measured) or (None, None, None)
        codec[source.name] = dict(zip(("mean", "ci_low", "ci_high"), found, strict=True))
    return {
        "files": files,
        "origin_files": resolved.origin_files(),
        "equalised": resolved.equalised(),
        "codec_threshold": traces.codec_threshold(dataset.test.size),
        "codec_trace": codec,
        "duplicates": {**find_near(dataset, _COMPARED), "twins": []},
    }


def _first_of_each(labels: NDArray[np.int64], sources: int) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(labels == label)[:_FILES] for label in range(sources)]
