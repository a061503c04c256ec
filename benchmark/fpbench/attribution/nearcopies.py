"""Near copies of images that a model was made from, found by sketches of 64 bytes an image.

A model must tell them, and may not keep the images. A sketch is what is left of an image's layout
(its thumbnail) and of its fine detail, each projected on 256 random directions of which only the
sides are kept (Charikar, Similarity estimation techniques from rounding algorithms, 2002): of two
images whose layouts correlate by c, ``1 − arccos(c) / π`` of the bits agree. Layout and detail are
those of `fpbench.datasets.duplicates`, whose second rule asks correlations of 0.95 and 0.65; no
image can be had back from a sketch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.duplicates import cut_off, fine_detail
from fpbench.datasets.planting import highpass
from fpbench.datasets.quality import thumbnails

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = 256
LAYOUT, DETAIL = 0.86, 0.62
"""Shares of bits that must agree: correlations of about 0.9 and 0.37, below those of the rule, as
256 bits tell a share to within 0.03. Unrelated detail agrees by 0.5, four deviations below.

Of gm-mini's training images every fifth is found at 0.99 as a JPEG of quality 95, 0.92 at 75 and
0.75 at 40, and always if mirrored; of its 1,950 test images four are told, of 2,800 test images of
gm-cifar10 fifteen, all of ``wgan-gp-small``, whose images repeat themselves."""

# Images of less contrast (root mean square of the thumbnail, levels of 255) all look alike.
_CONTRAST = 2.0
_SEED = 20_260
_AT_ONCE = 256


@dataclass(frozen=True)
class Sketches:
    """Sketches of N images.

    Attributes:
        bits: uint8 (N, 64): 32 bytes of layout, then 32 of detail.
        flat: bool (N,), images that show nothing, of which no copy is told.
    """

    bits: NDArray[np.uint8]
    flat: NDArray[np.bool_]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> Sketches:
        """Sketches of images (N, H, W, 3), memory-mapped or not."""
        bits = np.empty((len(pixels), 2 * BITS // 8), np.uint8)
        flat = np.empty(len(pixels), bool)
        for start in range(0, len(pixels), _AT_ONCE):
            part = slice(start, min(len(pixels), start + _AT_ONCE))
            bits[part], flat[part] = _sketch(np.ascontiguousarray(pixels[part]))
        return cls(bits, flat)


@dataclass(frozen=True)
class Match:
    """An image of the model's that another one nearly equals.

    Attributes:
        position: Which.
        layout: Share of bits of layout that agree.
        detail: Of fine detail.
        mirrored: Whether the mirror image is meant.
    """

    position: int
    layout: float
    detail: float
    mirrored: bool


class KnownImages:
    """The images that a model was made from, as sketches.

    Args:
        sketches: Of N images.
        names: What to call each, e.g. ``train image dcgan-small-00012``.
    """

    def __init__(self, sketches: Sketches, names: Sequence[str]) -> None:
        if len(sketches.bits) != len(names):
            raise ValueError(f"{len(sketches.bits)} sketches but {len(names)} names")
        self.sketches = sketches
        self.names = names
        signs = np.unpackbits(sketches.bits, axis=1).astype(np.int8) * 2 - 1
        self._layout = signs[:, :BITS].astype(np.float32)
        self._detail = signs[:, BITS:]

    def __len__(self) -> int:
        return len(self.names)

    def matches(self, pixels: NDArray[np.uint8]) -> list[Match | None]:
        """The nearest copy of each image (N, H, W, 3), if there is one."""
        found: list[Match | None] = [None] * len(pixels)
        for mirrored in (False, True):
            shown = np.ascontiguousarray(pixels[:, :, ::-1]) if mirrored else pixels
            for index, match in enumerate(self._matches(Sketches.of(shown), mirrored)):
                best = found[index]
                if match is not None and (best is None or match.detail > best.detail):
                    found[index] = match
        return found

    def _matches(self, asked: Sketches, mirrored: bool) -> list[Match | None]:
        signs = np.unpackbits(asked.bits, axis=1).astype(np.int8) * 2 - 1
        # Of signs, a product is as often +1 as bits agree less as often -1 as they do not.
        layout = (1 + signs[:, :BITS].astype(np.float32) @ self._layout.T / BITS) / 2
        layout[asked.flat] = 0
        layout[:, self.sketches.flat] = 0
        found: list[Match | None] = []
        for row, own in zip(layout, signs[:, BITS:], strict=True):
            near = np.flatnonzero(row >= LAYOUT)
            detail = (1 + self._detail[near].astype(np.int32) @ own.astype(np.int32) / BITS) / 2
            best = int(detail.argmax()) if len(near) else -1
            if best < 0 or detail[best] < DETAIL:
                found.append(None)
                continue
            at = int(near[best])
            found.append(Match(at, float(row[at]), float(detail[best]), mirrored))
        return found


def _sketch(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    by_channel = thumbnails(pixels).reshape(len(pixels), -1, 3)
    layout = (by_channel - by_channel.mean(axis=1, keepdims=True)).reshape(len(pixels), -1)
    flat = np.linalg.norm(layout, axis=1) < _CONTRAST / 255 * np.sqrt(layout.shape[1])
    detail = fine_detail(cut_off(highpass(pixels.astype(np.float32))))
    bits = np.concatenate([_projected(layout, 0), _projected(detail, 1)], axis=1) >= 0
    return np.packbits(bits, axis=1), flat


def _projected(rows: NDArray[np.float32], stream: int) -> NDArray[np.float32]:
    """Rows (N, D) on random directions, (N, BITS).

    Each coordinate goes to one direction, with a random sign: as good as dense directions where
    several fall on each, and nothing of size D x BITS is kept.
    """
    rng = np.random.default_rng([_SEED, stream, rows.shape[1]])
    order = rng.permutation(rows.shape[1])
    signs = rng.choice(np.array([-1, 1], np.float32), rows.shape[1])
    width = -(-rows.shape[1] // BITS)
    spread = np.zeros((len(rows), BITS * width), np.float32)
    spread[:, : rows.shape[1]] = (rows * signs)[:, order]
    summed: NDArray[np.float32] = spread.reshape(len(rows), width, BITS).sum(axis=1)
    return summed
