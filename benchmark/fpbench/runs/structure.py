"""Which sources of a job are alike, and which design choices that follows: ``structure.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, ValidationError

from fpbench.documents import Document, read_limited, told
from fpbench.errors import BadInput
from fpbench.files import write_text
from fpbench.images import Source
from fpbench.metrics.alignment import Alignment, align_clusters, correct_for_attributes
from fpbench.metrics.score import Floats, NotComputable
from fpbench.metrics.structure import Hierarchy, cluster_sources, coclustering, similarity_distance
from fpbench.runs.imageclusters import ImageClusterEntry, describe_image_clusters
from fpbench.runs.record import ArtifactEntry
from fpbench.scores.evidence import Evidence, Labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRUCTURE = "structure.json"
SCHEMA_VERSION = 2
LEAST_SOURCES = 4
"""With fewer generators there is hardly more than one tree, and nothing to align."""

FAMILY = "family"
_PERMUTATIONS = 10_000


class AlignmentEntry(Document):
    """Agreement of clusters of sources with one attribute of theirs."""

    attribute: str = Field(description="`family`, or a design choice of the generators.")
    sources: int = Field(description="Generators whose value is known.")
    categories: int = Field(description="Different values.")
    clusters: int = Field(description="Clusters that those generators were put into.")
    ami: float | None = Field(description="Adjusted mutual information: 0 by chance, at most 1.")
    ari: float | None = Field(description="Adjusted Rand index: 0 by chance, at most 1.")
    nmi: float | None = Field(description="Normalised mutual information, not 0 by chance.")
    homogeneity: float | None = Field(description="1 if no cluster holds two values.")
    completeness: float | None = Field(description="1 if no value lies in two clusters.")
    nmi_chance: float | None = Field(description="Mean `nmi` of permuted values.")
    nmi_chance_p95: float | None = Field(description="Its 95th percentile.")
    p_value: float | None = Field(description="Share of permutations that agree as well.")
    p_within_family: float | None = Field(
        description="The same, permuting within families only; null if no family holds two values."
    )
    p_holm: float | None = Field(description="`p_value` corrected over attributes by Holm.")
    p_within_family_holm: float | None = Field(description="`p_within_family` likewise.")
    reason: str | None = Field(description="Why there is no value.")


class StructureDocument(Document):
    """How the generators of a job group by their fingerprints."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Version of this format.")
    sources: list[str] = Field(description="Names of the M generators.")
    families: list[str] = Field(description="Their families.")
    linkage_method: str = Field(description="How clusters merge, on 1 − correlation.")
    correlations: list[list[float]] = Field(description="Of source fingerprints, M rows.")
    linkage: list[list[float]] = Field(
        description="M − 1 merges as SciPy writes them: two clusters, height, size."
    )
    order: list[int] = Field(description="Leaves from left to right.")
    cophenetic: float | None = Field(
        description="Correlation of the tree's distances with those clustered."
    )
    coclustering: list[list[float]] | None = Field(
        description="Share of bootstrap draws of the held-out images in which two generators share "
        "a cluster, the tree being cut into as many as there are families (2 to M − 1)."
    )
    permutations: int = Field(description="Permutations behind each p-value.")
    alignments: list[AlignmentEntry] = Field(description="One an attribute, family first.")
    alignment_reason: str | None = Field(
        description="Why no design choice is compared, where none is known."
    )
    image_clusters: list[ImageClusterEntry] = Field(
        description="Agreement of clusters of test images with their source and each attribute."
    )


def attributes_of(generators: Sequence[Source]) -> dict[str, tuple[str | None, ...]]:
    """Family, and every design choice that a generator's card states; None where it does not.

    >>> attributes_of([Source("a", "GAN", "A", {"loss": "hinge"}), Source("b", "VAE", "B")])
    {'family': ('GAN', 'VAE'), 'loss': ('hinge', None)}
    """
    choices = sorted({choice for source in generators for choice in source.design} - {FAMILY})
    return {
        FAMILY: tuple(source.family for source in generators),
        **{
            choice: tuple(source.design.get(choice) or None for source in generators)
            for choice in choices
        },
    }


