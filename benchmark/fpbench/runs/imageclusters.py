"""Whether clusters of a job's test images follow their source or a design choice of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fpbench.documents import Document
from fpbench.metrics.imageclusters import align_images, cluster_images, main_axes
from fpbench.metrics.score import Floats, Integers, NotComputable
from fpbench.metrics.statistics import holm

SOURCE = "source"
ALGORITHM = "kmeans"


class ImageClusterEntry(Document):
    """Agreement of clusters of single images with their source, or an attribute of it."""

    attribute: str = Field(description="`source`, `family`, or a design choice of the generators.")
    algorithm: str = Field(description="How the images were clustered.")
    images: int | None = Field(default=None, description="Test images clustered.")
    clusters: int | None = Field(default=None, description="Clusters, as many as values.")
    ami: float | None = Field(default=None, description="Adjusted mutual information.")
    ami_low: float | None = Field(default=None, description="Lower end of its 95 % interval.")
    ami_high: float | None = Field(default=None, description="Upper end.")
    ari: float | None = Field(default=None, description="Adjusted Rand index.")
    nmi: float | None = Field(default=None, description="Normalised mutual information.")
    nmi_chance: float | None = Field(default=None, description="Mean `nmi` of permuted labels.")
    p_value: float | None = Field(
        default=None,
        description="Share of permutations that agree as well: of images for `source`, of whole "
        "sources for what sources share.",
    )
    p_holm: float | None = Field(default=None, description="Corrected over attributes by Holm.")
    reason: str | None = Field(default=None, description="Why there is no value.")


def describe_image_clusters(
    embeddings: NDArray[np.float32],
    labels: NDArray[np.int64],
    attributes: Mapping[str, Sequence[str | None]],
    seed: int,
) -> list[ImageClusterEntry]:
    """Cluster test images of generators and compare with their source and each attribute.

    Args:
        embeddings: Shape (N, D), of test images of generators.
        labels: int64 (N,), from 0 to M−1.
        attributes: Name to M values, None where a generator's is not known.
        seed: Seed of choice, clusters, permutations and intervals.

    Returns:
        `source` first, then the attributes in their order; a reason instead of values where the
        embeddings define no clusters or an attribute has one value.
    """
    questions: dict[str, Sequence[str | None] | None] = {SOURCE: None, **attributes}
    entries = []
    try:
        axes = main_axes(embeddings)
    except NotComputable as problem:
        return [
            ImageClusterEntry(attribute=name, algorithm=ALGORITHM, reason=str(problem))
            for name in questions
        ]
    clusters: dict[tuple[int, ...], Integers] = {}
    for attribute, values in questions.items():
        known = [k for k in range(int(labels.max()) + 1) if values is None or values[k] is not None]
        chosen = np.isin(labels, known)

        def cluster(rows: Floats, number: int, known: tuple[int, ...] = tuple(known)) -> Integers:
            """The clusters of a question before this one, if it was of the same images."""
            if (number, *known) not in clusters:
                clusters[number, *known] = cluster_images(rows, number, ALGORITHM, seed)
            return clusters[number, *known]

        try:
            if not known:
                raise NotComputable("It is known of no generator.")
            found = align_images(
                axes[chosen],
                np.searchsorted(known, labels[chosen]),
                None if values is None else [str(values[k]) for k in known],
                seed=seed,
                cluster=cluster,
            )
            entry = ImageClusterEntry(attribute=attribute, algorithm=ALGORITHM, **asdict(found))
        except NotComputable as problem:
            entry = ImageClusterEntry(attribute=attribute, algorithm=ALGORITHM, reason=str(problem))
        entries.append(entry)
    missing = float("nan")
    corrected = holm([missing if e.p_value is None else e.p_value for e in entries])
    return [
        entry.model_copy(update={"p_holm": None if np.isnan(p) else float(p)})
        for entry, p in zip(entries, corrected, strict=True)
    ]
