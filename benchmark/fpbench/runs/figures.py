"""The figures of a job; scores do not hang on whether one can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpbench.images import ImageSet
from fpbench.method import Method
from fpbench.metrics.attribution import confusion_matrix
from fpbench.plots.alignment import plot_alignment
from fpbench.plots.confusion import plot_confusion
from fpbench.plots.correlation import plot_correlations
from fpbench.plots.dendrogram import plot_dendrogram
from fpbench.plots.strip import plot_strip
from fpbench.plots.tsne import plot_tsne
from fpbench.runs.protocols.base import Drawable
from fpbench.runs.structure import StructureDocument

_STRIP_IMAGES = 12


def draw_figures(
    folder: Path, drawable: Drawable, structure: StructureDocument | None = None
) -> list[str]:
    """Draw confusion matrix, t-SNE, correlations and tree of fingerprints, and residuals.

    Args:
        folder: Existing folder for the PNG files.
        drawable: The job and what it gave.
        structure: Tree of the generators' fingerprints, or None where there is none.

    Returns:
        One sentence a figure that could not be drawn.
    """
    figures: dict[str, Callable[[Path], None]] = {"confusion": lambda to: _confusion(to, drawable)}
    if "fingerprint_correlations" in drawable.evidence.arrays:
        figures["correlation"] = lambda to: _correlations(to, drawable)
    if structure is not None:
        title = drawable.job.title
        figures["dendrogram"] = lambda to: _tree(to, structure, title)
        if any(entry.ami is not None for entry in structure.alignments):
            figures["alignment"] = lambda to: _alignment(to, structure, title)
    embeddings = drawable.embeddings
    if embeddings is not None and len(embeddings) >= 5:
        figures["tsne"] = lambda to: _tsne(to, drawable, embeddings)
    method, test = drawable.method, drawable.test
    if drawable.has_residual and method is not None and test is not None:
        figures["residuals"] = lambda to: _residuals(to, drawable, method, test)
    notes = draw_each(folder, figures)
    if drawable.has_residual and "residuals" not in figures:
        notes.append(
            "The figure residuals needs the fitted method, which is not kept; run the job with "
            "--again to draw it, too."
        )
    return notes


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


def _confusion(path: Path, drawable: Drawable) -> None:
    labels = drawable.labels
    plot_confusion(
        path, confusion_matrix(labels.labels, drawable.evidence.proba, None),
        [source.name for source in labels.tested],
        f"Attribution of single test images\n{drawable.job.title}",
    )  # fmt: skip


def _correlations(path: Path, drawable: Drawable) -> None:
    labels = drawable.labels
    plot_correlations(
        path, drawable.evidence.floats("fingerprint_correlations"),
        [labels.tested[k].name for k in labels.generators],
        f"Correlation of source fingerprints\n{drawable.job.title}",
    )  # fmt: skip


def _tsne(path: Path, drawable: Drawable, embeddings: NDArray[np.float32]) -> None:
    labels = drawable.labels
    plot_tsne(
        path, embeddings, labels.labels, labels.tested,
        f"t-SNE of test fingerprints\n{drawable.job.title}", drawable.job.seed,
    )  # fmt: skip


def _residuals(path: Path, drawable: Drawable, method: Method, test: ImageSet) -> None:
    labels = drawable.labels
    shown = test.select(_spread(labels.labels, _STRIP_IMAGES))
    residuals = np.asarray(method.residual(shown.unlabelled()), np.float32)
    if residuals.shape != shown.pixels.shape or not np.isfinite(residuals).all():
        raise ValueError(f"residual returned shape {residuals.shape}, or numbers not finite")
    plot_strip(
        path, np.asarray(shown.pixels), residuals, [labels.tested[k].name for k in shown.labels],
        f"Test images, {method.residual_names[0]}, {method.residual_names[1]}\n"
        f"{drawable.job.title}",
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
