"""Facts about a file that bear on its verdict: named beside it, and never part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from fpbench.attribution.metadata import stated_origin
from fpbench.datasets.traces import codec_trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.attribution.document import ModelPage
    from fpbench.attribution.model import FittedModel
    from fpbench.attribution.nearcopies import Match
    from fpbench.attribution.reading import Taken

Kind = Literal["format", "tables", "grid", "metadata", "near copy"]


@dataclass(frozen=True)
class Warning:
    """One fact about a file.

    Attributes:
        kind: What it is about.
        text: The fact, one sentence.
        voids: Whether it means that the promise does not cover this image.
    """

    kind: Kind
    text: str
    voids: bool


def warnings_of(model: FittedModel, taken: Sequence[Taken]) -> list[list[Warning]]:
    """What there is to know of each image beside its verdict."""
    pixels = np.stack([one.pixels for one in taken])
    copies = model.known.matches(pixels)
    grids = _grids(model.page, pixels)
    return [
        _of_file(model.page, one) + grid + _of_copy(model, copy)
        for one, grid, copy in zip(taken, grids, copies, strict=True)
    ]


def _of_file(page: ModelPage, one: Taken) -> list[Warning]:
    found = []
    traits = one.traits
    format_ = "PNG" if traits is None else traits.format
    if one.is_file:
        found += _of_format(page, format_)
    if traits is not None and traits.tables and page.tables:
        label = f"{traits.tables} {traits.subsampling}"
        if label not in page.tables:
            found.append(
                Warning(
                    "tables",
                    "Its JPEG quantisation tables or its subsampling are those of no training "
                    "image: it was compressed otherwise, so the promise does not cover it.",
                    True,
                )
            )
    found += [
        Warning(
            "metadata",
            f"It says of itself: {clause}. That is named here and not trusted: anybody can write "
            "it, and the verdict does not depend on it.",
            False,
        )
        for clause in (stated_origin(one.data) if one.data else ())
    ]
    return found


def _of_format(page: ModelPage, format_: str) -> list[Warning]:
    if format_ in page.formats or not page.formats:
        return []
    known = " or ".join(page.formats)
    lossy = "was compressed with loss" if format_ != "PNG" else "was not compressed as they were"
    return [
        Warning(
            "format",
            f"It is a {format_}, but the training images are {known}: it {lossy}, so the promise "
            "does not cover it.",
            True,
        )
    ]


def _grids(page: ModelPage, pixels: NDArray[np.uint8]) -> list[list[Warning]]:
    if page.grid is None:
        return [[] for _ in pixels]
    threshold = page.grid
    return [
        [
            Warning(
                "grid",
                f"Its pixels show the 8x8 blocks of a JPEG (trace {trace:.2f}; 99 in 100 training "
                f"images stay below {threshold:.2f}): it may have been one, whatever its format is "
                "now, and then the promise does not cover it.",
                False,
            )
        ]
        if np.isfinite(trace) and trace > threshold
        else []
        for trace in codec_trace(pixels)
    ]


def _of_copy(model: FittedModel, copy: Match | None) -> list[Warning]:
    if copy is None:
        return []
    turned = ", mirrored" if copy.mirrored else ""
    return [
        Warning(
            "near copy",
            f"It is nearly the {model.known.names[copy.position]}{turned} ({copy.layout:.0%} of "
            f"its layout's bits and {copy.detail:.0%} of its detail's agree): the model was made "
            "from that one, so the promise, which is about new images, does not cover it.",
            True,
        )
    ]
