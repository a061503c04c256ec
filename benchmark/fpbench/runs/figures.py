"""The figures of one job."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fpbench.method import Method
from fpbench.plots.alignment import plot_alignment
from fpbench.plots.confusion import plot_confusion
from fpbench.plots.correlation import plot_correlations
from fpbench.plots.dendrogram import plot_dendrogram
from fpbench.plots.strip import plot_strip
from fpbench.plots.tsne import plot_tsne
from fpbench.runs.artifacts import Evidence
from fpbench.runs.folds import Splits
from fpbench.runs.job import JobSpec
from fpbench.runs.outcome import Outcome
from fpbench.runs.structure import StructureDocument

_STRIP_IMAGES = 12


def draw_figures(
    folder: Path,
    spec: JobSpec,
    method: Method,
    outcome: Outcome,
    evidence: Evidence,
    splits: Splits,
    structure: StructureDocument | None = None,
) -> None:
    """Draw confusion matrix, t-SNE, correlations and tree of fingerprints, and residuals.

    Args:
        folder: Existing folder for the PNG files.
        spec: The job.
        method: The fitted method, asked for residuals.
        outcome: What the method gave.
        evidence: What the scores are computed from.
        splits: Image sets of the job.
        structure: Tree of the generators' fingerprints, or None where there is none.
    """
    from fpbench.metrics.attribution import confusion_matrix

    sources = splits.test.sources
    names = [source.name for source in sources]
    title = spec.title
    plot_confusion(
        folder / "confusion.png", confusion_matrix(evidence.labels, evidence.proba, None), names,
        f"Attribution of single test images\n{title}",
    )  # fmt: skip
    plot_correlations(
        folder / "correlation.png", evidence.fingerprint_correlations,
        [source.name for source in sources if not source.is_real],
        f"Correlation of source fingerprints\n{title}",
    )  # fmt: skip
    if structure is not None:
        _draw_structure(folder, structure, title)
    if len(evidence.labels) >= 5:
        plot_tsne(
            folder / "tsne.png", outcome.test_embeddings, evidence.labels, sources,
            f"t-SNE of test fingerprints\n{title}", spec.seed,
        )  # fmt: skip
    if method.implements("residual"):
        chosen = _spread(evidence.labels, _STRIP_IMAGES)
        shown = splits.test.select(chosen)
        residuals = np.asarray(method.residual(shown.unlabelled()), np.float32)
        if residuals.shape == shown.pixels.shape and np.isfinite(residuals).all():
            plot_strip(
                folder / "residuals.png", np.asarray(shown.pixels), residuals,
                [names[k] for k in shown.labels],
                f"Test images, {method.residual_names[0]}, {method.residual_names[1]}\n{title}",
                method.residual_names,
            )  # fmt: skip


def _draw_structure(folder: Path, structure: StructureDocument, title: str) -> None:
    plot_dendrogram(
        folder / "dendrogram.png", structure.linkage, structure.correlations, structure.sources,
        structure.families, f"Sources alike by their fingerprints\n{title}", structure.cophenetic,
    )  # fmt: skip
    entries = structure.alignments
    if any(entry.ami is not None for entry in entries):
        plot_alignment(
            folder / "alignment.png", [entry.attribute for entry in entries],
            [entry.ami for entry in entries], [entry.p_holm for entry in entries],
            [entry.p_within_family_holm for entry in entries],
            f"Clusters of {len(structure.sources)} sources against what is known of them\n{title}",
        )  # fmt: skip


def _spread(labels: np.ndarray[tuple[int], np.dtype[np.int64]], count: int) -> list[int]:
    """At most `count` positions, taken from the sources in turn."""
    by_source = [np.flatnonzero(labels == k).tolist() for k in np.unique(labels)]
    turns = [members[turn] for turn in range(count) for members in by_source if turn < len(members)]
    chosen = turns[:count]
    return sorted(chosen, key=lambda position: (labels[position], position))
