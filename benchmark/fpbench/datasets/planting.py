"""Known fingerprints and how strongly they are planted into clean photographs.

Strength is stated in decibels: the mean power of the planted change over the mean power of the
clean images' high-pass residual, ``10 log10(mean((T(x) - x)^2) / mean(highpass(x)^2))``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("pattern", "kernel", "colour", "mixed", "none")

_TILE = 8
_WAVES = 3
# Root mean square of a kernel's gain error: large enough for the checkerboard, not the blur that
# all upsampling kernels share, to carry most of the change.
_GAIN = 0.15


def highpass(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Images (N, H, W, 3) minus their 3x3 box mean, borders reflected."""
    x = np.asarray(images, np.float32)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    box = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    residual: NDArray[np.float32] = x - box / np.float32(9)
    return residual


def power(images: NDArray[np.floating]) -> float:
    """Mean square over all images, pixels and channels."""
    return float(np.mean(np.square(images, dtype=np.float64)))


class Fingerprint(ABC):
    """A change of clean images that is known exactly."""

    @abstractmethod
    def change(self, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        """``T(x) - x`` at full strength, of clean images (N, H, W, 3)."""

    def template(self, mean: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """Expected change (H, W, 3) of images whose mean colour is `mean` (3,).

        Raises:
            ValueError: If the change does not depend on the position in the image.
        """
        raise ValueError(f"{type(self).__name__} is not locked to positions")


@dataclass(frozen=True)
class Pattern(Fingerprint):
    """A periodic pattern that is added at fixed positions.

    Attributes:
        tile: One period (8, 8, 3), of unit power and zero mean.
    """

    tile: NDArray[np.float32]

    def change(self, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        """The pattern, the same for every image."""
        return np.broadcast_to(self.template(np.zeros(3), clean.shape[1:3]), clean.shape)

    def template(self, mean: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
        """The pattern itself, repeated to `size`."""
        repeats = (-(-size[0] // _TILE), -(-size[1] // _TILE), 1)
        return np.tile(self.tile, repeats)[: size[0], : size[1]]


@dataclass(frozen=True)
class Kernel(Fingerprint):
    """Halve by area mean, then double by a transposed convolution of stride 2.

    Its 3x3 kernel overlaps unevenly: the four pixel phases receive 1, 2, 2 and 4 taps, and where
    the taps of a phase do not sum to one a checkerboard of gains remains (Odena et al. 2016).

    Attributes:
        gains: Sum of the taps by phase and channel (2, 2, 3).
    """

    gains: NDArray[np.float32]

    def change(self, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        """The images after halving and doubling, minus the images. Sides must be even."""
        n, h, w, c = clean.shape
        small = clean.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))
        below = np.concatenate([small[:, 1:], small[:, -1:]], axis=1)
        right = np.concatenate([small[:, :, 1:], small[:, :, -1:]], axis=2)
        corner = np.concatenate([below[:, :, 1:], below[:, :, -1:]], axis=2)
        result = np.empty_like(clean)
        result[:, 0::2, 0::2] = small * self.gains[0, 0]
        result[:, 0::2, 1::2] = (small + right) / 2 * self.gains[0, 1]
        result[:, 1::2, 0::2] = (small + below) / 2 * self.gains[1, 0]
        result[:, 1::2, 1::2] = (small + below + right + corner) / 4 * self.gains[1, 1]
        return result - clean

    def template(self, mean: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
        """The gain errors times the mean colour; the blur averages out."""
        phases = (self.gains - 1) * np.asarray(mean, np.float32)
        return np.tile(phases, (size[0] // 2, size[1] // 2, 1)).astype(np.float32)


@dataclass(frozen=True)
class Colour(Fingerprint):
    """A linear mixture of the colour channels.

    Attributes:
        matrix: (3, 3), applied to RGB columns.
    """

    matrix: NDArray[np.float32]

    def change(self, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mixed images minus the images."""
        return (clean @ (self.matrix - np.eye(3, dtype=np.float32)).T).astype(np.float32)


class Nothing(Fingerprint):
    """No change: the null control."""

    def change(self, clean: NDArray[np.float32]) -> NDArray[np.float32]:
        """Zeros."""
        return np.zeros_like(clean)

    def template(self, mean: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
        """Zeros."""
        return np.zeros((*size, 3), np.float32)


def _patterns(count: int, seed: int) -> list[Fingerprint]:
    """Patterns of disjoint frequencies, so that any two of them are orthogonal."""
    generator = np.random.default_rng([seed, 1])
    half = _TILE // 2
    # One of each conjugate pair, none of the slow waves that photographs are full of.
    bins = [
        (u, v)
        for u in range(half + 1)
        for v in range(-half + 1, half)
        if max(u, abs(v)) >= 2 and (u not in (0, half) or v > 0)
    ]
    if count * _WAVES > len(bins):
        raise ValueError(f"at most {len(bins) // _WAVES} patterns have frequencies of their own")
    order = generator.permutation(len(bins))
    y, x = np.mgrid[:_TILE, :_TILE]
    patterns: list[Fingerprint] = []
    for index in range(count):
        tile = np.zeros((_TILE, _TILE, 3))
        for place in order[index * _WAVES : (index + 1) * _WAVES]:
            u, v = bins[place]
            colour = generator.normal(size=3)
            phase = generator.uniform(0, 2 * np.pi)
            wave = np.cos(2 * np.pi * (u * y + v * x) / _TILE + phase)
            tile += wave[:, :, None] * colour / np.linalg.norm(colour)
        patterns.append(Pattern((tile / np.sqrt(np.mean(tile**2))).astype(np.float32)))
    return patterns


def _kernels(count: int, seed: int) -> list[Fingerprint]:
    """Kernels whose gain errors are orthogonal and change no image's mean."""
    if count > 9:
        raise ValueError("at most 9 kernels have orthogonal gain errors")
    generator = np.random.default_rng([seed, 2])
    # Rows: the three zero-mean patterns on four phases.
    phases = np.array([[1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    mixtures, _ = np.linalg.qr(generator.normal(size=(9, 9)))
    kernels: list[Fingerprint] = []
    for mixture in mixtures[:count]:
        errors = np.einsum("pc,pq->qc", mixture.reshape(3, 3), phases).reshape(2, 2, 3)
        errors *= _GAIN / np.sqrt(np.mean(errors**2))
        kernels.append(Kernel((1 + errors).astype(np.float32)))
    return kernels


def _colours(count: int, seed: int) -> list[Fingerprint]:
    """Colour matrices whose differences from the identity are orthogonal."""
    if count > 9:
        raise ValueError("at most 9 colour matrices are orthogonal")
    generator = np.random.default_rng([seed, 3])
    mixtures, _ = np.linalg.qr(generator.normal(size=(9, 9)))
    return [
        Colour((np.eye(3) + 0.1 * mixture.reshape(3, 3)).astype(np.float32))
        for mixture in mixtures[:count]
    ]


def fingerprints(kind: str, count: int, seed: int) -> dict[str, Fingerprint]:
    """`count` different fingerprints of a kind, by source name.

    Args:
        kind: One of `KINDS`; ``mixed`` has patterns, kernels and colour matrices in equal parts.
        count: How many.
        seed: Of their parameters.

    Raises:
        ValueError: If the kind is unknown or has not so many that differ clearly.
    """
    if kind == "mixed":
        shares = [count // 3 + (index < count % 3) for index in range(3)]
        merged: dict[str, Fingerprint] = {}
        for part, share in zip(("pattern", "kernel", "colour"), shares, strict=True):
            merged |= fingerprints(part, share, seed)
        return merged
    makers: dict[str, Callable[[int, int], list[Fingerprint]]] = {
        "pattern": _patterns,
        "kernel": _kernels,
        "colour": _colours,
        "none": lambda count, seed: [Nothing()] * count,
    }
    if kind not in makers:
        raise ValueError(f"unknown kind {kind!r}; use one of {', '.join(KINDS)}")
    made = makers[kind](count, seed)
    return {f"{kind}-{index + 1}": fingerprint for index, fingerprint in enumerate(made)}


def strength(fingerprint: Fingerprint, clean: NDArray[np.float32], snr_db: float) -> float:
    """The factor alpha that brings a fingerprint to `snr_db` on clean images (N, H, W, 3)."""
    change = power(fingerprint.change(clean))
    if change == 0:
        return 0.0
    return float(np.sqrt(power(highpass(clean)) * 10 ** (snr_db / 10) / change))


def plant(clean: NDArray[np.uint8], fingerprint: Fingerprint, alpha: float) -> NDArray[np.uint8]:
    """``clip(round(x + alpha (T(x) - x)), 0, 255)``.

    Rounding adds noise of power 1/12; half levels go to the even neighbour.

    Args:
        clean: uint8 (N, H, W, 3).
        fingerprint: What to plant.
        alpha: Its strength, from `strength`.

    Returns:
        uint8 (N, H, W, 3).
    """
    x = clean.astype(np.float32)
    return np.clip(np.rint(x + alpha * fingerprint.change(x)), 0, 255).astype(np.uint8)
