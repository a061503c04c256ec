"""t-SNE map of test fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.images import Source
from fpbench.metrics.features import in_range
from fpbench.plots.figure import (
    FAMILY_MARKERS,
    add_legend,
    drawn_names,
    source_colours,
    written_figure,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERPLEXITY = 30
PCA_DIMENSIONS = 50
MAX_POINTS = 1000


def tsne_map(features: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Two-dimensional t-SNE: PCA to 50 dimensions, perplexity 30, PCA start.

    Args:
        features: Shape (N, D), N at least 5.
        seed: Seed of PCA and t-SNE.

    Returns:
        Shape (N, 2).
    """
    import numpy as np
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    features = in_range(features)
    dimensions = min(PCA_DIMENSIONS, *features.shape)
    reduced = PCA(dimensions, svd_solver="auto", random_state=seed).fit_transform(features)
    if float(reduced.var()) == 0:
        return np.zeros((len(features), 2), np.float32)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    mapped = TSNE(
        perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed
    ).fit_transform(reduced)
    return np.asarray(mapped, np.float32)


def plot_tsne(
    path: Path,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    sources: Sequence[Source],
    title: str,
    seed: int = 0,
) -> None:
    """Draw a t-SNE map of test embeddings; colour is the source, marker its family.

    At most `MAX_POINTS` points are drawn, the same number of each source where possible.
    Distances in a t-SNE map are not evidence; scores are computed in the original space.

    Args:
        path: PNG file to write.
        features: Shape (N, D).
        labels: Shape (N,), indices into `sources`.
        sources: K sources.
        title: Title.
        seed: Seed.
    """
    import numpy as np

    each = max(1, MAX_POINTS // max(1, len(sources)))
    kept = np.concatenate([np.flatnonzero(labels == k)[:each] for k in range(len(sources))])
    mapped = tsne_map(features[kept], seed)
    with written_figure(path, 8, 6) as figure:
        axes = figure.subplots()
        handles = []
        for k, (source, colour) in enumerate(
            zip(sources, source_colours(len(sources)), strict=True)
        ):
            chosen = labels[kept] == k
            points = axes.scatter(
                mapped[chosen, 0], mapped[chosen, 1], s=14, color=colour, alpha=0.75,
                marker=FAMILY_MARKERS[source.family], linewidths=0,
            )  # fmt: skip
            handles.append(points)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, fontsize=10)
        shown = drawn_names(source.name for source in sources)
        entries = [f"{name} ({source.family})" for name, source in zip(shown, sources, strict=True)]
        add_legend(figure, handles, entries, loc="outside right upper", fontsize=8, frameon=False)
