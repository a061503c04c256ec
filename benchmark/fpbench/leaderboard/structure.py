"""Which sources are alike by a row's fingerprints, and which design choices that follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpbench.datasets.card import read_sources
from fpbench.datasets.layout import SOURCES
from fpbench.errors import BadInput
from fpbench.leaderboard.layout import artifact_path
from fpbench.leaderboard.rows import Row
from fpbench.metrics.alignment import Alignment, align_clusters, correct_for_attributes
from fpbench.metrics.score import NotComputable
from fpbench.metrics.structure import Hierarchy, cluster_sources, similarity_distance
from fpbench.registry import card_folders
from fpbench.runs.record import DatasetEntry

FAMILY = "family"
CHOICES = ("upsampling", "nonlinearity", "normalisation", "downsampling", "skip", "loss")
"""Design choices in the order of ManiFPT's Table 5."""

_PERMUTATIONS = 2000


@dataclass(frozen=True)
class Structure:
    """How the generators of a dataset group by one row's fingerprints.

    Attributes:
        names: Names of the M generators.
        correlations: Shape (M, M), of their fingerprints, mean over the row's records.
        hierarchy: Average linkage on 1 − correlation.
        alignments: Agreement of the cut tree with each attribute that is known.
    """

    names: tuple[str, ...]
    correlations: NDArray[np.float64]
    hierarchy: Hierarchy
    alignments: tuple[Alignment, ...] = ()


def design_of(dataset: DatasetEntry) -> dict[str, tuple[str | None, ...]]:
    """Values of each attribute for the generators of a dataset, None where unknown.

    The family stands in the record; design choices in the dataset's card, where it is known here.
    """
    generators = [source for source in dataset.sources if source.family != "Real"]
    design: dict[str, tuple[str | None, ...]] = {
        FAMILY: tuple(source.family for source in generators)
    }
    folder = card_folders().get(dataset.name.partition(":")[0])
    if folder is None or not (folder / SOURCES).is_file():
        return design
    try:
        known = read_sources(folder)
    except BadInput:
        # A broken card is reported by `fpbench data`; here its facts are merely not known.
        return design
    for choice in CHOICES:
        facts = [
            known[source.name].design.get(choice) if source.name in known else None
            for source in generators
        ]
        if any(fact is not None for fact in facts):
            design[choice] = tuple(None if fact is None else fact.value for fact in facts)
    return design


def read_structure(row: Row, dataset: DatasetEntry) -> Structure | None:
    """Correlations and tree of a row's sources, without alignments.

    Returns:
        None where a record defines none, e.g. because a fingerprint is constant.
    """
    from safetensors import SafetensorError, safe_open

    names = tuple(source.name for source in dataset.sources if source.family != "Real")
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


def aligned(
    structure: Structure, design: Mapping[str, Sequence[str | None]]
) -> tuple[Alignment, ...]:
    """Agreement of a row's clusters with each attribute, p-values corrected by Holm over them.

    For each attribute the sources with a known value are clustered into as many groups as it has
    values.
    """
    families = design.get(FAMILY)
    found = []
    for attribute, values in design.items():
        known = [k for k, value in enumerate(values) if value is not None]
        categories = len({values[k] for k in known})
        clusters = np.zeros(len(values), np.int64)
        if 2 <= categories < len(known):
            part = structure.correlations[np.ix_(known, known)]
            clusters[known] = cluster_sources(similarity_distance(part)).cut(categories)
        found.append(
            align_clusters(
                clusters,
                list(values),
                None if attribute == FAMILY else [str(family) for family in families or ()],
                attribute=attribute,
                permutations=_PERMUTATIONS,
            )
        )
    return tuple(correct_for_attributes(found))
