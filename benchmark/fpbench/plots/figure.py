"""How every figure looks, and how it is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAMILY_MARKERS = {
    "Real": "o",
    "VAE": "s",
    "GAN": "^",
    "Flow": "D",
    "Score": "v",
    "Synthetic": "P",
    "Unknown": "X",
}
"""One marker a family, so that colour is never the only sign."""


@contextmanager
def written_figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of `width` × `height` inches, written to `path` as PNG when the block ends.

    Uses no global state of pyplot, so it works without a display and in threads.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    FigureCanvasAgg(figure)
    yield figure
    # No software version or date in the file: the same arrays give the same bytes.
    figure.savefig(path, metadata={"Software": None})


def source_colours(count: int) -> list[tuple[float, float, float, float]]:
    """`count` distinguishable colours, the same for the same position in every figure."""
    from matplotlib import colormaps

    palette = colormaps["tab10" if count <= 10 else "tab20"]
    return [palette(index % palette.N) for index in range(count)]