def align_tree(
    correlations: Floats,
    attributes: dict[str, tuple[str | None, ...]],
    seed: int,
    permutations: int = _PERMUTATIONS,
) -> list[Alignment]:
    """Agreement of the cut tree with each attribute, p-values corrected over them by Holm.

    For each attribute the generators whose value is known are clustered anew, average linkage on
    1 − correlation, into as many groups as it has values.

    Args:
        correlations: Shape (M, M), of source fingerprints.
        attributes: Name to M values; `FAMILY` among them.
        seed: Seed of the permutations.
        permutations: Number of permutations.
    """
    families = [str(family) for family in attributes[FAMILY]]
    found = []
    for attribute, values in attributes.items():
        known = [k for k, value in enumerate(values) if value is not None]
        categories = len({values[k] for k in known})
        clusters = np.zeros(len(values), np.int64)
        if 2 <= categories < len(known):
            part = correlations[np.ix_(known, known)]
            clusters[known] = cluster_sources(similarity_distance(part)).cut(categories)
        found.append(
            align_clusters(
                clusters, values, None if attribute == FAMILY else families,
                attribute=attribute, seed=seed, permutations=permutations,
            )
        )  # fmt: skip
    return correct_for_attributes(found)


def describe_structure(
    evidence: Evidence, labels: Labels, embeddings: NDArray[np.float32], seed: int
) -> StructureDocument | None:
    """Tree of the generators' fingerprints, its stability, and what it follows.

    Args:
        evidence: Of the job: correlations of fingerprints, and of test images with them.
        labels: Who made which test image.
        embeddings: float32 of shape (N, D), of the test images.
        seed: Seed of bootstrap, permutations and clusters of images.

    Returns:
        None with fewer than `LEAST_SOURCES` generators, or where a fingerprint is constant and
        so correlates with nothing, or correlations were not asked for.
    """
    generators = [labels.tested[k] for k in labels.generators]
    if len(generators) < LEAST_SOURCES or "fingerprint_correlations" not in evidence.arrays:
        return None
    own = evidence.arrays["fingerprint_correlations"].astype(np.float64)
    if not np.isfinite(own).all():  # as evidence said it before reasons were stored
        return None
    tree = cluster_sources(similarity_distance(own))
    attributes = attributes_of(generators)
    alignments = align_tree(own, attributes, seed)
    chosen, among = labels.generated, labels.among_generators
    groups = min(max(2, len(set(attributes[FAMILY]))), len(generators) - 1)
    together = _stability(evidence.floats("correlations")[chosen], among, groups, seed)
    return StructureDocument(
        sources=[source.name for source in generators],
        families=[source.family for source in generators],
        linkage_method=tree.method,
        correlations=own.tolist(),
        linkage=tree.linkage.tolist(),
        order=tree.order.tolist(),
        cophenetic=tree.cophenetic,
        coclustering=None if together is None else together.tolist(),
        permutations=_PERMUTATIONS,
        alignments=[AlignmentEntry(**asdict(alignment)) for alignment in alignments],
        alignment_reason=None
        if len(attributes) > 1
        else "The dataset's card states no design choice of any generator.",
        image_clusters=describe_image_clusters(embeddings[chosen], among, attributes, seed),
    )


def tree_of(document: StructureDocument) -> Hierarchy:
    """The tree of a document, e.g. for drawing it."""
    distance = similarity_distance(document.correlations)
    return Hierarchy(
        np.asarray(document.linkage, np.float64),
        np.asarray(document.order, np.int64),
        distance,
        document.cophenetic,
        document.linkage_method,
    )


def write_structure(folder: Path, document: StructureDocument) -> ArtifactEntry:
    """Write ``structure.json`` into a job's folder."""
    path = folder / STRUCTURE
    write_text(path, document.model_dump_json(indent=1) + "\n")
    return ArtifactEntry.of(path)


def read_structure(folder: Path) -> StructureDocument | None:
    """The structure of a job from its folder, or None where it has none.

    Raises:
        BadInput: If the file is not what `write_structure` writes.
    """
    path = folder / STRUCTURE
    if not path.is_file():
        return None
    try:
        return StructureDocument.model_validate_json(read_limited(path, "structure"))
    except ValidationError as error:
        raise BadInput(f"{path} is not a valid structure: {told(error)}.") from error


def _stability(
    correlations: NDArray[np.float32], labels: NDArray[np.int64], clusters: int, seed: int
) -> NDArray[np.float64] | None:
    """Co-clustering over draws of the test images, None where images correlate with nothing."""
    rows = correlations.astype(np.float64)
    if not np.isfinite(rows).all():
        return None
    try:
        return coclustering(rows, labels, clusters, seed=seed)
    except NotComputable:
        return None
