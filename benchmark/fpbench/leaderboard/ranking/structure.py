"""Which sources are alike by a row's fingerprints, and which design choices that follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpbench.datasets.card import as_source, read_sources
from fpbench.datasets.layout import SOURCES
from fpbench.errors import BadInput
from fpbench.images import Source
from fpbench.leaderboard.archive.layout import artifact_path
from fpbench.leaderboard.ranking.boards import DatasetEntry
from fpbench.leaderboard.ranking.rows import Row
from fpbench.metrics.alignment import Alignment
from fpbench.metrics.score import NotComputable
from fpbench.metrics.structure import Hierarchy, cluster_sources, similarity_distance
from fpbench.registry import card_folders
from fpbench.runs.structure import FAMILY, align_tree, attributes_of

CHOICES = ("upsampling", "nonlinearity", "normalisation", "downsampling", "skip", "loss")
"""Design choices in the order of ManiFPT's Table 5."""

FEWEST_SOURCES = 4
"""Fewer have no structure to show: centred fingerprints of two generators are each other's
negative, whatever the images, and a tree of two leaves says nothing."""

_PERMUTATIONS = 2000
"""Fewer than a run's own ``structure.json`` takes: a board aligns many rows in a few seconds."""


@dataclass(frozen=True)
class Structure:
    """How the generators of a dataset group by one row's fingerprints.

    Attributes:
        names: Names of the M generators.
        correlations: Shape (M, M), of their fingerprints, mean over the row's records.
        hierarchy: Average linkage on 1 − correlation.
    """

    names: tuple[str, ...]
    correlations: NDArray[np.float64]
    hierarchy: Hierarchy


def design_of(dataset: DatasetEntry) -> dict[str, tuple[str | None, ...]]:
    """Values of each attribute for the generators of a dataset, None where unknown.

    The family stands in the record; design choices in the dataset's card, where it is known here.
    Choices of ManiFPT's Table 5 come first, in its order.
    """
    known = _card_sources(dataset)
    generators = [
        Source(
            source.name,
            source.family,
            source.architecture,
            known[source.name].design if source.name in known else {},
        )
        for source in dataset.sources
        if source.family != "Real"
    ]
    found = attributes_of(generators)
    ordered = [choice for choice in (FAMILY, *CHOICES) if choice in found]
    return {choice: found[choice] for choice in dict.fromkeys([*ordered, *found])}


def _card_sources(dataset: DatasetEntry) -> dict[str, Source]:
    folder = card_folders().get(dataset.name.partition(":")[0])
    if folder is None or not (folder / SOURCES).is_file():
        return {}
    try:
        return {name: as_source(name, entry) for name, entry in read_sources(folder).items()}
    except BadInput:
        # A broken card is reported by `fpbench data`; here its facts are merely not known.
        return {}


def read_structure(row: Row, dataset: DatasetEntry) -> Structure | None:
    """Correlations and tree of a row's sources.

    Returns:
        None where a record defines none, e.g. because a fingerprint is constant, and for fewer
        than `FEWEST_SOURCES`, Real among them.
    """
    from safetensors import SafetensorError, safe_open

    names = tuple(source.name for source in dataset.sources if source.family != "Real")
    if len(dataset.sources) < FEWEST_SOURCES:
        return None
    matrices = []
    for entry in row.entries:
        path = artifact_path(entry.path, entry.record.artifacts["evidence"])
        try:
            with safe_open(path, framework="numpy") as file:
                matrix = np.asarray(file.get_tensor("fingerprint_correlations"), np.float64)
        except (OSError, KeyError, SafetensorError):
            return None
        if matrix.shape != (len(names), len(names)) or not np.isfinite(matrix).all():
            return None
        matrices.append(matrix)
    mean = np.clip(np.mean(matrices, axis=0), -1.0, 1.0)
    try:
        hierarchy = cluster_sources(similarity_distance(mean))
    except NotComputable:
        return None
    return Structure(names, mean, hierarchy)


def aligned(structure: Structure, design: dict[str, tuple[str | None, ...]]) -> list[Alignment]:
    """Agreement of a row's clusters with each attribute, found as in a run's ``structure.json``.

    Args:
        structure: Of the row.
        design: Of `design_of`.
    """
    return align_tree(structure.correlations, design, seed=0, permutations=_PERMUTATIONS)
