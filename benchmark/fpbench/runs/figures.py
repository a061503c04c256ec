"""The figures of a job; scores do not hang on whether one can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from fpbench.metrics.attribution import confusion_matrix
from fpbench.plots.alignment import plot_alignment
from fpbench.plots.confusion import plot_confusion
from fpbench.plots.correlation import plot_correlations
from fpbench.plots.dendrogram import plot_dendrogram
from fpbench.plots.strip import plot_strip
from fpbench.plots.tsne import plot_tsne
from fpbench.runs.protocols.base import Finished
from fpbench.runs.structure import StructureDocument

_STRIP_IMAGES = 12


def draw_figures(
    folder: Path, finished: Finished, structure: StructureDocument | None = None
) -> list[str]:
    """Draw confusion matrix, t-SNE, correlations and tree of fingerprints, and residuals.

    Args:
        folder: Existing folder for the PNG files.
        finished: The job, its method and what it gave.
        structure: Tree of the generators' fingerprints, or None where there is none.

    Returns:
        One sentence a figure that could not be drawn.
    """
    figures: dict[str, Callable[[Path], None]] = {"confusion": lambda to: _confusion(to, finished)}
    if "fingerprint_correlations" in finished.evidence.arrays:
        figures["correlation"] = lambda to: _correlations(to, finished)
    if structure is not None:
        title = finished.job.title
        figures["dendrogram"] = lambda to: _tree(to, structure, title)
        if any(entry.ami is not None for entry in structure.alignments):
            figures["alignment"] = lambda to: _alignment(to, structure, title)
    if len(finished.outcome.test_embeddings) >= 5:
        figures["tsne"] = lambda to: _tsne(to, finished)
    if finished.method.implements("residual"):
        figures["residuals"] = lambda to: _residuals(to, finished)
    return draw_each(folder, figures)


def draw_each(folder: Path, figures: Mapping[str, Callable[[Path], None]]) -> list[str]:
    """Draw figures; one that cannot be drawn is told in a note.

    Args:
        folder: Existing folder for the PNG files.
        figures: Name to what draws it into a file.

    Returns:
        One sentence a figure that could not be drawn.
    """
    notes = []
    for name, draw in figures.items():
        path = folder / f"{name}.png"
        try:
            draw(path)
        # Fonts, names and a method's residuals can break a figure in any way.
        except Exception as error:
            path.unlink(missing_ok=True)
            notes.append(f"The figure {name} could not be drawn: {type(error).__name__}: {error}")
    return notes


def _confusion(path: Path, finished: Finished) -> None:
    labels = finished.prepared.labels
    plot_confusion(
        path, confusion_matrix(labels.labels, finished.evidence.proba, None),
        [source.name for source in labels.tested],
        f"Attribution of single test images\n{finished.job.title}",
    )  # fmt: skip


def _correlations(path: Path, finished: Finished) -> None:
    labels = finished.prepared.labels
    plot_correlations(
        path, finished.evidence.floats("fingerprint_correlations"),
        [labels.tested[k].name for k in labels.generators],
        f"Correlation of source fingerprints\n{finished.job.title}",
    )  # fmt: skip


def _tsne(path: Path, finished: Finished) -> None:
    labels = finished.prepared.labels
    plot_tsne(
        path, finished.outcome.test_embeddings, labels.labels, labels.tested,
        f"t-SNE of test fingerprints\n{finished.job.title}", finished.job.seed,
    )  # fmt: skip


def _residuals(path: Path, finished: Finished) -> None:
    method, labels = finished.method, finished.prepared.labels
    shown = finished.prepared.splits.test.select(_spread(labels.labels, _STRIP_IMAGES))
    residuals = np.asarray(method.residual(shown.unlabelled()), np.float32)
    if residuals.shape != shown.pixels.shape or not np.isfinite(residuals).all():
        raise ValueError(f"residual returned shape {residuals.shape}, or numbers not finite")
    plot_strip(
        path, np.asarray(shown.pixels), residuals, [labels.tested[k].name for k in shown.labels],
        f"Test images, {method.residual_names[0]}, {method.residual_names[1]}\n"
        f"{finished.job.title}",
        method.residual_names,
    )  # fmt: skip


def _tree(path: Path, structure: StructureDocument, title: str) -> None:
    plot_dendrogram(
        path, structure.linkage, structure.correlations, structure.sources,
        structure.families, f"Sources alike by their fingerprints\n{title}", structure.cophenetic,
    )  # fmt: skip


def _alignment(path: Path, structure: StructureDocument, title: str) -> None:
    entries = structure.alignments
    plot_alignment(
        path, [entry.attribute for entry in entries],
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
