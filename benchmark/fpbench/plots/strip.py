"""A strip of image, what the method compares it with, and the difference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fpbench.plots.figure import drawn_names, written_figure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def plot_strip(
    path: Path,
    images: NDArray[np.uint8],
    residuals: NDArray[np.float32],
    names: Sequence[str],
    title: str,
    rows: tuple[str, str] = ("image − residual", "residual"),
) -> None:
    """Draw one column per image: the image, what it is compared with, and the difference.

    Residuals are drawn around mid-grey, each scaled to its largest value.

    Args:
        path: PNG file to write.
        images: uint8 of shape (N, H, W, 3).
        residuals: Signed, in grey levels, of shape (N, H, W, 3).
        names: N captions.
        title: Title.
        rows: Captions of the middle and the lower row.
    """
    import numpy as np

    compared = np.clip(images - residuals, 0, 255).astype(np.uint8)
    peak = np.maximum(np.abs(residuals).max(axis=(1, 2, 3), keepdims=True), 1e-6)
    shown = np.clip(127.5 + 127.5 * residuals / peak, 0, 255).astype(np.uint8)
    shown_names = drawn_names(names)
    strips = (("image", images), (rows[0], compared), (rows[1], shown))
    with written_figure(path, max(4.0, 1.15 * len(images) + 0.8), 4.4) as figure:
        grid = figure.subplots(3, len(images), squeeze=False)
        for row, (caption, pixels) in enumerate(strips):
            for column, axes in enumerate(grid[row]):
                axes.imshow(pixels[column], interpolation="nearest")
                axes.set_xticks([])
                axes.set_yticks([])
                if row == 0:
                    axes.set_title(shown_names[column], fontsize=8)
            grid[row][0].set_ylabel(caption, fontsize=8)
        figure.suptitle(title, fontsize=10)
