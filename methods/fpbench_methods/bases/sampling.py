"""Fewer images, the same number of each source."""

from __future__ import annotations

import numpy as np

from fpbench.images import ImageSet


def at_most_per_source(images: ImageSet, count: int) -> ImageSet:
    """The first `count` labelled images of each source, in their order."""
    kept = [np.flatnonzero(images.labels == k)[:count] for k in range(len(images.sources))]
    chosen = np.sort(np.concatenate(kept)) if kept else np.empty(0, np.int64)
    return images if len(chosen) == len(images) else images.select(chosen)
